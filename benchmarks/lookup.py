"""``GET /v1/entities/{uscc}`` beside static bytes, the textbook endpoint and the bare database.

Every figure is measured in short slices that alternate, over uniformly random codes, and the ratios are the medians of
ratios within one round: other work on the machine then hits both sides.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx

from benchmarks import population
from benchmarks.load import Target, generator, press
from benchmarks.server import BODY_BYTES
from benchmarks.support import binary, free_port, goal, machine, median, prepared_database, say
from credit_service.accounts import tokens
from credit_service.accounts.keys import KeyStore
from credit_service.accounts.purpose import HEADER
from credit_service.platform.embedded import EmbeddedServer

SLICE_SECONDS = 2
START_SECONDS = 60
PURPOSE = {HEADER: "supervision"}

Slice = Callable[[int], dict[str, Any]]
"""One measurement, given a seed: rps, p50_ms, p99_ms."""

_PGBENCH = """\\set n random(1, {entities})
SELECT status, etag, body FROM profile WHERE audience = 'public' AND uscc = (SELECT uscc FROM bench_code WHERE n = :n)
  AND fresh_until > now();
"""


@dataclass(frozen=True)
class Registry:
    """A loaded registry that is being served."""

    server: EmbeddedServer
    port: int
    process: int
    folder: Path
    counts: dict[str, Any]

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def registry(entities: int) -> Iterator[Registry]:
    """Load and serve ``entities``; everything is stopped and removed at the end."""
    with prepared_database() as server, tempfile.TemporaryDirectory() as temporary:
        counts = asyncio.run(population.load(server, entities))
        folder, port = Path(temporary), free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CREDIT_")} | {
            "CREDIT_DATABASE_URL": server.service_url,
            "CREDIT_DATA_DIR": str(folder),
            "CREDIT_HOST": "127.0.0.1",
            "CREDIT_PORT": str(port),
            "CREDIT_RATE_LIMIT": "0",
            "CREDIT_DAILY_SUBJECTS": str(10**9),
            BODY_BYTES: str(counts["body_bytes"]["mean"]),
        }
        with (folder / "service.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.server", str(port)], env=environment, stdout=log, stderr=log
            )
            try:
                _wait_ready(port, process, folder / "service.log")
                yield Registry(server, port, process.pid, folder, counts)
            finally:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _wait_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the service did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.1)


def _lines(found: Registry, audience: str, *, tagged: bool = False) -> str:
    """The file of codes that the load generator draws from, with their ETags where copies are asked about."""
    file = found.folder / f"{audience}{'-tagged' if tagged else ''}.codes"
    if not file.exists():
        rows = asyncio.run(population.tagged_codes(found.server, audience))
        file.write_text("".join(code + etag if tagged else code for code, etag in rows))
    return str(file)


def _targets(found: Registry) -> dict[str, Target]:
    """The addresses to compare; each is tried once, for its status and the shape of its answer."""
    public = _lines(found, "public")
    lookup = Target(found.port, "/v1/entities/", public)
    token = tokens.issue(
        KeyStore(found.folder / "keys"),
        issuer=found.base_url,
        principal=population.REGULATOR,
        now=datetime.now(UTC),
        lifetime_seconds=6 * 3600,
    )
    signed = {"Authorization": f"Bearer {token}", **PURPOSE}
    tagged = _lines(found, "public", tagged=True)
    targets = {
        "static": Target(found.port, "/bench/static/", public),
        "starlette_static": Target(found.port, "/bench/starlette/", public),
        "lookup": lookup,
        "textbook": Target(found.port, "/bench/textbook/", public),
        "lookup_as_of": replace(lookup, suffix=f"?as_of={found.counts['as_of']}"),
        "lookup_304": replace(lookup, lines=tagged, width=len(_first(tagged)), status=304),
        "lookup_regulator": replace(lookup, lines=_lines(found, "regulator"), headers=signed),
        "lookup_unlogged": replace(lookup, prefix="/bench/unlogged/", lines=_lines(found, "regulator"), headers=signed),
    }
    for name, target in targets.items():
        line = Path(target.lines).read_text()[: target.width]
        headers = dict(target.headers) | ({"If-None-Match": line[18:]} if target.width > 18 else {})
        address = f"{found.base_url}{target.prefix}{line[:18]}{target.suffix}"
        answer = httpx.get(address, headers=headers, trust_env=False)
        if answer.status_code != target.status:
            raise SystemExit(f"{name}: {answer.status_code} {answer.text[:300]}")
        if (
            name in {"lookup", "lookup_as_of", "textbook", "lookup_regulator", "lookup_unlogged"}
            and answer.json()["uscc"] != line[:18]
        ):
            raise SystemExit(f"{name}: another entity's answer")
    return targets


def _first(file: str) -> str:
    """One line of a tagged file: the code and a quoted ETag."""
    text = Path(file).read_text()[:200]
    return text[: text.index('"', 19) + 1]


def _pgbench(found: Registry, connections: int, seconds: int) -> Slice:
    """Prepared selects of the same rows over as many connections, without any service."""
    script = found.folder / "select.sql"
    script.write_text(_PGBENCH.format(entities=found.counts["public"]))
    address = urlsplit(found.server.service_url)
    environment = {
        "PGHOST": parse_qs(address.query)["host"][0],
        "PGUSER": str(address.username),
        "PGPASSWORD": unquote(str(address.password)),
        "PGDATABASE": address.path.lstrip("/"),
        "PATH": os.defpath,
    }

    def run(seed: int) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            command = [str(binary("pgbench")), "-n", "-M", "prepared", "-f", str(script), "-c", str(connections)]
            command += ["-j", "1", "-T", str(seconds), "-l", "--log-prefix", f"{folder}/log", f"--random-seed={seed}"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            rates = [line.split()[2] for line in done.stdout.splitlines() if line.startswith("tps = ")]
            if done.returncode or not rates:
                raise SystemExit(f"pgbench: {done.stdout}{done.stderr}")
            lines = (line for file in Path(folder).iterdir() for line in file.read_text().splitlines())
            times = sorted(int(line.split()[2]) / 1e3 for line in lines)
        return {"rps": float(rates[0]), "p50_ms": times[len(times) // 2], "p99_ms": times[len(times) * 99 // 100]}

    return run


def _http(target: Target, connections: int, seconds: float = SLICE_SECONDS) -> Slice:
    return lambda seed: press(target, connections=connections, seconds=seconds, seed=seed)


def _interleave(slices: dict[str, Slice], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Every slice once a round, after one round that nobody counts."""
    seeds = count(1)
    for run in slices.values():
        run(next(seeds))
    measured = defaultdict(list)
    for number in range(1, rounds + 1):
        names = list(slices) if number % 2 else list(reversed(slices))
        for name in names:
            measured[name].append(slices[name](next(seeds)))
        say(f"round {number}/{rounds}: " + ", ".join(f"{name} {measured[name][-1]['rps']:.0f}/s" for name in slices))
    return measured


def _summary(measured: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        name: {
            "requests_per_second": round(median([each["rps"] for each in slices], 1)),
            "slowest_round": round(min(each["rps"] for each in slices)),
            "fastest_round": round(max(each["rps"] for each in slices)),
            "p50_ms": median([each["p50_ms"] for each in slices]),
            "p99_ms": median([each["p99_ms"] for each in slices]),
        }
        for name, slices in measured.items()
    }


def _ratio(measured: dict[str, list[dict[str, Any]]], above: str, below: str) -> float:
    return median([a["rps"] / b["rps"] for a, b in zip(measured[above], measured[below], strict=True)])


def logging_cost(found: Registry, connections: int, rounds: int) -> dict[str, Any]:
    """A regulator's lookups with the access log and without it, in rounds of one second each."""
    targets = {name: each for name, each in _targets(found).items() if name in ("lookup_regulator", "lookup_unlogged")}
    measured = _interleave({name: _http(each, connections, 1) for name, each in targets.items()}, rounds)
    ratios = sorted(a["rps"] / b["rps"] for a, b in zip(*measured.values(), strict=True))
    return {
        "rounds": rounds,
        "logged_per_second": round(median([each["rps"] for each in measured["lookup_regulator"]], 1)),
        "unlogged_per_second": round(median([each["rps"] for each in measured["lookup_unlogged"]], 1)),
        "logged_over_unlogged": median(ratios),
        "middle_half_of_the_rounds": [round(ratios[rounds // 4], 3), round(ratios[-1 - rounds // 4], 3)],
    }


def run(entities: int = 10_000, seconds: int = 8, connections: int = 32, *, large: int = 0) -> dict[str, Any]:
    """Measure. ``seconds`` is spent on each figure, in slices; ``large`` entities are compared with ``entities``."""
    rounds = max(3, round(seconds / SLICE_SECONDS))
    result: dict[str, Any] = {
        "benchmark": "lookup",
        "machine": machine(),
        "load_generator": generator(),
        "connections": connections,
        "workers": 1,
        "rounds": rounds,
        "seconds_a_round": SLICE_SECONDS,
    }
    with ExitStack() as stack:
        small = stack.enter_context(registry(entities))
        slices = {name: _http(target, connections) for name, target in _targets(small).items()}
        del slices["lookup_unlogged"]
        slices["pgbench"] = _pgbench(small, connections, SLICE_SECONDS)
        measured = _interleave(slices, rounds)
        result["registry"] = small.counts
        result["figures"] = _summary(measured)
        ratios = {
            "lookup_over_static": _ratio(measured, "lookup", "static"),
            "lookup_over_starlette_static": _ratio(measured, "lookup", "starlette_static"),
            "lookup_over_textbook": _ratio(measured, "lookup", "textbook"),
            "lookup_over_pgbench": _ratio(measured, "lookup", "pgbench"),
            "lookup_as_of_over_lookup": _ratio(measured, "lookup_as_of", "lookup"),
            "lookup_304_over_lookup": _ratio(measured, "lookup_304", "lookup"),
            "lookup_regulator_over_lookup": _ratio(measured, "lookup_regulator", "lookup"),
        }
        result["access_log"] = logging_cost(small, connections, 5 * rounds)
        ratios["lookup_logged_over_unlogged"] = result["access_log"]["logged_over_unlogged"]
        if large:
            big = stack.enter_context(registry(large))
            pair = {"small": small, "large": big}
            sizes = {name: _http(_targets(each)["lookup"], connections) for name, each in pair.items()}
            sizes |= {f"{name}_pgbench": _pgbench(each, connections, SLICE_SECONDS) for name, each in pair.items()}
            compared = _interleave(sizes, rounds)
            result["large_registry"] = big.counts
            result["sizes"] = _summary(compared)
            ratios["large_over_small"] = _ratio(compared, "large", "small")
            ratios["large_over_small_pgbench"] = _ratio(compared, "large_pgbench", "small_pgbench")
    result["ratios"] = ratios
    result["targets"] = _targets_met(ratios)
    return result


def _targets_met(ratios: dict[str, float]) -> dict[str, Any]:
    wanted = {"lookup_over_static": 0.45, "lookup_over_textbook": 8.0, "lookup_as_of_over_lookup": 0.2}
    wanted["lookup_logged_over_unlogged"] = 0.9
    wanted["large_over_small"] = 0.9
    return {name: goal(ratios[name], at_least=least) for name, least in wanted.items() if name in ratios}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lookup", description=__doc__)
    parser.add_argument("--entities", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=8, help=f"for each figure, in slices of {SLICE_SECONDS}")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--large", type=int, default=0, help="compare with a registry of so many entities")
    given = parser.parse_args()
    found = run(given.entities, given.seconds, given.connections, large=given.large)
    print(json.dumps(found, ensure_ascii=False, indent=2))


if __name__ == "__main__":
    main()
