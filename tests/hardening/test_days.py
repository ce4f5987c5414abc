"""The first day of all and the last, and instants beyond them in other zones: refused or answered, never a failure."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from credit_service.accounts.rules import Role
from credit_service.platform.days import days_after, end_of, start_of, year_before
from tests.api import COMPANY, Api
from tests.hardening.reads import reads
from tests.supervision.classes.support import adopt

DAYS = ("0001-01-01", "9999-12-31")
MOMENTS = (*DAYS, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")


def questions(parameters: list[dict[str, object]]) -> list[dict[str, str]]:
    """Every extreme in each parameter that holds a day or an instant, and each pair of days in two of them."""
    names = [str(each["name"]) for each in parameters if each["in"] == "query" and is_time(each)]
    asked = [{name: moment} for name in names for moment in MOMENTS]
    return asked + [dict(zip(pair, days, strict=True)) for pair in pairs(names) for days in both()]


def is_time(parameter: dict[str, object]) -> bool:
    return parameter["name"] in ("as_of", "known_at") or '"date' in json.dumps(parameter["schema"])


def pairs(names: list[str]) -> list[tuple[str, str]]:
    return list(itertools.combinations(names, 2))


def both() -> list[tuple[str, ...]]:
    return list(itertools.product(DAYS, repeat=2))


async def test_no_day_and_no_instant_is_too_early_or_too_late_for_an_answer(api: Api) -> None:
    assert (await api.submit()).status_code == 201
    answered: Counter[int] = Counter()
    wrong = []
    for path, role, parameters in reads(api):
        for asked in questions(parameters):
            answer = await api.get(path, role, params=asked)
            answered[answer.status_code] += 1
            if answer.status_code >= 500:
                wrong.append(f"{role} {path} {asked}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)
    assert answered[200] > 30, answered
    assert answered[422] > 30, answered


@pytest.mark.parametrize("day", DAYS)
async def test_an_entity_of_any_day_is_classed_and_shown(api: Api, day: str) -> None:
    stored = await api.call(
        "PUT", f"/v1/entities/{COMPANY}", Role.REGISTRAR, json={"name": "重庆某某有限公司", "established_on": day}
    )
    assert stored.status_code == 201, stored.text
    assert (await api.submit(valid_until=DAYS[1])).status_code == 201
    await adopt(api.database, api.clock)
    for path, role in (("", Role.PUBLIC), ("/records", Role.REGULATOR)):
        assert (await api.get(f"/v1/entities/{COMPANY}{path}", role)).status_code == 200
    classed = await api.get(f"/v1/supervision/entities/{COMPANY}/class", Role.REGULATOR)
    assert (classed.status_code, bool(classed.json()["risk_class"])) == (200, True), classed.text


def test_days_end_at_the_ends_of_time() -> None:
    ordinary = date(2026, 5, 6)
    assert end_of(ordinary) == start_of(date(2026, 5, 7)) == datetime(2026, 5, 6, 16, tzinfo=UTC)
    assert year_before(ordinary) == ordinary - timedelta(days=365)
    assert days_after(ordinary, 30) == date(2026, 6, 5)
    assert (year_before(date.min), days_after(date.max, 9)) == (date.min, date.max)
    assert end_of(date.max) > start_of(date.max)
    assert start_of(date.min) < end_of(date.min)
