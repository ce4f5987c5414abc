"""Objection over HTTP: the mark on every surface, own and forwarded data, decisions, the one review."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from credit_service.accounts.rules import Role
from credit_service.identity.uscc import compose
from credit_service.platform.days import end_of
from tests.api import COMPANY, OTHER_COMPANY
from tests.workflows.support import (
    ANSWERER,
    ANYBODY,
    COLLEAGUE,
    LISTING,
    OFFICER,
    REGULATOR,
    RIVAL,
    SOURCE,
    SUBJECT,
    WINDOW,
    House,
    Person,
)

CORRECT = {
    "reason": "罚款金额录入错误, 决定书为一千二百元",
    "correction": {"facts": {"fine_amount": "1200.00", "penalty_content": "罚款一千二百元"}},
}


async def flags(house: House, record_id: str) -> set[bool]:
    """Whether the record is marked, on each surface it is on."""
    profile = f"/v1/entities/{COMPANY}"
    found = []
    for person in (ANYBODY, REGULATOR, OFFICER, SUBJECT):
        for path in (profile, f"{profile}/records"):
            found += [r for r in (await house.get(path, person))["records"] if r["id"] == record_id]
        found.append(await house.get(f"/v1/records/{record_id}", person))
    assert len(found) == 12
    return {record["disputed_since"] is not None for record in found}


async def test_the_mark_stands_from_acceptance_until_the_decision_on_every_surface(house: House) -> None:
    record_id = await house.record()
    path = await house.objection(record_id)
    assert await flags(house, record_id) == {False}
    await house.done(path, "accept", OFFICER)
    assert await flags(house, record_id) == {True}
    await house.done(path, "request-supplement", OFFICER, {"reason": "请提供决定书", "supplement_by": "2026-05-20"})
    assert await flags(house, record_id) == {True}
    await house.done(path, "supplement", SUBJECT, {"reason": "决定书见附件"})
    upheld = await house.done(path, "uphold", OFFICER, {"reason": "与决定书一致"})
    assert (upheld["state"], upheld["findings"][-1]["review_until"]) == ("upheld", "2026-05-26")
    assert await flags(house, record_id) == {False}
    await house.done(path, "request-review", SUBJECT, {"reason": "决定书金额并非如此"})
    assert await flags(house, record_id) == {True}
    again = await house.act(path, "review-uphold", OFFICER, {"reason": "维持原处理"})
    assert (again.status_code, again.json()["errors"][0]["rule"]) == (409, "a review is another officer's")
    await house.done(path, "review-correct", COLLEAGUE, CORRECT)
    assert await flags(house, record_id) == {False}
    assert (await house.act(path, "request-review", SUBJECT, {"reason": "再次申请"})).status_code == 409
    told = [note["template"] for note in (await house.get("/v1/inbox", SUBJECT))["notifications"]]
    assert list(reversed(told)) == [
        "objection-accepted",
        "objection-supplement-requested",
        "objection-decided",
        "objection-review-decided",
    ]


async def test_lists_show_the_mark(house: House) -> None:
    record_id = await house.record(**LISTING)
    path = await house.objection(record_id, ground="wrongly-listed")
    await house.done(path, "accept", OFFICER)
    listed = f"/v1/lists/{LISTING['item_code']}"
    assert (await house.get(f"{listed}/entries"))["records"][0]["disputed_since"] == "2026-05-06T02:00:00+00:00"
    exported = await house.call("GET", f"{listed}/export?format=ndjson", ANYBODY)
    assert '"2026-05-06' in exported.text
    await removed_by_two(house, path, "remove")
    assert (await house.get(f"{listed}/entries"))["records"] == []


async def removed_by_two(house: House, path: str, action: str) -> None:
    """A serious listing ends when one officer concurs and another decides."""
    reason = {"reason": "列入决定已被撤销"}
    for concurs, person in ((None, OFFICER), (OFFICER, OFFICER)):
        if concurs is not None:
            await house.done(path, "concur", concurs, {"reason": "同意移出"})
        refused = await house.act(path, action, person, reason)
        assert (refused.status_code, refused.json()["type"].rsplit(":")[-1]) == (409, "conflict-of-interest")
    await house.done(path, "concur", COLLEAGUE, {"reason": "同意移出"})
    await house.done(path, action, OFFICER, reason)


async def test_who_concurred_before_has_not_concurred_in_the_review(house: House) -> None:
    path = await house.objection(await house.record(**LISTING), ground="wrongly-listed")
    await house.done(path, "accept", OFFICER)
    await house.done(path, "concur", COLLEAGUE, {"reason": "同意移出"})
    await house.done(path, "uphold", WINDOW, {"reason": "列入决定有效"})
    await house.done(path, "request-review", SUBJECT, {"reason": "列入决定已被撤销"})
    await removed_by_two(house, path, "review-remove")


async def test_forwarded_data_is_answered_by_its_source_and_corrected_everywhere(house: House) -> None:
    record_id = await house.record()
    path = await house.objection(record_id)
    accepted = await house.done(path, "accept", OFFICER)
    assert {limit["stage"]: limit["closed_as"] for limit in accepted["deadlines"]} == {
        "flag": "met",
        "own-decision": None,
    }
    house.api.clock.instant += timedelta(days=1)
    forwarded = await house.done(path, "forward", OFFICER)
    limits = {limit["stage"]: limit for limit in forwarded["deadlines"]}
    assert (limits["own-decision"]["closed_as"], limits["forwarded-decision"]["amount"]) == ("met", 7)
    # Seven working days from the acceptance on 6 May, not from the forwarding
    assert limits["forwarded-decision"]["due_at"] == "2026-05-14T16:00:00Z"
    assert (await house.get("/v1/objections?queue=agency", ANSWERER))["cases"][0]["id"] in path
    assert (await house.act(path, "correct", OFFICER, CORRECT)).status_code == 409, "the source has not answered"
    assert (await house.get("/v1/inbox", ANSWERER))["notifications"][0]["template"] == "case-received"
    await house.done(path, "answer", ANSWERER, {"reason": "录入有误, 应为一千二百元", "mistaken": True})
    corrected = await house.done(path, "correct", OFFICER, CORRECT)
    assert (corrected["state"], corrected["on_time"]) == ("corrected", True)
    public = await house.get(f"/v1/records/{record_id}")
    assert (public["facts"]["fine_amount"], public["disputed_since"]) == ("1200.00", None)
    versions = await house.get(f"/v1/records/{record_id}/versions", SUBJECT)
    assert [version["change"] for version in versions["versions"]] == [
        "record.stored",
        "record.disputed",
        "record.corrected",
        "record.undisputed",
    ]
    assert versions["versions"][2]["actor"] == "client:officer"


async def test_a_source_that_does_not_answer_holds_nothing_up(house: House) -> None:
    """Where the source has a time-limit (Shenzhen) it is waited for until that is over."""
    shenzhen = compose("11", "440305", "00555002")
    await house.put_agency(shenzhen, "深圳市市场监督管理局福田监管局")
    officer = Person("futian", Role.SUBMITTER, shenzhen)
    await house.put_agency(SOURCE, "平台", grants=_all_of("440305"))
    record_id = await house.record(authority_uscc=shenzhen)
    path = await house.objection(record_id)
    await house.done(path, "accept", officer)
    await house.done(path, "forward", officer)
    reason = {"reason": "来源单位逾期未反馈, 自行核查"}
    early = await house.act(path, "recall", officer, reason)
    assert (early.status_code, early.json()["type"].rsplit(":")[-1]) == (409, "too-early")
    last = date.fromisoformat(early.json()["after"])
    house.api.clock.instant = end_of(last) - timedelta(seconds=1)
    assert (await house.act(path, "recall", officer, reason)).status_code == 409
    house.api.clock.instant = end_of(last)
    recalled = await house.done(path, "recall", officer, reason)
    assert recalled["state"] == "verifying"
    assert (await house.act(path, "answer", ANSWERER, {"reason": "数据无误", "mistaken": False})).status_code == 409
    assert (await house.get(f"/v1/records/{record_id}"))["disputed_since"] is not None
    decided = await house.done(path, "uphold", officer, {"reason": "以决定书为准"})
    left = {limit["stage"]: (limit["closed_as"], limit["overdue"]) for limit in decided["deadlines"]}
    assert left["source-decision"] == ("cancelled", True), "the source was late, not who decided instead of it"
    assert left["forwarded-decision"] == ("met", False)
    assert (await house.get(f"/v1/records/{record_id}"))["disputed_since"] is None
    late = {found["agency_uscc"]: found["cancelled_overdue"] for found in await stages(house, "source-decision")}
    assert late == {SOURCE: 1}


async def stages(house: House, stage: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await house.get("/v1/statistics/timeliness"))["stages"]
    return [each for each in found if each["stage"] == stage]


async def test_a_source_that_is_gone_holds_nothing_up(house: House) -> None:
    """The national rules know no time-limit of the source: the handling agency takes its case back when it will."""
    path = await house.objection(await house.record())
    await house.done(path, "accept", OFFICER)
    await house.done(path, "forward", OFFICER)
    await house.put_agency(SOURCE, "已撤销的平台", active=False)
    assert "recall" in {each["action"] for each in (await house.get(f"{path}/actions", OFFICER))["actions"]}
    await house.done(path, "recall", OFFICER, {"reason": "来源单位已撤销, 无承继单位"})
    assert (await house.done(path, "correct", OFFICER, CORRECT))["state"] == "corrected"


async def test_own_data_is_not_forwarded(house: House) -> None:
    record_id = await house.record(authority_uscc=SOURCE)
    path = await house.objection(record_id)
    await house.done(path, "accept", ANSWERER)
    assert (await house.act(path, "forward", ANSWERER)).json()["errors"][0]["rule"] == "the agency's own data"


async def test_a_third_party_says_how_it_is_affected_and_the_subject_learns_of_the_change(house: House) -> None:
    record_id = await house.record()
    body = {"record_id": record_id, "ground": "wrong-subject", "reason": "处罚对象与本单位重名"}
    without = await house.call("POST", "/v1/objections", RIVAL, json=body)
    assert (without.status_code, without.json()["errors"][0]["pointer"]) == (422, "/interest")
    path = await house.objection(record_id, RIVAL, ground="wrong-subject", interest="客户误认为是本单位被处罚")
    own = await house.objection(record_id)
    twice = await house.call("POST", "/v1/objections", SUBJECT, json=body)
    assert twice.json()["type"].endswith("case-already-open")
    await house.done(path, "accept", OFFICER)
    await house.done(own, "accept", OFFICER)
    await house.done(own, "withdraw", SUBJECT)
    assert await flags(house, record_id) == {True}, "the other objection is still open"
    removed = await house.done(path, "remove", OFFICER, {"reason": "经核查主体错误"})
    assert (removed["applicant_uscc"], removed["uscc"]) == (OTHER_COMPANY, COMPANY)
    assert (await house.get(f"/v1/records/{record_id}", SUBJECT))["state"] == "annulled"
    told = (await house.get("/v1/inbox", SUBJECT))["notifications"]
    assert told[0]["template"] == "record-corrected"
    assert (await house.get("/v1/inbox", RIVAL))["notifications"][0]["template"] == "objection-decided"


async def test_a_third_party_objects_to_what_it_can_see(house: House) -> None:
    quiet = await house.record(facts={"penalty_categories": ["警告"], "fine_amount": None})
    body = {"record_id": quiet, "ground": "content-wrong", "reason": "内容错误", "interest": "影响本单位投标"}
    assert (await house.call("POST", "/v1/objections", RIVAL, json=body)).status_code == 404
    assert (await house.call("POST", "/v1/objections", SUBJECT, json=body)).status_code == 201


async def test_a_wrong_repair_result_is_made_good(house: House) -> None:
    record_id = await house.record()
    path = await house.objection(record_id, ground="repair-result-wrong")
    await house.done(path, "accept", OFFICER)
    await house.done(path, "remove", OFFICER, {"reason": "修复条件均已具备"})
    assert (await house.get(f"/v1/records/{record_id}", SUBJECT))["state"] == "repaired"


@pytest.mark.parametrize(
    ("correction", "pointer"),
    [
        ({"facts": {"penalty_categories": ["没有的种类"]}}, "/correction/facts/penalty_categories"),
        ({"facts": {"violation_facts": None}}, "/correction/facts/violation_facts"),
        ({"decided_on": "2026-05-07"}, "/correction/decided_on"),
    ],
)
async def test_a_correction_keeps_the_catalogues_rules(house: House, correction: dict[str, Any], pointer: str) -> None:
    path = await house.objection(await house.record())
    await house.done(path, "accept", OFFICER)
    refused = await house.act(path, "correct", OFFICER, {"reason": "更正内容", "correction": correction})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_a_review_is_asked_for_in_time(house: House) -> None:
    path = await house.objection(await house.record())
    await house.done(path, "accept", OFFICER)
    await house.done(path, "uphold", OFFICER, {"reason": "与决定书一致"})
    house.api.clock.instant += timedelta(days=22)
    late = await house.act(path, "request-review", SUBJECT, {"reason": "不服处理"})
    assert (late.status_code, late.json()["until"]) == (409, "2026-05-26")


async def test_unknown_grounds_are_refused(house: House) -> None:
    body = {"record_id": await house.record(), "ground": "other", "reason": "其他理由"}
    refused = await house.call("POST", "/v1/objections", SUBJECT, json=body)
    assert refused.json()["type"].endswith("objection-ground-unknown")


async def test_shanghai_counts_from_the_material_and_shenzhen_may_extend_the_source(house: House) -> None:
    found = {}
    for division, level in (("310115", "district"), ("440305", "district")):
        office = compose("11", division, "00555001")
        await house.put_agency(office, "本地机关", level=level, grants=[])
        officer = Person(f"officer-{division}", Role.SUBMITTER, office)
        source = Person(f"source-{division}", Role.SUBMITTER, compose("11", "500103", "00777001"))
        number = f"沪深处罚〔2026〕{division}号"
        await house.put_agency(SOURCE, "平台", grants=_all_of(division))
        path = await house.objection(await house.record(authority_uscc=office, document_number=number))
        opened = await house.get(path, officer)
        found[division, "opened"] = {limit["stage"]: limit["amount"] for limit in opened["deadlines"]}
        await house.done(path, "accept", officer)
        forwarded = await house.done(path, "forward", officer)
        found[division, "forwarded"] = {
            limit["stage"]: limit["amount"] for limit in forwarded["deadlines"] if limit["closed_as"] is None
        }
        extended = await house.act(path, "extend", source, {"reason": "需调取原始案卷"})
        found[division, "extended"] = extended.status_code
    assert found == {
        ("310115", "opened"): {"flag": 1, "own-decision": 5, "forward": 2},
        ("310115", "forwarded"): {"forwarded-decision": 7, "source-decision": 5},
        ("310115", "extended"): 409,
        ("440305", "opened"): {"flag": 1},
        ("440305", "forwarded"): {"forwarded-decision": 7, "source-decision": 2},
        ("440305", "extended"): 200,
    }


def _all_of(division: str) -> list[Any]:
    from credit_service.accounts.models import Grant
    from tests.api import CATALOGUE

    return [Grant(item_code=item, division_prefix=division[:2]) for item in CATALOGUE.items]
