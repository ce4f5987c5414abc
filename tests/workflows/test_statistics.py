"""The fairness figures against cases counted by hand."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.api import AGENCY
from tests.deadlines.test_commands import at
from tests.workflows.support import ANYBODY, COLLEAGUE, OFFICER, SUBJECT, House
from tests.workflows.test_repairs import GRANT, REVOKE, under_review

FIGURES = "/v1/statistics/workflows?by=agency"
STAGES = "/v1/statistics/timeliness"


async def test_figures_count_every_case_once_and_name_no_entity(house: House) -> None:
    records = [await house.record(document_number=f"渝中市监处罚〔2026〕{number}号") for number in range(4)]
    granted, rejected, withdrawn, _waiting = [await house.repair(record) for record in records]
    await under_review(house, granted)
    await house.done(granted, "grant", OFFICER, GRANT)
    house.api.clock.instant += timedelta(days=30)
    await under_review(house, rejected)
    await house.done(rejected, "reject", OFFICER, {"reason": "未全部履行义务", **GRANT})
    house.api.clock.instant += timedelta(days=10)
    await house.done(withdrawn, "withdraw", SUBJECT)
    path = await house.objection(records[3])
    await house.done(path, "refuse", OFFICER, {"reason": "不属于异议范围"})
    await house.repair(records[1], submit=False)

    answer = await house.call("GET", "/v1/statistics/workflows", ANYBODY)
    objection, repair = answer.json()["figures"]
    assert repair == {
        "type": "repair",
        "key": "administrative-penalty",
        "submitted": 4,
        "open": 1,
        "closed": 3,
        "outcomes": {"granted": 1, "rejected": 1, "submitted": 1, "withdrawn": 1},
        "granted": 1,
        "denied": 1,
        "grant_rate": "0.5000",
        "closed_on_time": 1,
        "overdue": 3,
        "open_overdue": 1,
        "share_on_time": "0.2500",
        "median_days": 30.0,
        "p90_days": 38.0,
    }
    assert (objection["submitted"], objection["grant_rate"], objection["median_days"]) == (1, "0.0000", 0.0)
    assert "91500103" not in answer.text
    by_agency = await house.get("/v1/statistics/workflows?by=agency")
    assert {figures["key"] for figures in by_agency["figures"]} == {AGENCY}
    by_division = await house.get("/v1/statistics/workflows?by=division")
    assert {figures["key"] for figures in by_division["figures"]} == {"500103"}
    before = await house.get("/v1/statistics/workflows?until=2026-05-06")
    assert before["figures"] == []
    refused = await house.call("GET", "/v1/statistics/workflows?since=2026-05-06&until=2026-05-06", ANYBODY)
    assert refused.status_code == 422


async def figures(house: House, path: str = FIGURES) -> tuple[str | None, int, int]:
    """The share on time of the one agency there is, what was decided in time and what was overdue."""
    (found,) = (await house.get(path))["figures"]
    return found["share_on_time"], found["closed_on_time"], found["overdue"]


async def stages(house: House, path: str = STAGES) -> dict[str, str]:
    """The share in time by stage."""
    return {found["stage"]: found["share_in_time"] for found in (await house.get(path))["stages"]}


async def test_an_agency_that_does_not_decide_is_not_punctual_from_the_day_on_which_it_is_overdue(house: House) -> None:
    """One repair is granted the same day, another accepted and left lying: 3 + 7 working days from 6 May, 15 May."""
    done, left = [
        await house.repair(await house.record(document_number=f"渝中市监处罚〔2026〕{number}号")) for number in range(2)
    ]
    await under_review(house, done)
    await house.done(done, "grant", OFFICER, GRANT)
    await under_review(house, left)
    house.api.clock.instant = at("2026-05-14 23:59:59")
    assert await figures(house) == ("1.0000", 1, 0)
    assert await stages(house) == {"accept": "1.0000", "decide": "1.0000", "total": "1.0000"}
    house.api.clock.instant = at("2026-05-15 00:00")
    assert await figures(house) == ("0.5000", 1, 1)
    assert await stages(house) == {"accept": "1.0000", "decide": "0.5000", "total": "1.0000"}
    # In a year that knows only the case that was never decided nothing was in time, and the past stays as it was.
    house.api.clock.instant = at("2028-05-15 00:00")
    assert await figures(house) == ("0.0000", 0, 1)
    assert await stages(house) == {"decide": "0.0000", "total": "0.0000"}
    assert await figures(house, f"{FIGURES}&since=2026-05-01&until=2026-05-15") == ("1.0000", 1, 0)
    await house.done(left, "reject", OFFICER, {"reason": "未全部履行义务", **GRANT})
    assert await figures(house, f"{FIGURES}&since=2026-05-01&until=2026-06-01") == ("0.5000", 1, 1)
    house.api.clock.instant = at("2028-05-17 00:00")
    assert (await house.get(f"{FIGURES}&since=2028-05-16"))["figures"] == []


async def test_a_wait_for_the_applicant_and_an_extension_are_no_lateness(house: House) -> None:
    path = await house.repair(await house.record())
    await under_review(house, path)
    await house.done(path, "request-supplement", OFFICER, {"reason": "请补交缴款凭证", "supplement_by": "2026-06-30"})
    house.api.clock.instant = at("2026-06-25 10:00")
    assert await figures(house) == (None, 0, 0)
    await house.done(path, "supplement", SUBJECT, {"reason": "原件见附件"})
    await house.done(path, "extend", OFFICER, {"reason": "情况复杂"})
    limit = next(limit for limit in (await house.get(path, OFFICER))["deadlines"] if limit["closed_as"] is None)
    due_at = datetime.fromisoformat(limit["due_at"])
    assert due_at > at("2026-07-10 00:00")
    house.api.clock.instant = due_at - timedelta(seconds=1)
    assert await figures(house) == (None, 0, 0)
    house.api.clock.instant = due_at
    assert await figures(house) == ("0.0000", 0, 1)


async def test_a_withdrawal_says_nothing_of_the_agency_and_a_revocation_nothing_of_how_long_it_took(
    house: House,
) -> None:
    withdrawn = await house.repair(await house.record(document_number="渝中市监处罚〔2026〕9号"))
    await house.done(withdrawn, "withdraw", SUBJECT)
    assert await figures(house) == (None, 0, 0)
    granted = await house.repair(await house.record())
    await under_review(house, granted)
    house.api.clock.instant += timedelta(days=2)
    await house.done(granted, "grant", OFFICER, GRANT)
    before = (await house.get(FIGURES))["figures"]
    house.api.clock.instant += timedelta(days=200)
    await house.done(granted, "revoke", COLLEAGUE, REVOKE)
    (after,) = (await house.get(FIGURES))["figures"]
    assert after["outcomes"] == {"revoked": 1, "withdrawn": 1}
    assert {**after, "outcomes": {}} == {**before[0], "outcomes": {}}
    assert (after["share_on_time"], after["p90_days"]) == ("1.0000", 1.8)
