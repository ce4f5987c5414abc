"""The demonstration: who and what is in it, counted in the database; every kind in every state that it can have."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import asyncpg

from credit_service import demo
from credit_service.catalogue.loader import load
from credit_service.demo.population import agencies, entities
from credit_service.demo.records import drafts
from credit_service.identity.categories import CATEGORIES
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import connect_arguments
from credit_service.records.models import State
from credit_service.records.rules import content_of
from tests.support import DatabaseUrls

CATALOGUE = load()
NOW = datetime(2026, 11, 27, 2, tzinfo=UTC)
"""Late enough for decisions under the law of July 2021 to be past their five years."""
EXPIRED = "expired by term"
STATES = """
SELECT r.item_code, CASE WHEN r.state = 'published' AND r.publicity_until <= $1 THEN 'expired by term' ELSE r.state END
    AS state, count(*) AS records
FROM record r GROUP BY 1, 2
"""


def test_the_data_are_the_same_every_time_for_one_day() -> None:
    today = date(2026, 5, 6)

    def content() -> list[bytes]:
        population, offices = entities(today), agencies(tuple(CATALOGUE.items))
        return [content_of(draft) for draft in drafts(CATALOGUE, population, offices, today)]

    first = content()
    assert len(set(first)) == 20_000
    assert content() == first


def test_each_item_is_about_its_own_subjects() -> None:
    today = date(2026, 5, 6)
    for draft in drafts(CATALOGUE, entities(today), agencies(tuple(CATALOGUE.items)), today):
        assert draft.uscc.startswith(draft.item.subject_prefix or "")


async def counted(owner_url: str) -> dict[str, Any]:
    connection = await asyncpg.connect(**connect_arguments(owner_url))
    try:
        states = await connection.fetch(STATES, NOW)
        single = {
            name: await connection.fetchval(f"SELECT count(*) FROM {name}")
            for name in ("entity", "agency", "record", "record_version")
        }
        categories = await connection.fetch("SELECT category, count(*) FROM entity GROUP BY 1")
        events = await connection.fetchval("SELECT count(*) FROM audit_event WHERE subject_type = 'record'")
        profiles = await connection.fetch("SELECT audience, count(*) FROM profile GROUP BY 1")
        barred = await connection.fetchval(
            "SELECT count(*) FROM record d JOIN record a USING (uscc) WHERE d.item_code = 'comprehensive-evaluation'"
            " AND a.item_code = 'industry-evaluation' AND d.shared_facts ->> 'grade' = 'D'"
            " AND a.shared_facts ->> 'grade' = 'A'"
        )
    finally:
        await connection.close()
    return {
        **single,
        "states": states,
        "categories": dict(categories),
        "events": events,
        "profiles": dict(profiles),
        "barred": barred,
    }


def states_of(kind: str) -> set[str]:
    """What records of a kind can come to."""
    found = {"annulled", "withdrawn"}
    items = [item for item in CATALOGUE.latest_items() if item.kind == kind]
    if any(item.publicity_rule != "not-public" for item in items):
        found |= {"published"}
    if any(item.notice_rule for item in items):
        found |= {"awaiting-notice"}
    if any(item.repair_rule for item in items):
        found |= {"repaired"}
    if any(item.list_colour for item in items):
        found |= {"removed"}
    if any(item.polarity == "distrust" for item in items):
        found |= {"shielded"}
    if kind in ("penalty", "list-entry"):
        found |= {"archived", EXPIRED}
    if any(item.publicity_rule == "until-valid-until" for item in items):
        found |= {EXPIRED}
    if kind in ("penalty", "commitment", "contract", "integrity"):
        found |= {"withheld"}
    return found


async def test_every_kind_in_every_state(own_database_urls: DatabaseUrls, tmp_path: Path) -> None:
    clock = FixedClock(NOW)

    async def load_again() -> str:
        return await demo._load(own_database_urls.service, "http://test", tmp_path, clock.now())

    welcome = await load_again()
    assert welcome.count("curl -s") == 3
    found = await counted(own_database_urls.owner)
    assert (found["entity"], found["agency"], found["record"]) == (5_000, 6, 20_001), "one of an inspection"
    assert found["record_version"] == found["events"] > 20_000
    assert set(found["categories"]) == set(CATEGORIES), "A, N, Y and 92 among them"
    assert set(found["profiles"].values()) == {5_000}
    assert found["barred"] == 0
    by_item: dict[str, dict[str, int]] = defaultdict(dict)
    by_kind: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for code, state, records in found["states"]:
        by_item[code][state] = records
        by_kind[CATALOGUE.latest(code).kind][state] += records
    assert set(by_item) == set(CATALOGUE.items)
    for kind, states in by_kind.items():
        assert states_of(kind) <= set(states), (kind, dict(states))
    every = {state for states in by_kind.values() for state in states}
    assert every == {state.value for state in State} | {EXPIRED}
    await load_again()
    assert (await counted(own_database_urls.owner))["record_version"] == found["record_version"], "loaded once"
