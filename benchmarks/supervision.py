"""Risk classes, tier queries and draws: whole computations, single changes, pages at any depth, a draw repeated.

Two registries side by side, the second ten times the first: the small one is the peer of the large one, bare SQL over
the same rows is the limit of the computation, and the same submission of which no class hears that of the incremental
change. What is compared is measured in turn, round by round, so that other work on the machine falls on both alike.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import random
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
ROWS_A_PAGE, PAGE_ROUNDS, WARM = 50, 101, 10
CHANGES_A_ROUND = 50

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


async def pages(small: Database, large: Database) -> dict[str, Any]:
    """The first page, the second and one behind nine tenths, of both registries in turn, in every order and by filters.

    The second asks what the deep one asks, from another place; the first may be planned once and for all.
    Beside the milliseconds stand the server's processor time (``cpu_ms``) and the pages of the database that were read
    (``blocks``), which other work on the machine hardly changes, or not at all.
    """
    asked = {
        "everything": tiers.Filters(),
        "class C": tiers.Filters(classes=("C",)),
        "class B of a city": tiers.Filters(classes=("B",), division="5001"),
        "an industry": tiers.Filters(industry="C26"),
        "a list": tiers.Filters(list_code="abnormal-operation-list"),
    }
    whole = "everything", "class C", "class B of a city"
    found: dict[str, Any] = {}
    pools = {"small": await small.pool(), "large": await large.pool()}
    async with (
        pools["small"].acquire() as one,
        pools["large"].acquire() as other,
        one.transaction(isolation="repeatable_read", readonly=True),
        other.transaction(isolation="repeatable_read", readonly=True),
    ):
        connections = {"small": one, "large": other}
        for name, filters in asked.items():
            for order in tiers.ORDERS if name in whole else ("division",):
                found[f"{name}, by {order}"] = await _page(connections, filters, order)
    return found


async def _page(connections: dict[str, Any], filters: tiers.Filters, order: str) -> dict[str, Any]:
    places: dict[tuple[str, str], Any] = {}
    found: dict[str, dict[str, Any]] = {}
    for size, connection in connections.items():
        total = sum((await tiers.count(connection, filters)).values())
        behind = min(total * 9 // 10, total - ROWS_A_PAGE - 2)
        sql, arguments = tiers.page_query(filters, order, None, behind)
        last = await connection.fetchrow(f"SELECT * FROM ({sql}) AS found OFFSET {behind}", *arguments)
        head = await tiers.page(connection, filters, order, None, ROWS_A_PAGE)
        places |= {(size, "first"): None, (size, "second"): tiers.place_of(order, head[ROWS_A_PAGE - 1])}
        places[size, "deep"] = tiers.place_of(order, last)
        found[size] = {"total": total}
    times: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in places}
    for number in range(PAGE_ROUNDS + WARM):
        for (size, depth), place in places.items():
            used, began = _processor_ms(connections[size]), time.perf_counter()
            rows = await tiers.page(connections[size], filters, order, place, ROWS_A_PAGE)
            took = (time.perf_counter() - began) * 1e3
            if number >= WARM:
                times[size, depth].append((took, _processor_ms(connections[size]) - used))
            if len(rows) != ROWS_A_PAGE + 1:
                raise SystemExit(f"a page of {len(rows)} rows: {filters} {order} {size} {depth}")
    for (size, depth), place in places.items():
        sql, arguments = tiers.page_query(filters, order, place, ROWS_A_PAGE)
        explained = await connections[size].fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *arguments)
        plan = json.loads(explained)[0]["Plan"]
        found[size][f"{depth}_ms"] = median([took for took, _ in times[size, depth]])
        found[size][f"{depth}_cpu_ms"] = median([used for _, used in times[size, depth]])
        found[size][f"{depth}_blocks"] = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return found


def _processor_ms(connection: Any) -> float:
    """The processor time that a connection's server process has had (Linux)."""
    return int(Path(f"/proc/{connection.get_server_pid()}/schedstat").read_text().split()[0]) / 1e6


async def counts(database: Database, entities: int) -> dict[str, Any]:
    """The maintained counts against the rows themselves; the run ends without figures when they differ."""
    pool = await database.pool()
    async with pool.acquire() as connection:
        city = tiers.Filters(classes=("B",), division="5001")
        kept_times = [await _timed(lambda: tiers.count(connection, city)) for _ in range(21)]
        kept = await tiers.count(connection, tiers.Filters())
        sql = "SELECT risk_class, count(*) FROM entity_class GROUP BY 1"
        real = dict(await connection.fetch(sql))
        recount = await _timed(lambda: connection.fetch(sql))
        of_city = "division LIKE '5001%' AND risk_class = 'B'"
        rows = await connection.fetchval(f"SELECT count(*) FROM entity_class WHERE {of_city}")
        told = (await tiers.count(connection, city)).get("B", 0)
    if kept != real or sum(real.values()) != entities or told != rows:
        raise SystemExit(f"counts drifted: {kept} {real}; of a city {told} {rows}")
    return {
        "exact": True,
        "count_ms": median([each * 1e3 for each in kept_times]),
        "count_by_rows_ms": round(recount * 1e3, 3),
        "distribution": kept,
    }


async def incremental(database: Database, rounds: int) -> dict[str, Any]:
    """The same submissions with the class following and without, in turn; each round ends with what follows them.

    ``overhead_in_transaction`` is what the note of a change adds to the submission, ``overhead`` the note and the
    judging by the worker together: the median of the rounds' (noted + followed) / silent - 1.
    """
    now = datetime.now(UTC)
    async with database.transaction() as session:
        grants = [Grant(item_code="administrative-penalty", division_prefix="50")]
        body = AgencyWrite(name="重庆市渝中区市场监督管理局", division="500103", level="district", grants=grants)
        await accounts.put_agency(session, CATALOGUE, Actor("b", "b"), now, AGENCY, body)
    usccs = random.Random(3).sample(list(codes(10_000)), 2 * rounds * CHANGES_A_ROUND)
    noted = profile.note_changes
    times: dict[str, list[float]] = {"noted": [], "silent": []}
    shares, in_transaction, followed = [], [], []

    async def silent(connection: Any, codes: Any) -> None:
        return None

    number = 0
    for _ in range(rounds):
        own: dict[str, list[float]] = {"noted": [], "silent": []}
        for pair in range(CHANGES_A_ROUND):
            for name in ("noted", "silent") if pair % 2 else ("silent", "noted"):
                profile.note_changes = noted if name == "noted" else silent
                own[name].append(await _timed(lambda u=usccs[number], n=number: _submit(database, u, n, now)))
                number += 1
        profile.note_changes = noted
        began = time.perf_counter()
        judged = await recompute.follow_changes(database, CATALOGUE, SystemClock())
        followed.append(time.perf_counter() - began)
        if judged != CHANGES_A_ROUND:
            raise SystemExit(f"{judged} entities followed {CHANGES_A_ROUND} changes")
        shares.append((sum(own["noted"]) + followed[-1]) / sum(own["silent"]) - 1)
        in_transaction.append(sum(own["noted"]) / sum(own["silent"]) - 1)
        for name, found in own.items():
            times[name] += found
    return {
        "rounds": rounds,
        "changes_a_round": CHANGES_A_ROUND,
        "submission_ms": median([each * 1e3 for each in times["noted"]]),
        "submission_without_note_ms": median([each * 1e3 for each in times["silent"]]),
        "followed_ms_a_change": median([each / CHANGES_A_ROUND * 1e3 for each in followed]),
        "overhead_in_transaction": median(in_transaction),
        "overhead": median(shares),
        "overhead_of_each_round": [round(each, 3) for each in shares],
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


async def _registry(server: EmbeddedServer, database: Database, entities: int) -> dict[str, Any]:
    loaded = await fill(server, entities)
    say(f"{entities} entities, {entities * RECORDS_EACH} records in {loaded} s")
    return {
        "entities": entities,
        "records": entities * RECORDS_EACH,
        "loaded_seconds": loaded,
        "computation": await compute(database, server, entities),
        "counts": await counts(database, entities),
    }


async def _measure(small: EmbeddedServer, large: EmbeddedServer, entities: int, rounds: int) -> dict[str, Any]:
    one = Database(small.service_url, role="credit_service", pool_size=6)
    other = Database(large.service_url, role="credit_service", pool_size=6)
    try:
        found: dict[str, Any] = {
            "small": await _registry(small, one, entities // 10),
            "large": await _registry(large, other, entities),
        }
        found["tiers"] = await pages(one, other)
        found["pages"] = _ratios(found["tiers"])
        found["incremental"] = await incremental(other, rounds)
        found["counts_after_changes"] = (await counts(other, entities))["exact"]
        return found
    finally:
        await one.close()
        await other.close()


def _ratios(measured: dict[str, Any]) -> dict[str, float]:
    """The worst of the ratios between deep and second pages, and between registries, by time and by blocks read."""
    found = {}
    for unit in ("ms", "cpu_ms", "blocks"):
        deep = [
            each[size][f"deep_{unit}"] / each[size][f"second_{unit}"] for each in measured.values() for size in each
        ]
        grown = [
            each["large"][f"{depth}_{unit}"] / each["small"][f"{depth}_{unit}"]
            for each in measured.values()
            for depth in ("first", "second", "deep")
        ]
        found[f"deep_over_second_at_most_by_{unit}"] = round(max(deep), 2)
        found[f"ten_times_the_data_at_most_by_{unit}"] = round(max(grown), 2)
    return found


def _quarter() -> str:
    """A quarter of the memory, in megabytes, as PostgreSQL's manual advises for a server of its own."""
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 4 >> 20}MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, default=100_000, help="60,000 or more, for two pages of every filter")
    parser.add_argument("--rounds", type=int, default=10, help=f"of {CHANGES_A_ROUND} changes each")
    parser.add_argument("--draw-from", type=int, default=1_000_000)
    parser.add_argument("--draw", type=int, default=5_000)
    parser.add_argument("--shared-buffers", default=_quarter())
    chosen = parser.parse_args()
    options = {"shared_buffers": chosen.shared_buffers, "max_wal_size": "4GB"}
    result: dict[str, Any] = {"machine": machine(), "server": options, "draw": draw(chosen.draw_from, chosen.draw)}
    with prepared_database(options) as small, prepared_database(options) as large:
        result |= asyncio.run(_measure(small, large, chosen.entities, chosen.rounds))
    print(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    main()
