"""Every boundary of publicity to the second, on every surface: ends of months, leap days, the change of law."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import asyncpg
import pytest

from tests.api import NOTICES, Api
from tests.properties.test_visibility import COMPANIES, is_shown, midnight

SECOND = timedelta(seconds=1)
FINE: dict[str, Any] = {"penalty_categories": ["罚款"], "procedure": "ordinary"}
SIMPLE: dict[str, Any] = {"penalty_categories": ["罚款"], "procedure": "simple"}
CLOSED: dict[str, Any] = {"penalty_categories": ["罚款", "责令停产停业"], "procedure": "ordinary"}
WARNING: dict[str, Any] = {"penalty_categories": ["警告"], "procedure": "ordinary"}
NECESSARY = {"necessary_because": "多次投诉, 涉及食品安全"}

# Decided on; facts; grounds; severity; earliest and latest stop, repair from; version. Each worked out by hand.
ORDER_36 = "ndrc-order-36-publicity"
WINDOWS = [
    ("2026-04-30", FINE, None, "general", "2026-07-30", "2027-04-30", "2026-07-30", ORDER_36),
    ("2026-11-30", FINE, None, "general", "2027-02-28", "2027-11-30", "2027-02-28", ORDER_36),
    ("2027-11-30", FINE, None, "general", "2028-02-29", "2028-11-30", "2028-02-29", ORDER_36),
    ("2028-02-29", FINE, None, "general", "2028-05-29", "2029-02-28", "2028-05-29", ORDER_36),
    ("2026-12-31", FINE, None, "general", "2027-03-31", "2027-12-31", "2027-03-31", ORDER_36),
    ("2027-02-28", CLOSED, None, "serious", "2028-02-28", "2030-02-28", "2028-02-28", ORDER_36),
    ("2028-02-29", CLOSED, None, "serious", "2029-02-28", "2031-02-28", "2029-02-28", ORDER_36),
    ("2026-11-30", SIMPLE, NECESSARY, "minor", "2026-11-30", "2027-02-28", "2026-11-30", ORDER_36),
    ("2027-11-30", SIMPLE, NECESSARY, "minor", "2027-11-30", "2028-02-29", "2027-11-30", ORDER_36),
    ("2026-03-31", FINE, None, "general", "2026-06-30", "2029-03-31", "2026-06-30", "ndrc-order-58-publicity"),
    ("2026-04-01", FINE, None, "general", "2026-07-01", "2027-04-01", "2026-07-01", ORDER_36),
]


async def submitted(
    api: Api, decided_on: date, facts: dict[str, Any], grounds: dict[str, str] | None
) -> tuple[str, str]:
    """A penalty recorded at ten in the morning of its day: the company's code and the record's id."""
    company = next(COMPANIES)
    api.clock.instant = midnight(decided_on) + timedelta(hours=10)
    served = [notice | {"served_on": decided_on.isoformat()} for notice in NOTICES]
    answer = await api.submit(
        uscc=company, decided_on=decided_on.isoformat(), notices=served, facts=facts, publicity_grounds=grounds
    )
    assert answer.status_code == 201, answer.text
    return company, answer.json()["id"]


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: f"{window[0]}-{window[3]}")
async def test_a_window_ends_in_the_second_the_law_says(
    api: Api, owner: asyncpg.Connection[Any], window: tuple[Any, ...]
) -> None:
    decided, facts, grounds, severity, earliest, latest, repair_from, version = window
    decided_on, stop = date.fromisoformat(decided), midnight(date.fromisoformat(latest))
    company, record_id = await submitted(api, decided_on, facts, grounds)
    stored = await owner.fetchrow("SELECT * FROM record")
    assert stored is not None
    assert (stored["severity"], stored["rule_version"]) == (severity, version)
    dates = ("publicity_earliest_stop", "publicity_latest_stop", "repair_eligible_from")
    assert [str(stored[name]) for name in dates] == [earliest, latest, repair_from]
    assert stored["explanation"]
    for moment, shown in ((stop - SECOND, True), (stop, False), (stop + SECOND, False)):
        api.clock.instant = moment
        assert await is_shown(api, company, record_id) is shown, moment


@pytest.mark.parametrize(
    ("facts", "grounds", "severity"),
    [(SIMPLE, None, "minor"), (WARNING, None, "minor"), (WARNING, NECESSARY, "minor")],
    ids=["minor", "warning", "warning thought necessary"],
)
async def test_what_is_not_published_is_shown_at_no_second(
    api: Api, owner: asyncpg.Connection[Any], facts: dict[str, Any], grounds: dict[str, str] | None, severity: str
) -> None:
    company, record_id = await submitted(api, date(2027, 11, 30), facts, grounds)
    stored = await owner.fetchrow("SELECT * FROM record")
    assert stored is not None
    assert (stored["severity"], stored["publicity_from"], stored["publicity_latest_stop"]) == (severity, None, None)
    began = api.clock.instant
    for moment in (began, began + SECOND, midnight(date(2028, 2, 29)) - SECOND, midnight(date(2028, 2, 29))):
        api.clock.instant = moment
        assert not await is_shown(api, company, record_id)
