"""The statement that judges a population says what the pure function says, of any facts and any rule set."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credit_service.supervision.classes import compiling
from credit_service.supervision.classes.rules import Facts, RuleSet, boundaries, evaluate, tags
from tests.conftest import NOW
from tests.supervision.classes.support import CATALOGUE, EXAMPLE, KINDS, LISTS, enter, entities, rule_sets

ONCE = [HealthCheck.function_scoped_fixture]


def expected(facts: Facts, rule_set: RuleSet, at: datetime) -> dict[str, Any]:
    found = evaluate(facts, rule_set, at)
    ahead = boundaries(facts, rule_set, at)
    return {
        "uscc": facts.uscc,
        "division": facts.division,
        "industry": facts.industry,
        "risk_class": found.risk_class,
        "points": found.points,
        "tags": list(tags(facts, KINDS, LISTS, at)),
        "fresh_until": ahead[0] if ahead else None,
    }


def by_code(rows: list[asyncpg.Record]) -> dict[str, dict[str, Any]]:
    never = datetime.max.date()  # PostgreSQL's infinity, whose time zone the driver does not say
    return {
        row["uscc"]: dict(row) | {"fresh_until": None if row["fresh_until"].date() == never else row["fresh_until"]}
        for row in rows
    }


@given(
    population=st.lists(entities, min_size=1, max_size=8),
    rule_set=rule_sets() | st.just(EXAMPLE),
    hours=st.integers(0, 9000),
)
@settings(max_examples=80, deadline=None, suppress_health_check=ONCE)
async def test_sql_and_function_agree(
    owner: asyncpg.Connection[Any], population: list[Facts], rule_set: RuleSet, hours: int
) -> None:
    at = NOW + timedelta(hours=hours)
    transaction = owner.transaction()
    await transaction.start()
    try:
        await enter(owner, population)
        compiled = compiling.present(rule_set, CATALOGUE, [each.uscc for each in population], at, ranged=False)
        rows = by_code(await owner.fetch(compiled.sql, *compiled.arguments))
        bounds = ["", "Z" * 18]
        ranged = compiling.present(rule_set, CATALOGUE, bounds, at, ranged=True)
        again = by_code(await owner.fetch(ranged.sql, *ranged.arguments))
    finally:
        await transaction.rollback()
    assert rows == again
    assert set(rows) == {each.uscc for each in population}
    for each in population:
        assert rows[each.uscc] == expected(each, rule_set, at), each
