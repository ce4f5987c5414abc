"""The transparency log and the access log: what auditing a write and logging a read cost, the sequencer's rate and lag,
proofs beside lookups, verification.

Rates that are compared are measured in slices that alternate; ratios are medians of ratios within one round. What is
wanted of them stands under ``targets``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from uuid_utils.compat import uuid7

from benchmarks import lookup as lookups
from benchmarks import population
from benchmarks.support import codes, goal, machine, median, prepared_database, say
from credit_service.accounts import commands as accounts
from credit_service.accounts.models import AgencyWrite, Grant
from credit_service.audit import checkpoints, events, sequencer
from credit_service.audit.export import export
from credit_service.audit.keeping import keep
from credit_service.audit.log import Log
from credit_service.audit.shards import Shard, open_shard
from credit_service.audit.signing import LogKeys
from credit_service.audit.tree import Tree
from credit_service.audit.verification import Trust, folder_reader, verify_log
from credit_service.catalogue.loader import load
from credit_service.catalogue.models import Catalogue
from credit_service.entities.lookup import Lookup
from credit_service.identity.uscc import compose
from credit_service.platform.clock import SystemClock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.embedded import EmbeddedServer
from credit_service.records import commands
from credit_service.records.contract import RecordSubmission

AGENCY = compose("11", "500103", "00928654")
ACTOR = Actor("client:benchmark", "benchmark", AGENCY)
LEAVES_AT_ONCE = 50_000


@contextmanager
def _without_audit() -> Iterator[None]:
    """The same write, but for its event: neither made nor stored."""
    with (
        patch.object(events, "new_event", lambda *arguments, **options: None),
        patch.object(events, "append", lambda *arguments: None),
    ):
        yield


def _submission(code: str, number: int) -> RecordSubmission:
    notices = [
        {"kind": kind, "served_on": day, "means": "direct", "evidence": "送达回证〔2026〕1号"}
        for kind, day in (
            ("facts-grounds-and-rights", "2026-03-01"),
            ("publicity-notice", "2026-04-20"),
            ("repair-notice", "2026-04-20"),
        )
    ]
    return RecordSubmission.model_validate(
        {
            "item_code": "administrative-penalty",
            "uscc": code,
            "entity_name": f"测试{number}有限公司",
            "document_number": f"渝中市监处罚〔2026〕{number}号",
            "decided_on": "2026-04-20",
            "authority_uscc": AGENCY,
            "authority_name": "重庆市渝中区市场监督管理局",
            "legal_basis": "《中华人民共和国食品安全法》第一百二十四条",
            "notices": notices,
            "facts": {
                "violation_type": "经营超过保质期的食品",
                "violation_facts": "当事人销售超过保质期的预包装食品。",
                "penalty_categories": ["罚款"],
                "penalty_content": "罚款一万二千元",
                "fine_amount": "12000.00",
            },
        }
    )


async def _slice(count: int, run: Callable[[int], Awaitable[object]], *, at_once: int = 4) -> float:
    """How often a second ``run`` is done, ``at_once`` at a time."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await run(number)

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return count / (time.perf_counter() - began)


async def writes(database: Database, catalogue: Catalogue, folder: Path, rounds: int, count: int) -> dict[str, Any]:
    """Records submitted a second with their events, the sequencer running beside them, and without."""
    body = AgencyWrite(
        name="重庆市渝中区市场监督管理局",
        division="500103",
        level="district",
        grants=[Grant(item_code="administrative-penalty", division_prefix="50")],
    )
    async with database.transaction() as session:
        await accounts.put_agency(session, catalogue, Actor("operator", "b"), datetime.now(UTC), AGENCY, body)
    subjects = codes(10**6)
    numbers = iter(range(10**9))

    async def write(_: int) -> None:
        async with database.transaction() as session:
            await commands.submit(
                session, catalogue, ACTOR, datetime.now(UTC), _submission(next(subjects), next(numbers))
            )

    rates: dict[str, list[float]] = {"audited": [], "bare": []}
    await _slice(count // 4, write)
    log = Log(LogKeys(folder / "keys"), "http://benchmark")
    for turn in range(rounds):
        for name in ("audited", "bare") if turn % 2 else ("bare", "audited"):
            if name == "bare":
                with _without_audit():
                    rates[name].append(await _slice(count, write))
                continue
            keeper = asyncio.create_task(keep(database, log, SystemClock(), 5.0))
            rates[name].append(await _slice(count, write))
            keeper.cancel()
            await asyncio.wait([keeper])
    ratios = [audited / bare for audited, bare in zip(rates["audited"], rates["bare"], strict=True)]
    return {name: median(found, 1) for name, found in rates.items()} | {"audited_of_bare": median(ratios)}


def _event(number: int) -> tuple[Any, ...]:
    return events.row_of(
        events.new_event(
            ACTOR,
            datetime.now(UTC),
            "record.stored",
            uscc=AGENCY,
            subject_type="record",
            subject_id=str(uuid7()),
            after=number.to_bytes(32, "big"),
        )
    )


async def sequencing(database: Database, folder: Path, count: int) -> dict[str, Any]:
    """Entries given their place and signed a second, from a backlog; then the log as files, verified a second."""
    connection = await database.connect()
    keys = LogKeys(folder / "keys")
    log = Log(keys, "http://benchmark")
    now = datetime.now(UTC)
    await log.sequence(connection, now)
    for start in range(0, count, LEAVES_AT_ONCE):
        rows = [_event(number) for number in range(start, min(count, start + LEAVES_AT_ONCE))]
        await connection.copy_records_to_table("audit_event", records=rows, columns=events.COLUMNS)
    say(f"{count} events written")
    began = time.perf_counter()
    placed = await log.sequence(connection, now)
    sequenced = time.perf_counter() - began
    began = time.perf_counter()
    await log.checkpoint(connection, now)
    signed = time.perf_counter() - began
    if placed != count:
        raise SystemExit(f"{placed} of {count} events were sequenced")
    shard = await open_shard(connection)
    head = await checkpoints.latest(connection, shard) if shard else None
    if shard is None or head is None:
        raise SystemExit("nothing was signed")
    target = folder / "log"
    await export(connection, shard, head[1], target, entries=True)
    trust = Trust(keys.verifiers(shard.origin))
    began = time.perf_counter()
    report = verify_log(folder_reader(target), trust)
    verified = time.perf_counter() - began
    if not report.holds or report.entries != head[0]:
        raise SystemExit(f"the exported log does not hold: {report.findings}")
    began = time.perf_counter()
    command = [sys.executable, "examples/verify_log.py", str(target), "--key", str(trust.keys[0])]
    await asyncio.to_thread(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)
    independent = time.perf_counter() - began
    await connection.close()
    return {
        "entries": count,
        "sequenced_per_second": round(count / sequenced),
        "looked_at_again_and_signed_per_second": round(count / signed),
        "sequenced_and_signed_per_second": round(count / (sequenced + signed)),
        "verified_per_second": round(report.entries / verified),
        "verified_per_second_by_the_independent_verifier": round(report.entries / independent),
    }


async def lag(database: Database, folder: Path, rate: int, seconds: float) -> dict[str, Any]:
    """Seconds from a commit until its event has a place, with ``rate`` single commits a second."""
    log = Log(LogKeys(folder / "keys"), "http://benchmark")
    keeper = asyncio.create_task(keep(database, log, SystemClock(), 5.0))
    pool = await database.pool()
    await asyncio.sleep(2)
    first: int = await pool.fetchval("SELECT count(*) FROM log_entry")
    committed: list[float] = []
    statement = f"INSERT INTO audit_event ({', '.join(events.COLUMNS)}) VALUES ({_places()})"
    began = time.perf_counter()

    async def writer(offset: int, writers: int) -> None:
        for number in range(offset, int(rate * seconds), writers):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            await pool.execute(statement, *_event(number))
            committed.append(time.perf_counter())

    lags: list[float] = []
    writing = asyncio.gather(*(writer(offset, 8) for offset in range(8)))
    while not writing.done():
        await asyncio.sleep(0.05)
        known = len(committed)
        placed = await pool.fetchval("SELECT count(*) FROM log_entry WHERE sequence >= $1", first) or 0
        lags.append(time.perf_counter() - committed[placed] if placed < known else 0.0)
    achieved = len(committed) / (time.perf_counter() - began)
    keeper.cancel()
    await asyncio.wait([keeper])
    lags.sort()
    return {
        "wanted_per_second": rate,
        "written_per_second": round(achieved, 1),
        "p50_seconds": round(lags[len(lags) // 2], 3),
        "p99_seconds": round(lags[int(len(lags) * 0.99)], 3),
        "longest_seconds": round(lags[-1], 3),
    }


def _places() -> str:
    return ", ".join(f"${number}" for number in range(1, len(events.COLUMNS) + 1))


async def proofs(database: Database, entries: int, entities: int, rounds: int, count: int) -> dict[str, Any]:
    """Inclusion proofs of random entries of a log of ``entries`` beside lookups of random entities."""
    pool = await database.pool()
    connection = await database.connect()
    end = await connection.fetchval("SELECT coalesce(max(sequence) + 1, 0) FROM log_entry")
    shard = Shard(9999, "benchmark/proofs", end)
    began = time.perf_counter()
    for start in range(0, entries, LEAVES_AT_ONCE):
        size = min(LEAVES_AT_ONCE, entries - start)
        random_bytes = os.urandom(32 * size)
        waiting = [(AGENCY, uuid7(), random_bytes[32 * n : 32 * n + 32]) for n in range(size)]
        async with connection.transaction():
            await sequencer.append(connection, shard, waiting)
    say(f"tree of {entries} in {time.perf_counter() - began:.0f} s")
    await connection.close()
    tree, lookup = Tree(shard), Lookup(database, SystemClock(), "public")
    chosen = random.Random(7)
    known = [
        row[0] for row in await pool.fetch("SELECT uscc FROM profile WHERE audience = 'public' LIMIT $1", entities)
    ]

    async def prove(_: int) -> None:
        await tree.inclusion(pool, chosen.randrange(entries), entries)  # type: ignore[arg-type]

    async def look(_: int) -> None:
        if await lookup.get(chosen.choice(known)) is None:
            raise SystemExit("an entity is missing")

    rates: dict[str, list[float]] = {"proofs": [], "lookups": []}
    await _slice(4 * count, prove)
    for turn in range(rounds):
        for name, run in (("proofs", prove), ("lookups", look)) if turn % 2 else (("lookups", look), ("proofs", prove)):
            rates[name].append(await _slice(count, run, at_once=1))
    ratios = [look / prove for look, prove in zip(rates["lookups"], rates["proofs"], strict=True)]
    return {
        "entries": entries,
        "proofs_per_second": median(rates["proofs"], 1),
        "lookups_per_second": median(rates["lookups"], 1),
        "proof_of_lookup_time": median(ratios),
    }


async def measure(server: EmbeddedServer, chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    await population.load(server, chosen.entities)
    database = Database(server.service_url, role="credit_service")
    try:
        say("writes")
        written = await writes(database, load(), folder, chosen.rounds, chosen.writes)
        say("sequencer")
        sequenced = await sequencing(database, folder, chosen.events)
        say("lag")
        waited = await lag(database, folder, chosen.rate, chosen.seconds)
        say("proofs")
        proved = await proofs(database, chosen.entries, chosen.entities, 3 * chosen.rounds, chosen.proofs)
    finally:
        await database.close()
    return {"writes": written, "sequencer": sequenced, "lag": waited, "proofs": proved}


def _targets(result: dict[str, Any]) -> dict[str, Any]:
    """The figures that something is wanted of, beside it."""
    placed, waited = result["sequencer"], result["lag"]
    return {
        "writes.audited_of_bare": goal(result["writes"]["audited_of_bare"], at_least=0.6),
        "sequencer.sequenced_per_second": goal(placed["sequenced_per_second"], at_least=5_000),
        "sequencer.verified_per_second": goal(placed["verified_per_second"], at_least=100_000),
        "lag.written_per_second": goal(waited["written_per_second"], at_least=0.95 * waited["wanted_per_second"]),
        "lag.longest_seconds": goal(waited["longest_seconds"], at_most=2.0),
        "proofs.proof_of_lookup_time": goal(result["proofs"]["proof_of_lookup_time"], at_most=3.0),
        "access_log.logged_over_unlogged": goal(result["access_log"]["logged_over_unlogged"], at_least=0.9),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, default=10_000, help="entities looked up")
    parser.add_argument("--writes", type=int, default=400, help="records submitted a slice")
    parser.add_argument(
        "--rounds", type=int, default=8, help="of writes; of proofs and of logged reads three times as many"
    )
    parser.add_argument("--events", type=int, default=200_000, help="backlog of the sequencer")
    parser.add_argument("--rate", type=int, default=500, help="commits a second while the lag is measured")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--entries", type=int, default=1_000_000, help="size of the tree that proofs are made from")
    parser.add_argument("--proofs", type=int, default=500, help="proofs a slice")
    parser.add_argument("--connections", type=int, default=32, help="of those who read while reads are logged")
    chosen = parser.parse_args()
    say("access log")
    with lookups.registry(chosen.entities) as served:
        logged = lookups.logging_cost(served, chosen.connections, 3 * chosen.rounds)
    with prepared_database() as server, tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(measure(server, chosen, Path(folder))) | {"access_log": logged}
    result["targets"] = _targets(result)
    print(json.dumps({"benchmark": "log", "machine": machine(), **result}, ensure_ascii=False))


if __name__ == "__main__":
    main()
