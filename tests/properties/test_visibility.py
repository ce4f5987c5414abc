"""Public visibility is the law's predicate on time and nothing else, on every surface, whatever was done before."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credit_service.accounts.rules import Role
from credit_service.identity.uscc import compose
from tests.api import NOTICES, Api
from tests.conftest import NOW
from tests.records.test_history import STEPS, walk

COMPANIES = (compose("91", "500103", f"MA8{number:05d}") for number in count())
SHANGHAI = timedelta(hours=8)
LIGHT, ORDINARY, HEAVY = ["警告", "通报批评"], ["罚款", "没收违法所得"], ["吊销许可证件", "责令停产停业", "限制从业"]


def years_later(day: date, years: int) -> date:
    """The same day of a later year; there is no 29 February in most, and the period ends with the month's last day."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28)


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) - SHANGHAI


def lawful_end(categories: list[str], procedure: str | None, decided_on: date) -> datetime | None:
    """Order 36 by hand: when publicity of a penalty of 2026-04 or later ends; ``None``: never published."""
    if set(categories) <= set(LIGHT) or (procedure == "simple" and not set(categories) & set(HEAVY)):
        return None
    return midnight(years_later(decided_on, 3 if set(categories) & set(HEAVY) else 1))


penalties = st.fixed_dictionaries(
    {
        "categories": st.lists(st.sampled_from(LIGHT + ORDINARY + HEAVY), min_size=1, max_size=3, unique=True),
        "procedure": st.sampled_from([None, "ordinary", "simple"]),
        "decided_on": st.dates(date(2026, 4, 1), date(2029, 1, 10)) | st.sampled_from([date(2028, 2, 29)]),
    }
)


async def is_shown(api: Api, company: str, record_id: str) -> bool:
    """Whether the public is shown a record; every surface must agree."""
    answers = [
        record_id in [r["id"] for r in (await api.get(f"/v1/entities/{company}")).json()["records"]],
        record_id in [r["id"] for r in (await api.get(f"/v1/entities/{company}/records")).json()["records"]],
        (await api.get(f"/v1/records/{record_id}")).status_code == 200,
    ]
    assert len(set(answers)) == 1, answers
    return answers[0]


@given(penalty=penalties, delay=st.integers(0, 400), instants=st.lists(st.integers(-40, 1300), max_size=4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_shown_exactly_while_the_law_says_so(
    api: Api, owner: asyncpg.Connection, penalty: dict[str, Any], delay: int, instants: list[int]
) -> None:
    decided_on = penalty["decided_on"]
    api.clock.instant = published = midnight(decided_on) + timedelta(days=delay, hours=10)
    company = next(COMPANIES)
    facts: dict[str, Any] = {
        "penalty_categories": penalty["categories"],
        "confiscated_amount": "1.00",
        "suspended_or_revoked_licences": "许可证1号",
    }
    if penalty["procedure"]:
        facts["procedure"] = penalty["procedure"]
    served = [notice | {"served_on": decided_on.isoformat()} for notice in NOTICES]
    answer = await api.submit(uscc=company, decided_on=decided_on.isoformat(), notices=served, facts=facts)
    assert answer.status_code == 201, answer.text
    end = lawful_end(penalty["categories"], penalty["procedure"], decided_on)
    moments = {published + timedelta(days=max(0, days)) for days in instants} | {published}
    for moment in (end,) if end is not None else ():
        moments |= {moment - timedelta(microseconds=1), moment, moment + timedelta(seconds=1)}
    for moment in sorted(moment for moment in moments if moment >= published):
        api.clock.instant = moment
        lawful = end is not None and moment < end
        assert await is_shown(api, company, answer.json()["id"]) == lawful, moment


@given(
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 200 * 24)), max_size=7),
    after=st.lists(st.integers(0, 3000), max_size=3),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_sequence_of_commands_shows_a_record_after_its_latest_stop(
    api: Api, owner: asyncpg.Connection, steps: list[tuple[str, int]], after: list[int]
) -> None:
    api.clock.instant = NOW
    company = next(COMPANIES)
    record_id = await walk(api, company, steps)
    latest_stop = midnight(date(2027, 4, 20))
    for days in (0, *after):
        api.clock.instant = max(api.clock.instant, latest_stop + timedelta(days=days))
        assert not await is_shown(api, company, record_id)
        assert (await api.get(f"/v1/entities/{company}", Role.PUBLIC)).json()["summary"]["records"] == 0
