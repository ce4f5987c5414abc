"""The fairness figures against cases counted by hand."""

from __future__ import annotations

from datetime import timedelta

from tests.api import AGENCY
from tests.workflows.support import ANYBODY, OFFICER, SUBJECT, House
from tests.workflows.test_repairs import GRANT, under_review


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
        "share_on_time": "0.3333",
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
