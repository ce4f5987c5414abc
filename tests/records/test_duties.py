"""What the law binds an agency to: both publication dates side by side, and withdrawal within three working days."""

from __future__ import annotations

from datetime import date
from typing import Any

import asyncpg
import pytest

from credit_service.accounts.rules import Role
from credit_service.identity.uscc import compose
from credit_service.platform.calendar import PACKAGE
from credit_service.records.duties import Standing, publication_duties, withdrawal_rules
from credit_service.records.models import Record
from tests.api import AGENCY, CATALOGUE, NOTICES, OTHER_AGENCY, Api, penalty
from tests.deadlines.test_commands import at
from tests.records.test_life import ANNULMENT, act


async def duties(api: Api, record_id: str, role: Role = Role.SUBJECT) -> list[tuple[Any, ...]]:
    found = (await api.get(f"/v1/records/{record_id}", role)).json()["duties"]
    names = ("duty", "destination", "rule_version", "status", "due_on", "done_on", "standing")
    return [tuple(duty[name] for name in names) for duty in found]


async def test_both_dates_of_a_penalty_stand_side_by_side(api: Api) -> None:
    """Decided on Monday 20 April 2026, recorded on Wednesday 6 May: seven working days ended on 29 April."""
    record_id = (await api.submit()).json()["id"]
    china, system = "ndrc-2018-424-publish", "samr-order-45-publish"
    assert await duties(api, record_id) == [
        ("submit", "registry", china, "inference", "2026-04-29", "2026-05-06", "late"),
        ("publish", "credit-china", china, "verified", "2026-04-29", "2026-05-06", "late"),
        ("publish", "enterprise-publicity-system", system, "verified", "2026-05-20", None, "not-known"),
    ]
    for role in (Role.SUBMITTER, Role.REGULATOR):
        assert len(await duties(api, record_id, role)) == 3
    assert "duties" not in (await api.get(f"/v1/records/{record_id}")).json(), "not for the public"


async def test_a_publication_that_waits_for_notice_comes_due_and_overdue(api: Api) -> None:
    stored = await api.submit(decided_on="2026-04-24", notices=NOTICES[:1])
    record_id = stored.json()["id"]
    assert [duty[-1] for duty in await duties(api, record_id)] == ["met", "open", "not-known"]
    api.clock.instant = at("2026-05-07 23:59:59")  # 27, 28, 29, 30 April, 6, 7 May: the sixth; the seventh is the 8th
    assert (await duties(api, record_id))[1][4:] == ("2026-05-08", None, "open")
    api.clock.instant = at("2026-05-09 00:00")
    assert (await duties(api, record_id))[1][-1] == "overdue"
    await act(api, record_id, "notices", {"notices": [notice | {"served_on": "2026-05-08"} for notice in NOTICES[1:]]})
    assert (await duties(api, record_id))[1][5:] == ("2026-05-09", "late")


async def test_what_is_not_published_by_law_is_no_duty_to_publish(api: Api) -> None:
    record_id = (await api.submit(facts={"penalty_categories": ["警告"], "fine_amount": None})).json()["id"]
    assert [duty[-1] for duty in await duties(api, record_id)] == ["late", "not-owed", "not-owed"]


def duties_of(decided_on: str, published_on: str | None, today: str) -> list[Standing]:
    found = publication_duties(
        CATALOGUE,
        PACKAGE,
        CATALOGUE.latest("administrative-penalty"),
        date.fromisoformat(decided_on),
        recorded_on=date.fromisoformat(today),
        published_on=date.fromisoformat(published_on) if published_on else None,
        owed=True,
        today=date.fromisoformat(today),
    )
    return [duty.standing for duty in found if duty.destination == "credit-china"]


@pytest.mark.parametrize(
    ("published_on", "today", "standing"),
    [
        ("2026-02-13", "2026-03-01", Standing.MET),
        ("2026-02-14", "2026-03-01", Standing.MET),  # a Saturday that is worked, the seventh day
        ("2026-02-15", "2026-03-01", Standing.LATE),
        (None, "2026-02-14", Standing.OPEN),
        (None, "2026-02-15", Standing.OVERDUE),
    ],
)
def test_the_last_day_counts_in_full(published_on: str | None, today: str, standing: Standing) -> None:
    assert duties_of("2026-02-05", published_on, today) == [standing]


def test_a_decision_older_than_the_rule_owes_nothing() -> None:
    assert duties_of("2018-03-31", None, "2026-05-06") == []
    assert duties_of("2018-04-01", None, "2026-05-06") == [Standing.OVERDUE]


async def kept(owner: asyncpg.Connection[Any]) -> list[tuple[Any, ...]]:
    rows = await owner.fetch(
        "SELECT stage, rule_version, agency_uscc, reference, due_at, closed_as, closed_at < due_at AS in_time"
        " FROM stage_deadline WHERE case_type = 'record' ORDER BY stage"
    )
    return [tuple(row) for row in rows]


@pytest.mark.parametrize(("now", "in_time"), [("2026-05-09 23:59:59", True), ("2026-05-10 00:00", False)])
async def test_withdrawal_within_three_working_days_is_kept(
    api: Api, owner: asyncpg.Connection[Any], now: str, in_time: bool
) -> None:
    """Annulled on Wednesday 6 May: Thursday, Friday and Saturday 9 May, which is worked."""
    record_id = (await api.submit()).json()["id"]
    api.clock.instant = at(now)
    answer = await act(api, record_id, "annulment", ANNULMENT)
    assert answer.status_code == 200
    number = penalty()["document_number"]
    expected = ("withdraw-annulled", "penalty-law-48", AGENCY, number, at("2026-05-10 00:00"), "met", in_time)
    assert await kept(owner) == [expected]
    stages = (await api.get("/v1/statistics/timeliness")).json()["stages"]
    assert [(found["case_type"], found["met_in_time"], found["met_late"]) for found in stages] == [
        ("record", int(in_time), int(not in_time))
    ]
    assert (await duties(api, record_id))[1][-1] == "late", "what was published late was published late"


async def test_a_correction_by_a_changed_decision_is_a_withdrawal_too(api: Api, owner: asyncpg.Connection[Any]) -> None:
    record_id = (await api.submit()).json()["id"]
    record = penalty(facts={"fine_amount": "9000.00"})
    plain = await act(api, record_id, "correction", {"reason": "录入错误", "record": record})
    assert plain.status_code == 200
    assert await kept(owner) == [], "a slip of the pen is no changed decision"
    changed = {"reason": "复议变更处罚决定", "record": record, "basis": ANNULMENT["basis"]}
    assert (await act(api, record_id, "correction", changed)).status_code == 200
    assert [(row[0], row[-1]) for row in await kept(owner)] == [("withdraw-annulled", True)]
    tomorrow = changed | {"basis": {**ANNULMENT["basis"], "decided_on": "2026-05-07"}}
    refused = await act(api, record_id, "correction", tomorrow)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/basis/decided_on")


async def test_a_withdrawal_refused_leaves_no_duty(api: Api, owner: asyncpg.Connection[Any]) -> None:
    record_id = (await api.submit()).json()["id"]
    assert (await act(api, record_id, "annulment", ANNULMENT)).status_code == 200
    assert (await act(api, record_id, "annulment", ANNULMENT)).status_code == 409
    assert len(await kept(owner)) == 1


def test_the_jurisdictions_own_limit_stands_beside_the_national_one() -> None:
    def limits(division: str) -> dict[str, int]:
        record = Record.model_construct(
            item_code="administrative-penalty",
            authority_uscc=compose("11", division, "00928654"),
        )
        return {name: rule.amount for name, rule in withdrawal_rules(CATALOGUE, record, date(2026, 5, 6)).items()}

    assert limits("500103") == {"withdraw-annulled": 3}
    assert limits("410105") == {"withdraw-annulled": 3, "henan-annulled-removal": 1}
    assert limits("310115") == {"withdraw-annulled": 3, "shanghai-annulled-removal": 3}


async def punctuality(api: Api, role: Role, **more: Any) -> Any:
    return await api.get("/v1/statistics/submissions", role, **more)


async def test_an_agencys_submissions_in_time(api: Api, owner: asyncpg.Connection[Any]) -> None:
    for number, decided_on in enumerate(("2026-04-20", "2026-04-24", "2026-04-23", "2026-05-06")):
        await api.submit(document_number=f"n{number}", decided_on=decided_on)
    await owner.execute("ANALYZE record")
    expected = {
        "agency_uscc": AGENCY,
        "item_code": "administrative-penalty",
        "recorded": 4,
        "in_time": 3,  # 23 April: 24, 27, 28, 29, 30 April, 6, 7 May
        "share_in_time": "0.7500",
    }
    answer = await punctuality(api, Role.SUBMITTER)
    assert answer.json()["submissions"] == [expected]
    assert (await punctuality(api, Role.REGULATOR, params={"agency": AGENCY})).json() == answer.json()
    later = await punctuality(api, Role.SUBMITTER, params={"since": "2026-05-07", "until": "2026-05-08"})
    assert later.json()["submissions"] == []


async def test_an_agency_is_told_of_itself_and_nobody_asks_for_everything(api: Api) -> None:
    await api.submit()
    other = await punctuality(api, Role.SUBMITTER, agency=OTHER_AGENCY, params={"agency": AGENCY})
    assert other.status_code == 404
    assert (await punctuality(api, Role.REGULATOR)).status_code == 422
    assert (await punctuality(api, Role.PUBLIC, params={"agency": AGENCY})).status_code == 401
    long = {"agency": AGENCY, "since": "2024-01-01", "until": "2026-01-01"}
    assert (await punctuality(api, Role.REGULATOR, params=long)).status_code == 422
