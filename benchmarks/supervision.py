"""Risk classes, tier queries and draws: whole computations, single changes, pages at any depth, a draw repeated.

Two registries in one run, the second ten times the first: the small one is the peer of the large one, bare SQL over
the same rows is the limit of the computation, and the same submission without the note of its change that of the note.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.support import codes, machine, median, prepared_database, say
from credit_service.accounts import commands as accounts
from credit_service.accounts.models import AgencyWrite, Grant
from credit_service.audit.events import canonical_json
from credit_service.catalogue.loader import load as load_catalogue
from credit_service.entities import profile
from credit_service.identity.uscc import compose
from credit_service.notifications.rules import ServiceMeans
from credit_service.platform.clock import SystemClock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database, connect_arguments
from credit_service.platform.embedded import EmbeddedServer
from credit_service.records import commands as records
from credit_service.records.contract import Notice, RecordSubmission
from credit_service.supervision.classes import commands, documents, recompute, runs, tiers
from credit_service.supervision.inspections import rules

AGENCY = compose("11", "500103", "00928654")
CATALOGUE = load_catalogue()
RECORDS_EACH = 5

_CODES = 'CREATE UNLOGGED TABLE bench_code (n integer PRIMARY KEY, uscc varchar(18) COLLATE "C" NOT NULL)'
_ENTITIES = """
INSERT INTO entity (uscc, name, category, division, industry, registration_status, established_on, source, created_at,
    updated_at)
SELECT uscc, '重庆市基准测试商贸' || lpad(n::text, 8, '0') || '有限公司', left(uscc, 2), substr(uscc, 3, 6),
    ('{F5191,C2610,I6510,H6210}'::text[])[1 + n % 4], 'active', date '2010-01-01' + n % 5000, 'registrar', $1, $1
FROM bench_code ORDER BY uscc
"""
# In the order in which records come, which is none of the codes': they are scattered over the key space.
_RECORDS = """
INSERT INTO record (uscc, id, item_code, document_number, authority_uscc, authority_name, source_uscc, source_name,
    entity_name, decided_on, valid_until, legal_basis, public_facts, shared_facts, restricted_facts, severity,
    explanation, rule_version, state, state_from, notices, publicity_from, publicity_until, version, content_digest,
    recorded_at, changed_at)
SELECT c.uscc, uuidv7(), item, '渝中市监处字〔2026〕' || c.n || '-' || k || '号', $2, '重庆市渝中区市场监督管理局', $2,
    '重庆市渝中区市场监督管理局', '基准测试', ($1 AT TIME ZONE 'UTC')::date - (c.n * 7 + k * 131) % 1400,
    date '2099-12-31', '《中华人民共和国食品安全法》第一百二十四条',
    json_build_object('violation_type', '经营超过保质期的食品',
        'fulfilment', CASE WHEN c.n % 9 = 0 THEN '部分履行' ELSE '全部履行' END,
        'result', CASE WHEN c.n % 11 = 0 THEN '发现问题已责令改正' ELSE '未发现问题' END,
        'penalty_content', '罚款、没收违法所得', 'fine_amount', '5000.00'),
    '{"procedure": "ordinary"}', '{}',
    CASE WHEN item = 'administrative-penalty' THEN ('{minor,general,general,serious}'::text[])[1 + (c.n + k) % 4] END,
    '[]', 'benchmark', CASE WHEN (c.n + k) % 10 = 0 THEN 'repaired' ELSE 'published' END, $1, '[]',
    $1 - interval '30 days', $1 + interval '300 days' * (1 + k % 3), 1, '\\x00', $1, $1
FROM generate_series(1, $3::integer) AS k
CROSS JOIN bench_code c
CROSS JOIN LATERAL (SELECT CASE
    WHEN k = 1 AND c.n % 97 = 0 THEN 'serious-dishonesty-tax' WHEN k = 2 AND c.n % 23 = 0 THEN 'abnormal-operation-list'
    WHEN k = 3 THEN 'commitment' WHEN k = 4 AND c.n % 3 = 0 THEN 'inspection-result'
    WHEN k = 5 AND c.n % 4 = 0 THEN 'administrative-penalty' ELSE 'administrative-licence' END AS item) chosen
"""
_BARE = "SELECT count(*) FROM (SELECT uscc, count(*), max(decided_on) FROM record GROUP BY uscc) AS grouped"


async def fill(server: EmbeddedServer, entities: int) -> float:
    began, now = time.perf_counter(), datetime.now(UTC)
    connection = await asyncpg.connect(**connect_arguments(server.superuser_url))
    try:
        await connection.execute("SET synchronous_commit = off; SET work_mem = '256MB'; SET timezone = 'UTC'")
        await connection.execute(_CODES)
        await connection.copy_records_to_table("bench_code", records=enumerate(codes(entities), 1))
        await connection.execute(_ENTITIES, now)
        await connection.execute(_RECORDS, now, AGENCY, RECORDS_EACH)
        await connection.execute("VACUUM (ANALYZE)")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
    return round(time.perf_counter() - began, 1)


async def compute(database: Database, server: EmbeddedServer, entities: int) -> dict[str, Any]:
    """The first full computation, then the same again, as a month later; beside bare SQL over the same rows."""
    clock = SystemClock()
    document = documents.shipped()["example-general"]
    async with database.transaction() as session:
        row = await commands.propose(session, CATALOGUE, Actor("one", "b"), clock.now(), document)
    async with database.transaction() as session:
        _, run = await commands.activate(session, Actor("two", "b"), clock.now(), row.id, "*")
    first = await _timed(lambda: _run(database, clock, run.id, entities))
    connection = await asyncpg.connect(**connect_arguments(server.superuser_url))
    await connection.execute("VACUUM (ANALYZE)")
    again = await runs.start_full(database, Actor("worker", "b"), clock)
    second = await _timed(lambda: _run(database, clock, again, entities))
    bare = await _timed(lambda: connection.fetchval(_BARE))
    await connection.close()
    return {
        "first_entities_per_second": round(entities / first),
        "again_entities_per_second": round(entities / second),
        "again_over_bare_group_by": round(bare / second, 3),
        "lanes": runs.LANES,
    }


async def _run(database: Database, clock: SystemClock, run_id: Any, entities: int) -> None:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("classes", total=entities)
        await runs.work(database, CATALOGUE, clock, run_id, told=lambda judged, changed: progress.advance(task, judged))


async def _timed(work: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def pages(database: Database, entities: int) -> dict[str, Any]:
    """A page at the beginning and behind nine tenths, in every order and under several filters."""
    asked = {
        "everything": tiers.Filters(),
        "class C": tiers.Filters(classes=("C",)),
        "class B of a city": tiers.Filters(classes=("B",), division="5001"),
        "an industry": tiers.Filters(industry="C26"),
        "a list": tiers.Filters(list_code="abnormal-operation-list"),
    }
    found: dict[str, Any] = {}
    pool = await database.pool()
    async with pool.acquire() as connection:
        for name, filters in asked.items():
            for order in tiers.ORDERS if name in ("everything", "class C") else ("division",):
                total = sum((await tiers.count(connection, filters)).values())
                behind = total * 9 // 10
                sql, arguments = tiers.page_query(filters, order, None, behind)
                last = await connection.fetchrow(f"SELECT * FROM ({sql}) AS found OFFSET {behind}", *arguments)
                place = tiers.place_of(order, last)
                first = [
                    await _timed(lambda f=filters, o=order: tiers.page(connection, f, o, None, 50)) for _ in range(21)
                ]
                deep = [
                    await _timed(lambda f=filters, o=order, p=place: tiers.page(connection, f, o, p, 50))
                    for _ in range(21)
                ]
                found[f"{name}, by {order}"] = {
                    "total": total,
                    "first_ms": median([each * 1e3 for each in first]),
                    "deep_ms": median([each * 1e3 for each in deep]),
                }
        counts = [await _timed(lambda: tiers.count(connection, asked["class B of a city"])) for _ in range(21)]
        kept = await tiers.count(connection, tiers.Filters())
        real = dict(await connection.fetch("SELECT risk_class, count(*) FROM entity_class GROUP BY 1"))
        recount = await _timed(lambda: connection.fetch("SELECT risk_class, count(*) FROM entity_class GROUP BY 1"))
    if kept != real or sum(real.values()) != entities:
        raise SystemExit(f"counts drifted: {kept} {real}")
    found["count_ms"] = median([each * 1e3 for each in counts])
    found["count_by_rows_ms"] = round(recount * 1e3, 3)
    found["distribution"] = kept
    return found


async def incremental(database: Database, changes: int) -> dict[str, Any]:
    """The same submissions with the note of the change and without it, in turn; and the judging afterwards."""
    now = datetime.now(UTC)
    async with database.transaction() as session:
        grants = [Grant(item_code="administrative-penalty", division_prefix="50")]
        body = AgencyWrite(name="重庆市渝中区市场监督管理局", division="500103", level="district", grants=grants)
        await accounts.put_agency(session, CATALOGUE, Actor("b", "b"), now, AGENCY, body)
    usccs = random.Random(3).sample(list(codes(10_000)), 2 * changes)
    noted, times = profile.note_changes, ([], [])  # type: ignore[var-annotated]

    async def silent(connection: Any, codes: Any) -> None:
        return None

    for number, uscc in enumerate(usccs):
        with_note = number % 2 == 0
        profile.note_changes = noted if with_note else silent
        times[0 if with_note else 1].append(await _timed(lambda u=uscc, n=number: _submit(database, u, n, now)))
    profile.note_changes = noted
    followed = await _timed(lambda: recompute.follow_changes(database, CATALOGUE, SystemClock()))
    return {
        "submission_ms": median([each * 1e3 for each in times[0]]),
        "submission_without_note_ms": median([each * 1e3 for each in times[1]]),
        "overhead": round(statistics.median(times[0]) / statistics.median(times[1]) - 1, 3),
        "followed_per_second": round(changes / followed),
    }


async def _submit(database: Database, uscc: str, number: int, now: datetime) -> None:
    kinds = ("facts-grounds-and-rights", "publicity-notice", "repair-notice")
    day = now.date() - timedelta(days=20)
    body = RecordSubmission(
        item_code="administrative-penalty",
        uscc=uscc,
        entity_name="基准测试有限公司",
        document_number=f"基准〔2026〕{number}号",
        decided_on=day,
        authority_uscc=AGENCY,
        authority_name="重庆市渝中区市场监督管理局",
        legal_basis="《中华人民共和国食品安全法》第一百二十四条",
        notices=[Notice(kind=k, served_on=day, means=ServiceMeans.DIRECT, evidence="送达回证") for k in kinds],
        facts={
            "violation_type": "经营超过保质期的食品",
            "violation_facts": "当事人销售超过保质期的预包装食品。",
            "penalty_categories": ["罚款"],
            "penalty_content": "罚款",
            "fine_amount": "5000.00",
        },
    )
    async with database.transaction() as session:
        await records.submit(session, CATALOGUE, Actor("client:b", "b", AGENCY), datetime.now(UTC), body)


def draw(entities: int, quota: int) -> dict[str, Any]:
    """A draw by the service's function and by the independent program of the examples: times and equality."""
    path = Path(__file__).resolve().parent.parent / "examples" / "verify_draw.py"
    spec = importlib.util.spec_from_file_location("verify_draw", path)
    assert spec is not None
    assert spec.loader is not None
    other = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(other)
    key, secret = os.urandom(32), os.urandom(32)
    began = time.perf_counter()
    handles = sorted(rules.handle_of(key, code) for code in codes(entities))
    material = {
        "strata": [{"label": "1", "quota": quota, "entities": handles}],
        "inspectors": sorted(rules.handle_of(key, str(number)) for number in range(100)),
        "inspectors_each": 2,
        "conflicts": [],
        "plan": {},
    }
    canonical_json(material)
    committed = time.perf_counter() - began
    began = time.perf_counter()
    drawn = rules.draw(material, secret, "03 08 12 25 31 33 + 07")
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    again = other.draw(material, secret, "03 08 12 25 31 33 + 07", set())
    return {
        "entities": entities,
        "drawn": len(drawn),
        "lists_seconds": round(committed, 2),
        "draw_seconds": round(seconds, 2),
        "independent_seconds": round(time.perf_counter() - began, 2),
        "identical": drawn == again,
    }


async def _measure(server: EmbeddedServer, entities: int, changes: int) -> dict[str, Any]:
    loaded = await fill(server, entities)
    say(f"{entities} entities, {entities * RECORDS_EACH} records in {loaded} s")
    database = Database(server.service_url, role="credit_service", pool_size=6)
    try:
        found = {
            "entities": entities,
            "records": entities * RECORDS_EACH,
            "loaded_seconds": loaded,
            "computation": await compute(database, server, entities),
            "tiers": await pages(database, entities),
        }
        if changes:
            found["incremental"] = await incremental(database, changes)
        return found
    finally:
        await database.close()


def _ratios(small: dict[str, Any], large: dict[str, Any]) -> dict[str, float]:
    names = [name for name in large["tiers"] if ", by " in name]
    return {
        "deep_over_first_at_most": round(
            max(large["tiers"][name]["deep_ms"] / large["tiers"][name]["first_ms"] for name in names), 2
        ),
        "ten_times_the_data_at_most": round(
            max(large["tiers"][name]["first_ms"] / small["tiers"][name]["first_ms"] for name in names), 2
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, default=100_000)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--draw-from", type=int, default=1_000_000)
    parser.add_argument("--draw", type=int, default=5_000)
    chosen = parser.parse_args()
    options = {"shared_buffers": "512MB", "max_wal_size": "4GB"}
    result: dict[str, Any] = {"machine": machine(), "draw": draw(chosen.draw_from, chosen.draw)}
    for name, entities, changes in (("small", chosen.entities // 10, 0), ("large", chosen.entities, chosen.changes)):
        with prepared_database(options) as server:
            result[name] = asyncio.run(_measure(server, entities, changes))
    result["pages"] = _ratios(result["small"], result["large"])
    print(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    main()
