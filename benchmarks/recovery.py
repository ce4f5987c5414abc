"""How long a backup, its check and a restore take, beside a plain copy of the same cluster in the same run."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import population
from benchmarks.support import machine, say
from credit_service.catalogue.loader import load
from credit_service.catalogue.store import synchronise
from credit_service.platform import backup, migration
from credit_service.platform.backup import Folders
from credit_service.platform.embedded import EmbeddedServer


def timed(name: str, run: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - began
    say(f"{name}: {seconds:.1f} s")
    return result, seconds


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(folder: Path, entities: int) -> dict[str, Any]:
    data, archive = folder / "data", folder / "wal"
    folders = Folders(data / "secrets", data / "keys", data / "evidence")
    with EmbeddedServer(data, wal_archive=archive) as server:
        migration.upgrade(server.owner_url)
        asyncio.run(synchronise(server.owner_url, load()))
        taken, taking = timed(
            "backup (before the load)",
            lambda: backup.take(server.superuser_url, folder / "b", folders, scratch=data, revision=None),
        )
        asyncio.run(population.load(server, entities))
        later, taking_loaded = timed(
            "backup (loaded)",
            lambda: backup.take(server.superuser_url, folder / "b", folders, scratch=data, revision=None),
        )
    _, copying = timed("plain copy", lambda: shutil.copytree(later / backup.CLUSTER, folder / "copy"))
    _, checking = timed("verify", lambda: backup.verify(later, scratch=data))
    _, restoring = timed("restore", lambda: backup.restore(later, folder / "restored"))
    _, replaying = timed("restore and replay", lambda: backup.restore(taken, folder / "replayed", wal_archive=archive))
    with EmbeddedServer(folder / "replayed") as server:
        found = asyncio.run(population.count(server))
    if found != entities:
        raise SystemExit(f"{found} of {entities} entities after the replay")
    return {
        "entities": entities,
        "cluster_bytes": size(later / backup.CLUSTER),
        "wal_bytes": size(archive),
        "seconds": {
            "backup_empty": round(taking, 2),
            "backup": round(taking_loaded, 2),
            "plain_copy": round(copying, 2),
            "verify": round(checking, 2),
            "restore": round(restoring, 2),
            "restore_and_replay_everything": round(replaying, 2),
        },
        "ratios": {
            "backup_over_copy": round(taking_loaded / copying, 2),
            "restore_over_copy": round(restoring / copying, 2),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--entities", type=int, default=100_000)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="credit-service-benchmark-"))
    folder.chmod(0o755)
    try:
        result = {"benchmark": "recovery", "machine": machine(), **measure(folder, given.entities)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result, ensure_ascii=False, indent=2))


if __name__ == "__main__":
    main()
