"""Repair over HTTP: conditions, decisions, what a grant and a revocation change, and who may not decide."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from credit_service.accounts.rules import Role
from credit_service.evidence.rules import PDF
from credit_service.identity.uscc import compose
from tests.api import AGENCY, COMPANY, penalty
from tests.evidence.files import REAL
from tests.workflows.support import (
    AGENT,
    ANYBODY,
    CLERK,
    COLLEAGUE,
    COMMITMENT,
    HEIR,
    LAWYER,
    LISTING,
    OFFICER,
    PROOF,
    RIVAL,
    SUBJECT,
    SUCCESSOR,
    SUPERVISOR,
    WINDOW,
    House,
    Person,
)

GRANT = {"document_number": "渝中修〔2026〕1号"}
REVOKE = {
    "document_number": "渝中撤〔2026〕1号",
    "ground": "false-materials",
    "reason": "缴款凭证系伪造",
    "evidence": "银行回函证明无此笔缴款",
}


async def under_review(house: House, path: str, officer: Any = OFFICER) -> None:
    await house.done(path, "accept", officer)
    await house.done(path, "review", officer)


async def surfaces(house: House, record_id: str) -> dict[str, bool]:
    profile = await house.get(f"/v1/entities/{COMPANY}")
    agency = await house.get(f"/v1/entities/{COMPANY}/records", SUPERVISOR)
    return {
        "public": record_id in [record["id"] for record in profile["records"]],
        "shared": record_id in [record["id"] for record in agency["records"]],
    }


async def test_a_grant_stops_publication_and_sharing_and_publishes_the_commitment(house: House) -> None:
    record_id = await house.record()
    path = await house.repair(record_id)
    assert await surfaces(house, record_id) == {"public": True, "shared": True}
    await under_review(house, path)
    granted = await house.done(path, "grant", OFFICER, GRANT)
    assert (granted["state"], granted["on_time"]) == ("granted", True)
    assert await surfaces(house, record_id) == {"public": False, "shared": False}
    own = await house.get(f"/v1/records/{record_id}", SUBJECT)
    assert own["state"] == "repaired"
    commitment = await house.get(f"/v1/records/{granted['findings'][-1]['commitment_record_id']}")
    assert (commitment["item_code"], commitment["facts"]["commitment_type"]) == ("commitment", "信用修复型")
    inbox = await house.get("/v1/inbox", SUBJECT)
    assert [note["template"] for note in reversed(inbox["notifications"])] == ["repair-accepted", "repair-granted"]
    waiting = await house.get("/v1/inbox", OFFICER)
    assert [note["template"] for note in waiting["notifications"]] == ["case-received"]


async def test_eligibility_names_every_condition_and_the_day_it_will_be_met(house: House) -> None:
    record_id = await house.record(decided_on="2026-04-20")
    found = await house.get(f"/v1/records/{record_id}/repair-eligibility", SUBJECT)
    assert (found["repairable"], found["may_apply_now"], found["eligible_from"]) == (True, False, "2026-07-20")
    assert [(c["name"], c["met"], c["from_on"]) for c in found["conditions"]] == [
        ("minimum-period-reached", False, "2026-07-20"),
        ("corrected-and-fully-performed", False, None),
        ("public-commitment", False, None),
        ("other-statutory", None, None),
    ]
    assert (found["handler_uscc"], found["rule_version"]) == (AGENCY, "ndrc-order-36-repair")
    path = await house.repair(record_id)
    refused = await house.act(path, "accept", OFFICER)
    assert (refused.status_code, refused.json()["apply_again_from"]) == (409, "2026-07-20")
    assert refused.json()["errors"][0]["pointer"] == "/conditions/minimum-period-reached"
    told = await house.done(path, "refuse", OFFICER, {"reason": "未满最短公示期"})
    assert (told["state"], told["findings"][-1]["apply_again_from"]) == ("refused", "2026-07-20")
    house.api.clock.instant += timedelta(days=75)
    again = await house.repair(record_id)
    assert (await house.done(again, "accept", OFFICER))["state"] == "accepted"


async def test_revocation_publishes_anew_enters_the_breach_and_bars(house: House) -> None:
    record_id = await house.record()
    path = await house.repair(record_id)
    await under_review(house, path)
    granted = await house.done(path, "grant", OFFICER, GRANT)
    house.api.clock.instant += timedelta(days=10)
    revoked = await house.done(path, "revoke", COLLEAGUE, REVOKE)
    assert (revoked["state"], revoked["barred_until"]) == ("revoked", "2029-05-16")
    assert revoked["findings"][-1]["bar_status"] == "memory"
    public = await house.get(f"/v1/records/{record_id}")
    assert public["publicity_until"].startswith("2029-05-15T16:00:00"), "three years from now, in Shanghai"
    breach = await house.get(f"/v1/records/{granted['findings'][-1]['commitment_record_id']}")
    assert breach["facts"]["fulfilment"] == "全部未履行"
    other = await house.record(document_number="渝中市监处罚〔2026〕2号")
    barred = await house.call(
        "POST", "/v1/repairs", SUBJECT, json={"record_ids": [other], "materials": [PROOF], "commitment": COMMITMENT}
    )
    assert (barred.status_code, barred.json()["type"].rsplit(":")[-1]) == (409, "repair-barred")
    assert barred.json()["barred_until"] == "2029-05-16"
    eligibility = await house.get(f"/v1/records/{other}/repair-eligibility", SUBJECT)
    assert (eligibility["barred_until"], eligibility["may_apply_now"]) == ("2029-05-16", False)


async def test_the_inspection_that_led_to_the_decision_stops_and_returns_with_it(house: House) -> None:
    record_id = await house.record()
    facts = dict.fromkeys(
        (*("violation_type", "violation_facts", "penalty_categories"), *("penalty_content", "fine_amount"))
    )
    facts |= {"legal_representative": None, "inspection_item": "食品安全检查", "result": "不合格"}
    inspections = [
        await house.record(
            item_code="inspection-result", document_number=number, notices=[], facts={**facts, "led_to_decision": led}
        )
        for number, led in (("渝中检〔2026〕1号", "渝中市监处罚[2026]1号"), ("渝中检〔2026〕2号", "其他文书"))
    ]
    path = await house.repair(record_id)
    await under_review(house, path)
    granted = await house.done(path, "grant", OFFICER, GRANT)
    assert granted["findings"][-1]["linked_record_ids"] == inspections[:1]
    seen = [(await surfaces(house, inspection))["public"] for inspection in inspections]
    assert seen == [False, True]
    await house.done(path, "revoke", OFFICER, REVOKE)
    assert (await surfaces(house, inspections[0]))["public"]


async def test_who_recorded_or_filed_does_not_decide(house: House) -> None:
    record_id = await house.record()
    body = {"received_on": "2026-05-06", "evidence": "营业执照及经办人身份核验记录"}
    path = await house.repair(record_id, WINDOW, window=body)
    await under_review(house, path)
    refused = await house.act(path, "grant", WINDOW, GRANT)
    assert (refused.status_code, refused.json()["type"].rsplit(":")[-1]) == (409, "conflict-of-interest")
    assert (await house.done(path, "grant", OFFICER, GRANT))["state"] == "granted"
    entered = penalty(document_number="渝中市监处罚〔2026〕9号", decided_on="2026-01-20")
    mine = await house.call("POST", "/v1/records", OFFICER, json=entered)
    own = await house.repair(mine.json()["id"])
    await under_review(house, own)
    for action, body in (("grant", GRANT), ("reject", {"reason": "不符合条件", **GRANT}), ("propose", {})):
        conflict = await house.act(own, action, OFFICER, body)
        assert conflict.json()["type"].endswith("conflict-of-interest"), (action, conflict.text)
    assert (await house.done(own, "grant", COLLEAGUE, GRANT))["state"] == "granted"


async def test_removal_from_a_serious_list_takes_two_officers(house: House) -> None:
    record_id = await house.record(**LISTING)
    path = await house.repair(record_id)
    await under_review(house, path)
    alone = await house.act(path, "grant", OFFICER, GRANT)
    assert (alone.status_code, alone.json()["errors"][0]["rule"]) == (
        409,
        "four eyes: propose first, another officer grants",
    )
    await house.done(path, "propose", OFFICER)
    same = await house.act(path, "grant", OFFICER, GRANT)
    assert same.json()["type"].endswith("conflict-of-interest")
    await house.done(path, "grant", COLLEAGUE, GRANT)
    listed = await house.get(f"/v1/lists/{LISTING['item_code']}/entries")
    assert listed["records"] == []


async def test_a_heavier_penalty_since_stands_in_the_way(house: House) -> None:
    record_id = await house.record(**LISTING)
    path = await house.repair(record_id)
    await house.record(
        document_number="渝中市监处罚〔2026〕7号",
        decided_on="2026-04-20",
        facts={"penalty_categories": ["吊销许可证件"], "suspended_or_revoked_licences": "食品经营许可证 JY1"},
    )
    refused = await house.act(path, "accept", OFFICER)
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/conditions/no-further-heavier-penalty"]


async def test_an_agent_acts_while_its_authorisation_runs(house: House) -> None:
    record_id = await house.record()
    body = {"record_ids": [record_id], "materials": [PROOF], "commitment": COMMITMENT, "submit": False}
    without = await house.call("POST", "/v1/repairs", LAWYER, json=body)
    assert (without.status_code, without.json()["errors"][0]["pointer"]) == (422, "/agent")
    agent = {"document_number": "委1", "scope": "申请信用修复", "authorised_on": "2026-05-01", "attachment_ids": []}
    path = await house.repair(record_id, LAWYER, agent=agent | {"valid_until": "2026-05-10"}, submit=False)
    draft = await house.get(path, SUBJECT)
    assert (draft["state"], draft["agent_uscc"], draft["content"]["agent"]["document_number"]) == (
        "draft",
        AGENT,
        "委1",
    )
    assert (await house.call("GET", path, OFFICER)).status_code == 404, "a draft is the applicant's own"
    await house.done(path, "submit", LAWYER)
    house.api.clock.instant += timedelta(days=5)
    ended = await house.act(path, "withdraw", LAWYER)
    assert (ended.status_code, ended.json()["type"].rsplit(":")[-1]) == (403, "authorisation-ended")
    for of_it in ("", "/timeline", "/actions", "/attachments"):
        assert (await house.call("GET", f"{path}{of_it}", LAWYER)).status_code == 403, of_it
    added = await house.call("POST", f"{path}/attachments", LAWYER, headers={"Content-Type": PDF}, content=REAL[PDF])
    assert (added.status_code, added.json()["valid_until"]) == (403, "2026-05-10")
    assert (await house.get("/v1/repairs", LAWYER))["cases"] == []
    assert len((await house.get("/v1/repairs", SUBJECT))["cases"]) == 1
    await house.done(path, "accept", OFFICER)
    assert [len((await house.get("/v1/inbox", person))["notifications"]) for person in (SUBJECT, LAWYER)] == [1, 0]
    assert (await house.done(path, "withdraw", SUBJECT))["state"] == "withdrawn"


async def test_the_successor_of_an_abolished_authority_decides(house: House) -> None:
    first, second = await house.record(), await house.record(document_number="渝中市监处罚〔2026〕2号")
    path = await house.repair(first)
    await house.done(path, "accept", OFFICER)
    await house.put_agency(AGENCY, "机关", active=False, successor_uscc=SUCCESSOR)
    queue = await house.get("/v1/repairs?queue=agency", HEIR)
    assert [f"/v1/repairs/{case['id']}" for case in queue["cases"]] == [path]
    gone = await house.act(path, "review", OFFICER)
    assert gone.status_code in (401, 409), "nobody acts for the abolished authority, once its token is looked up anew"
    reviewed = await house.done(path, "review", HEIR)
    assert (reviewed["handler_uscc"], reviewed["state"]) == (SUCCESSOR, "under-review")
    timeline = await house.get(f"{path}/timeline", HEIR)
    assert [entry["action"] for entry in timeline["entries"]][-2:] == ["repair.hand-over", "repair.review"]
    new = await house.get(await house.repair(second), HEIR)
    assert new["handler_uscc"] == SUCCESSOR


async def test_a_pause_for_a_supplement_does_not_count(house: House) -> None:
    record_id = await house.record()
    path = await house.repair(record_id, materials=[])
    late = await house.act(
        path, "request-supplement", OFFICER, {"reason": "缺少缴款凭证", "supplement_by": "2026-05-06"}
    )
    assert (late.status_code, late.json()["errors"][0]["pointer"]) == (422, "/supplement_by")
    asked = await house.done(
        path, "request-supplement", OFFICER, {"reason": "缺少缴款凭证", "supplement_by": "2026-05-20"}
    )
    assert {limit["stage"]: limit["due_at"] for limit in asked["deadlines"]} == {"accept": None, "total": None}
    early = await house.act(path, "lapse", OFFICER, {"reason": "逾期未补正"})
    assert early.json()["type"].endswith("too-early")
    house.api.clock.instant += timedelta(days=9)
    back = await house.done(path, "supplement", SUBJECT, {"materials": [PROOF]})
    due = {limit["stage"]: limit["due_at"] for limit in back["deadlines"]}
    assert back["state"] == "submitted"
    # 3 and 10 working days after Friday 15 May 2026, a working day
    assert due == {"accept": "2026-05-20T16:00:00Z", "total": "2026-05-29T16:00:00Z"}
    assert (await house.done(path, "accept", OFFICER))["state"] == "accepted"


async def test_an_application_lapses_after_the_day_named(house: House) -> None:
    path = await house.repair(await house.record())
    await house.done(path, "request-supplement", OFFICER, {"reason": "缺少缴款凭证", "supplement_by": "2026-05-20"})
    house.api.clock.instant += timedelta(days=15)
    await house.reads(SUBJECT)
    lapsed = await house.done(path, "lapse", OFFICER, {"reason": "逾期未补正"})
    assert (lapsed["state"], lapsed["on_time"]) == ("withdrawn", True)


async def test_nothing_lapses_before_the_applicant_was_told(house: House) -> None:
    agent = {
        "document_number": "授委〔2026〕9号",
        "scope": "代为申请信用修复",
        "authorised_on": "2026-04-01",
        "valid_until": "2026-12-31",
        "attachment_ids": [],
    }
    path = await house.repair(await house.record(), LAWYER, agent=agent)
    body = {"reason": "缺少缴款凭证", "supplement_by": "2026-05-20"}
    await house.done(path, "request-supplement", OFFICER, body)
    house.api.clock.instant += timedelta(days=15)
    unproved = await house.act(path, "lapse", OFFICER, {"reason": "逾期未补正"})
    assert unproved.status_code == 409
    assert unproved.json()["type"].endswith("notice-not-proved")
    assert (unproved.json()["notice"], unproved.json()["status"]) == ("repair-supplement-requested", "inference")
    await house.reads(LAWYER)
    assert (await house.done(path, "lapse", OFFICER, {"reason": "逾期未补正"}))["state"] == "withdrawn"


async def test_an_extended_case_is_not_rejected_before_the_applicant_was_told_of_the_extension(house: House) -> None:
    path = await house.repair(await house.record())
    await under_review(house, path)
    await house.reads(SUBJECT)  # what came before the extension proves nothing about it
    await house.done(path, "extend", OFFICER, {"reason": "案情复杂需要核查"})
    rejection = {"reason": "材料不实", "document_number": "渝中修〔2026〕9号"}
    unproved = await house.act(path, "reject", OFFICER, rejection)
    assert unproved.json()["notice"] == "repair-extended", unproved.text
    page = await house.get("/v1/notifications?state=delivered", OFFICER)
    notice = next(note for note in page["notifications"] if note["template"] == "repair-extended")
    proof = {"means": "direct", "served_on": "2026-05-06", "evidence": "送达回证第3号"}
    served = await house.call("POST", f"/v1/notifications/{notice['id']}/service", OFFICER, json=proof)
    assert served.status_code == 200, served.text
    assert (await house.done(path, "reject", OFFICER, rejection))["state"] == "rejected"


async def test_a_second_request_needs_its_own_proof(house: House) -> None:
    path = await house.repair(await house.record())
    body = {"reason": "缺少缴款凭证", "supplement_by": "2026-05-20"}
    await house.done(path, "request-supplement", OFFICER, body)
    await house.reads(SUBJECT)
    await house.done(path, "supplement", SUBJECT, {"materials": [PROOF]})
    house.api.clock.instant += timedelta(days=1)
    await house.done(path, "request-supplement", OFFICER, body)
    house.api.clock.instant += timedelta(days=15)
    again = await house.act(path, "lapse", OFFICER, {"reason": "逾期未补正"})
    assert again.json()["type"].endswith("notice-not-proved")


async def test_one_extension_with_its_notice(house: House) -> None:
    path = await house.repair(await house.record())
    await under_review(house, path)
    extended = await house.done(path, "extend", OFFICER, {"reason": "案情复杂需要核查"})
    due = {limit["stage"]: (limit["due_at"], limit["closed_as"]) for limit in extended["deadlines"]}
    # 17 working days after 6 May 2026; Saturday 9 May is worked in place of Labour Day
    assert due["decide"] == ("2026-05-28T16:00:00Z", None)
    assert due["total"][1] == "cancelled"
    assert (await house.act(path, "extend", OFFICER, {"reason": "再次延期"})).status_code == 409
    note = (await house.get("/v1/inbox", SUBJECT))["notifications"][0]
    assert (note["template"], "2026年5月28日" in note["body"]) == ("repair-extended", True)


async def test_an_overdue_case_decides_nothing_and_is_counted(house: House) -> None:
    record_id = await house.record()
    path = await house.repair(record_id)
    await house.done(path, "accept", OFFICER)
    house.api.clock.instant += timedelta(days=60)
    case = await house.get(path, OFFICER)
    assert (case["state"], [limit["overdue"] for limit in case["deadlines"]]) == ("accepted", [False, True, True])
    counts = await house.get("/v1/repairs/counts", OFFICER)
    assert counts == {
        "mine": 1, "agency": 1, "unassigned": 0, "overdue": 1, "due_today": 0, "supervised": 0
    }  # fmt: skip
    assert (await house.get("/v1/repairs/counts", SUPERVISOR))["supervised"] == 1
    assert (await house.get("/v1/repairs?queue=supervised", SUPERVISOR))["cases"][0]["id"] in path
    await house.done(path, "review", COLLEAGUE)
    rejected = await house.done(path, "reject", COLLEAGUE, {"reason": "未全部履行义务", **GRANT})
    assert rejected["on_time"] is False


async def test_the_loser_of_two_gets_the_new_state(house: House) -> None:
    path = await house.repair(await house.record())
    tag = (await house.call("GET", path, OFFICER)).headers["etag"]
    assert (await house.act(path, "accept", OFFICER, tag=tag)).status_code == 200
    lost = await house.act(path, "refuse", COLLEAGUE, {"reason": "材料不齐全"}, tag=tag)
    assert (lost.status_code, lost.json()["state"], lost.json()["current"]) == (412, "accepted", '"v3"')
    assert (await house.act(path, "review", OFFICER, tag=None)).status_code == 428


async def test_several_records_are_several_cases_of_one_application(house: House) -> None:
    records = [await house.record(document_number=f"渝中市监处罚〔2026〕{number}号") for number in range(3)]
    body = {"record_ids": records, "materials": [PROOF], "commitment": COMMITMENT}
    headers = {"Idempotency-Key": "several"}
    first = await house.call("POST", "/v1/repairs", SUBJECT, headers=headers, json=body)
    again = await house.call("POST", "/v1/repairs", SUBJECT, headers=headers, json=body)
    assert first.json() == again.json()
    assert {case["record_id"] for case in first.json()["cases"]} == set(records)
    kept = await house.get(f"/v1/repairs?application_id={first.json()['application_id']}", OFFICER)
    assert len(kept["cases"]) == 3
    twice = await house.call("POST", "/v1/repairs", SUBJECT, json=body)
    assert (twice.status_code, twice.json()["type"].rsplit(":")[-1]) == (409, "case-already-open")
    page = await house.get("/v1/repairs?limit=2", SUBJECT)
    rest = await house.get(f"/v1/repairs?limit=2&cursor={page['next_cursor']}", SUBJECT)
    assert len({case["id"] for case in page["cases"] + rest["cases"]}) == 3


async def test_cases_are_for_their_parties(house: House) -> None:
    path = await house.repair(await house.record())
    for person, status in ((RIVAL, 404), (CLERK, 200), (SUPERVISOR, 200), (HEIR, 404), (ANYBODY, 401)):
        assert (await house.call("GET", path, person)).status_code == status, person
        listed = await house.call("GET", "/v1/repairs", person)
        if status != 401:
            assert bool(listed.json()["cases"]) == (status == 200), person
    seen = await house.get(f"{path}/timeline", SUBJECT)
    await house.done(path, "accept", OFFICER)
    assert [entry["actor"] for entry in seen["entries"]] == ["client:subject"] * 2
    seen = await house.get(f"{path}/timeline", SUBJECT)
    assert (seen["entries"][-1]["actor"], seen["entries"][-1]["agency_uscc"]) == (None, AGENCY)


@pytest.mark.parametrize(
    ("changes", "status", "problem"),
    [
        ({"commitment": {**COMMITMENT, "materials_are_true": False}}, 422, "invalid-request"),
        ({"commitment": {**COMMITMENT, "signed_on": "2026-05-07"}}, 422, "invalid-request"),
        ({"window": {"received_on": "2026-05-06", "evidence": "凭证"}}, 422, "filing-refused"),
        ({"record_ids": ["0190b5a0-0000-7000-8000-000000000000"]}, 404, "not-found"),
    ],
)
async def test_bad_applications_are_refused(house: House, changes: dict[str, Any], status: int, problem: str) -> None:
    body = {"record_ids": [await house.record()], "materials": [PROOF], "commitment": COMMITMENT} | changes
    refused = await house.call("POST", "/v1/repairs", SUBJECT, json=body)
    assert (refused.status_code, refused.json()["type"].rsplit(":")[-1]) == (status, problem)


async def test_what_knows_no_repair_is_not_repaired(house: House) -> None:
    licence = {
        "item_code": "administrative-licence",
        "notices": [],
        "valid_until": "2027-01-01",
        "facts": dict.fromkeys(
            (*("violation_type", "violation_facts", "penalty_categories"), *("penalty_content", "fine_amount"))
        )
        | {"licence_category": "普通", "licence_content": "食品经营", "valid_from": "2026-01-20", "current_status": "1"}
        | {"document_name": "许可决定", "legal_representative": "张三"},
    }
    record_id = await house.record(**licence)
    found = await house.get(f"/v1/records/{record_id}/repair-eligibility", RIVAL)
    assert (found["repairable"], found["why_not"]) == (False, ["the item has no repair rule"])
    body = {"record_ids": [record_id], "materials": [PROOF], "commitment": COMMITMENT}
    refused = await house.call("POST", "/v1/repairs", SUBJECT, json=body)
    assert (refused.status_code, refused.json()["type"].rsplit(":")[-1]) == (409, "not-repairable")


async def test_a_decision_of_another_province_is_pushed_within_three_working_days(house: House) -> None:
    elsewhere = compose("91", "310115", "MA000003")
    record_id = await house.record(uscc=elsewhere, **LISTING)
    abroad = Person("abroad", Role.SUBJECT, entity=elsewhere)
    path = await house.repair(record_id, abroad)
    await under_review(house, path)
    await house.done(path, "propose", OFFICER)
    granted = await house.done(path, "grant", COLLEAGUE, GRANT)
    push = granted["deadlines"][-1]
    assert (push["stage"], push["amount"], push["unit"], push["closed_as"]) == (
        "cross-province-push", 3, "working-days", None
    )  # fmt: skip
    assert push["due_at"] == "2026-05-09T16:00:00Z", "Saturday 9 May 2026 is a working day"
    pushed = await house.done(path, "confirm-push", OFFICER, {"reason": "已推送上海市"})
    assert (pushed["state"], pushed["deadlines"][-1]["closed_as"]) == ("granted", "met")
