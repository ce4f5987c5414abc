"""Tier queries against the same question asked of a list in memory; distribution, migration, statistics, exports."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import asyncpg
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credit_service.accounts.rules import Role
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database
from credit_service.records.models import State
from credit_service.supervision.classes import recompute, runs, tiers
from credit_service.supervision.classes.rules import Facts, evaluate, tags
from credit_service.supervision.classes.statistics import months_back
from tests.api import CATALOGUE, Api
from tests.conftest import NOW
from tests.supervision.classes.support import EXAMPLE, KINDS, LISTS, adopt, company, enter, penalty_fact

KINDS_OF_PENALTY: list[list[dict[str, Any]]] = [
    [],
    [{"severity": "general"}],
    [{}, {"severity": "minor"}],
    [{"item_code": "serious-dishonesty-tax", "severity": None}],
    [{"item_code": "taxpayer-grade-a", "severity": None}, {"severity": "general"}],
    [{"item_code": "abnormal-operation-list", "severity": None, "state": State.WITHHELD}],
]
PLACES = [("500103", "F51"), ("500112", "C26"), ("110105", ""), ("500103", "F52")]
PEOPLE: list[Facts] = [
    company(
        *(penalty_fact(**each) for each in KINDS_OF_PENALTY[number % 6]),
        number=number,
        division=PLACES[number % 4][0],
        industry=PLACES[number % 4][1],
    )
    for number in range(60)
]


async def filled(database: Database, owner: asyncpg.Connection[Any], clock: FixedClock) -> None:
    await enter(owner, PEOPLE)
    _, run_id = await adopt(database, clock)
    await runs.work(database, CATALOGUE, clock, run_id)


asked = st.builds(
    tiers.Filters,
    classes=st.sampled_from([(), ("C",), ("A", "D")]),
    division=st.sampled_from(["", "50", "5001", "500103", "11", "99"]),
    industry=st.sampled_from(["", "F", "F51", "C"]),
    list_code=st.sampled_from([None, None, "serious-dishonesty-tax", "taxpayer-grade-a", "abnormal-operation-list"]),
    kind=st.sampled_from([None, None, "penalty", "list-entry"]),
    since_from=st.sampled_from([None, None, date(2026, 5, 6), date(2026, 5, 7)]),
    since_to=st.sampled_from([None, None, date(2026, 5, 6), date(2026, 5, 5)]),
)


def matching(filters: tiers.Filters) -> dict[str, str]:
    """The answer by a walk over the list: all classes began on 2026-05-06."""
    day = date(2026, 5, 6)
    if (filters.since_from or day) > day or (filters.since_to or day) < day:
        return {}
    found = {}
    for each in PEOPLE:
        risk_class, own = evaluate(each, EXAMPLE, NOW).risk_class, tags(each, KINDS, LISTS, NOW)
        if filters.classes and risk_class not in filters.classes:
            continue
        if not each.division.startswith(filters.division) or not each.industry.startswith(filters.industry):
            continue
        if set(filters.tags) <= set(own):
            found[each.uscc] = risk_class
    return found


@pytest.fixture
async def tiered(database: Database, owner: asyncpg.Connection[Any], clock: FixedClock) -> Database:
    await filled(database, owner, clock)
    return database


@given(filters=asked, order=st.sampled_from(["division", "risk", "since"]), limit=st.integers(1, 25))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_pages_and_counts(tiered: Database, filters: tiers.Filters, order: str, limit: int) -> None:
    wanted = matching(filters)
    pool = await tiered.pool()
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        seen: list[Any] = []
        after = None
        while True:
            rows = await tiers.page(connection, filters, order, after, limit)
            seen += rows[:limit]
            if len(rows) <= limit:
                break
            after = tiers.place_of(order, rows[limit - 1])
        assert {row["uscc"]: row["risk_class"] for row in seen} == wanted
        assert len(seen) == len(wanted)
        places = [tuple(tiers.place_of(order, row)) for row in seen]
        assert places == sorted(places, reverse=order != "division")
        assert await tiers.count(connection, filters) == Counter(wanted.values())


_MANY = """
INSERT INTO entity (uscc, name, category, division, registration_status, source, created_at, updated_at)
SELECT '91' || lpad(n::text, 16, '0'), '测试有限公司', '91', (500103 + n % 9)::text, 'active', 'registrar', $1, $1
FROM generate_series(1, 20000) AS n;
"""
_THEIR_CLASSES = """
INSERT INTO entity_class (uscc, division, industry, risk_class, points, tags, rule_set_id, since, evaluated_at,
    fresh_until)
SELECT uscc, division, 'F51', CASE WHEN substr(uscc, 18, 1) = '7' THEN 'D' ELSE 'C' END,
    30 + substr(uscc, 14, 5)::integer % 300, '{}', gen_random_uuid(),
    $1::timestamptz - interval '1 hour' * (substr(uscc, 14, 5)::integer % 3000), $1, 'infinity' FROM entity
"""


async def test_a_page_reads_no_more_where_it_is_deep(owner: asyncpg.Connection[Any]) -> None:
    """Pages that the database reads for the first page and for one behind nine tenths: the same, and few."""
    await owner.execute(_MANY.replace("$1", f"'{NOW.isoformat()}'"))
    await owner.execute(_THEIR_CLASSES, NOW)
    await owner.execute("VACUUM (ANALYZE) entity_class, entity")
    day = (NOW - timedelta(days=10)).date()
    for filters in (
        tiers.Filters(),
        tiers.Filters(classes=("C",)),
        tiers.Filters(classes=("C", "D")),
        tiers.Filters(classes=("C",), division="5001"),
        tiers.Filters(division="50010"),
        tiers.Filters(classes=("C",), industry="F"),
        tiers.Filters(classes=("C",), since_to=day),
    ):
        for order in tiers.ORDERS:
            if filters.since_to is not None and order != "since":
                continue
            total = (await owner.fetch(*_all_of(filters, order, None, 30_000)))[:-51]
            read = []
            for place in (None, tiers.place_of(order, total[-1])):
                sql, arguments = tiers.page_query(filters, order, place, 50)
                explained = await owner.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *arguments)
                plan = orjson.loads(explained)[0]["Plan"]
                assert plan["Actual Rows"] == 51
                read.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
            assert read[1] <= read[0] + 20, (filters, order, read)
            assert read[0] <= 51 * 8 + 100, (filters, order, read)


def _all_of(filters: tiers.Filters, order: str, place: Any, limit: int) -> tuple[Any, ...]:
    sql, arguments = tiers.page_query(filters, order, place, limit)
    return sql, *arguments


async def test_over_http(api: Api, owner: asyncpg.Connection[Any]) -> None:
    await filled(api.database, owner, api.clock)
    path = "/v1/supervision/entities"
    wanted = matching(tiers.Filters(classes=("D",), division="5001"))
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        query = {"class": "D", "division": "5001", "sort": "risk", "limit": "3"} | cursor
        answer = (await api.get(path, Role.REGULATOR, params=query)).json()
        assert (answer["total"], answer["pending"]) == (len(wanted), False)
        seen += [row["uscc"] for row in answer["entities"]]
        if answer["next_cursor"] is None:
            break
        cursor = {"cursor": answer["next_cursor"]}
    assert sorted(seen) == sorted(wanted)
    assert answer["entities"][0]["lists"] == ["serious-dishonesty-tax"]
    wrong = await api.get(path, Role.REGULATOR, params={"sort": "division", "cursor": cursor["cursor"]})
    assert wrong.json()["type"].endswith("cursor-invalid")
    for query in ({"list": "no-list"}, {"list": "administrative-penalty"}, {"kind": "x"}, {"division": "5"}):
        assert (await api.get(path, Role.REGULATOR, params=query)).status_code == 422, query
    for role in (Role.PUBLIC, Role.SUBJECT, Role.SUBMITTER):
        assert (await api.get(path, role)).status_code in (401, 403)


async def test_exports_hold_everything_and_no_formula(api: Api, owner: asyncpg.Connection[Any]) -> None:
    await filled(api.database, owner, api.clock)
    await owner.execute("UPDATE entity SET name = '=cmd|calc' WHERE uscc = $1", PEOPLE[0].uscc)
    path = "/v1/supervision/entities/export"
    text = (await api.get(path, Role.REGULATOR, params={"division": "50"})).content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    wanted = matching(tiers.Filters(division="50"))
    assert {row["统一社会信用代码"]: row["信用风险类别"] for row in rows} == wanted
    assert next(row for row in rows if row["统一社会信用代码"] == PEOPLE[0].uscc)["名称"] == "'=cmd|calc"
    lines = (await api.get(path, Role.REGULATOR, params={"format": "ndjson", "class": "A"})).text.splitlines()
    assert len(lines) == len(matching(tiers.Filters(classes=("A",))))
    assert orjson.loads(lines[0])["信用风险类别"] == "A"
    workbook = await api.get(path, Role.REGULATOR, params={"format": "xlsx"})
    assert workbook.content[:2] == b"PK"


async def test_distribution_and_migration_between_days(api: Api, owner: asyncpg.Connection[Any]) -> None:
    """Three of each class move on the next day; both ends and the matrix are what a recount of the history says."""
    await filled(api.database, owner, api.clock)
    first = {each.uscc: evaluate(each, EXAMPLE, NOW).risk_class for each in PEOPLE}
    api.clock.instant = NOW + timedelta(days=1)
    repaired = [each for each in PEOPLE if each.records][:15]
    for each in repaired:
        await owner.execute("UPDATE record SET state = 'repaired' WHERE uscc = $1", each.uscc)
        await owner.execute("INSERT INTO entity_change VALUES ($1)", each.uscc)
    answer = await api.get("/v1/supervision/distribution", Role.REGULATOR)
    assert answer.json()["pending"] is True
    await recompute.follow_changes(api.database, CATALOGUE, api.clock)
    second = first | {each.uscc: evaluate(replace(each, records=()), EXAMPLE, NOW).risk_class for each in repaired}

    async def distribution(**query: str) -> dict[str, int]:
        answer = await api.get("/v1/supervision/distribution", Role.REGULATOR, params=query)
        return {name: n for name, n in answer.json()["classes"].items() if n}

    assert await distribution(day="2026-05-05") == {}
    assert await distribution(day="2026-05-06") == Counter(first.values())
    assert await distribution() == await distribution(day="2026-05-07") == Counter(second.values())
    local = [each.uscc for each in PEOPLE if each.division == "500103"]
    assert await distribution(division="500103") == Counter(second[code] for code in local)
    query = {"from_day": "2026-05-06", "to_day": "2026-05-07"}
    found = (await api.get("/v1/supervision/migration", Role.REGULATOR, params=query)).json()["transitions"]
    matrix = Counter((first[code], second[code]) for code in first)
    assert {(t["before"], t["after"]): t["entities"] for t in found} == matrix
    found = (await api.get("/v1/supervision/migration", Role.REGULATOR, params=query | {"division": "500103"})).json()
    matrix = Counter((first[code], second[code]) for code in local)
    assert {(t["before"], t["after"]): t["entities"] for t in found["transitions"]} == matrix
    query = {"from_day": "2026-05-05", "to_day": "2026-05-06"}
    found = (await api.get("/v1/supervision/migration", Role.REGULATOR, params=query)).json()["transitions"]
    assert {(t["before"], t["after"]): t["entities"] for t in found} == Counter((None, each) for each in first.values())


async def test_statistics(api: Api, owner: asyncpg.Connection[Any]) -> None:
    await filled(api.database, owner, api.clock)
    listed = {each.uscc for each in PEOPLE if any(r.item_code == "serious-dishonesty-tax" for r in each.records)}
    sizes = {each["code"]: each for each in (await api.get("/v1/statistics/lists")).json()["lists"]}
    assert sizes["serious-dishonesty-tax"]["entities"] == len(listed) > 0
    assert sizes["abnormal-operation-list"]["entities"] == 0, "withheld entries are nobody's public figure"
    assert sizes["serious-dishonesty-tax"]["months"]["2026-05"] == len(listed)
    assert sizes["serious-dishonesty-tax"]["months"]["2026-04"] == 0
    heat = (await api.get("/v1/statistics/lists/heat", params={"list": "serious-dishonesty-tax", "level": 4})).json()
    by_place = Counter((e.division[:4], e.industry[:1]) for e in PEOPLE if e.uscc in listed)
    assert {(cell["division"], cell["section"]): cell["entities"] for cell in heat["cells"]} == by_place
    api.clock.instant = NOW + timedelta(days=70)
    trend = (await api.get("/v1/statistics/classes", Role.REGULATOR, params={"months": 4})).json()["months"]
    assert [month["month"] for month in trend] == ["2026-04", "2026-05", "2026-06", "2026-07"]
    assert sum(trend[0]["classes"].values()) == 0
    wanted = Counter(evaluate(each, EXAMPLE, NOW).risk_class for each in PEOPLE)
    assert trend[1]["classes"] == trend[3]["classes"] == {each: wanted[each] for each in "ABCD"}
    cells = (await api.get("/v1/statistics/classes/heat", Role.REGULATOR, params={"level": 2})).json()["cells"]
    assert sum(sum(cell["classes"].values()) for cell in cells) == len(PEOPLE)
    assert (await api.get("/v1/statistics/classes")).status_code == 401


def test_months_back_over_a_year() -> None:
    found = months_back(date(2026, 2, 28), 14)
    assert (found[0], found[1], found[-1], len(found)) == (date(2025, 1, 1), date(2025, 2, 1), date(2026, 2, 1), 14)


async def test_a_clock_that_was_ahead_does_no_harm(api: Api, owner: asyncpg.Connection[Any]) -> None:
    """What was computed by it counts in the present month: the figures are of what there is."""
    api.clock.instant = NOW + timedelta(days=40)
    await filled(api.database, owner, api.clock)
    api.clock.instant = NOW
    months = (await api.get("/v1/statistics/classes?months=2", Role.REGULATOR)).json()["months"]
    assert [sum(each["classes"].values()) for each in months] == [0, len(PEOPLE)]
    assert (await api.get("/v1/statistics/lists")).status_code == 200
