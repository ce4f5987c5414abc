"""The life of a record over HTTP: the gate of notices, every move, and what each surface then shows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from credit_service.accounts.rules import Role
from credit_service.identity.uscc import compose
from credit_service.platform.context import Actor
from credit_service.records import life
from credit_service.records.models import State
from credit_service.records.standing import TRANSITIONS, Action
from tests.api import AGENCY, CATALOGUE, COMPANY, CONSENT, NOTICES, OTHER_AGENCY, Api

ANNULMENT = {
    "reason": "复议机关撤销处罚决定",
    "basis": {
        "kind": "reconsideration",
        "document_number": "渝府复〔2026〕3号",
        "authority_name": "重庆市人民政府",
        "decided_on": "2026-05-06",
    },
}
AUDIENCES = (Role.SUBMITTER, Role.REGULATOR, Role.SUBJECT)
SHIELDING = {
    "reason": "法院裁定批准重整计划",
    "court_name": "重庆市第五中级人民法院",
    "ruling_number": "(2026)渝05破1号",
    "ruled_on": "2026-05-06",
    "declaration": "本企业正在执行重整计划",
}
UNSHIELDING = {
    "reason": "重整计划未能执行",
    "outcome": "failed",
    "document_number": "(2026)渝05破1号之二",
    "decided_on": "2026-05-06",
}
LISTING: dict[str, Any] = {
    "item_code": "serious-dishonesty-market-regulation",
    "document_number": "渝中列〔2026〕1号",
    "consent": CONSENT,
    "facts": dict.fromkeys(
        ("violation_type", "violation_facts", "penalty_categories", "penalty_content", "fine_amount")
    )
    | {"legal_representative": None, "reason": "情节严重"},
}
REMOVAL = {"reason": "已履行全部义务并满一年", "document_number": "渝中移〔2026〕1号", "decided_on": "2026-05-06"}


async def act(
    api: Api, record_id: str, action: str, body: dict[str, Any], *, tag: str | None = "*", **who: str
) -> httpx.Response:
    headers = {"If-Match": tag} if tag else {}
    return await api.call("POST", f"/v1/records/{record_id}/{action}", Role.SUBMITTER, headers, json=body, **who)


async def removed(api: Api, record_id: str, body: dict[str, Any]) -> httpx.Response:
    """A serious listing ended by two officers."""
    proposed = await act(api, record_id, "removal", body)
    assert proposed.status_code == 200, proposed.text
    return await act(api, record_id, "removal", body, officer="second")


async def shown(api: Api, record_id: str) -> dict[str, bool]:
    """On which surfaces the record appears."""

    async def holds(path: str, role: Role, member: str = "records", **more: Any) -> bool:
        answer = await api.get(path, role, **more)
        return answer.status_code == 200 and record_id in [found["id"] for found in answer.json()[member]]

    profile, records = f"/v1/entities/{COMPANY}", f"/v1/entities/{COMPANY}/records"
    return {
        "public profile": await holds(profile, Role.PUBLIC),
        "public records": await holds(records, Role.PUBLIC),
        "public record": (await api.get(f"/v1/records/{record_id}")).status_code == 200,
        "agency profile": await holds(profile, Role.SUBMITTER, agency=OTHER_AGENCY),
        "agency records": await holds(records, Role.SUBMITTER, agency=OTHER_AGENCY),
        "agency record": (await api.get(f"/v1/records/{record_id}", Role.SUBMITTER, agency=OTHER_AGENCY)).status_code
        == 200,
        "regulator": await holds(profile, Role.REGULATOR),
        "subject": await holds(profile, Role.SUBJECT),
    }


EVERYWHERE = {"public", "agency", "regulator", "subject"}


def only(found: dict[str, bool], *audiences: str) -> bool:
    return all(value == (name.split()[0] in audiences) for name, value in found.items())


async def test_an_adverse_record_waits_for_the_proof_of_notice(api: Api, owner: asyncpg.Connection) -> None:
    stored = (await api.submit(notices=NOTICES[:1])).json()
    assert stored["warnings"] == ["awaiting-notice"]
    assert only(await shown(api, stored["id"]), "regulator", "subject")
    api.clock.instant += timedelta(days=2)
    still = await act(api, stored["id"], "notices", {"notices": NOTICES[1:2]})
    assert (still.status_code, still.json()["state"]) == (200, "awaiting-notice")
    served = await act(api, stored["id"], "notices", {"notices": NOTICES[2:]})
    assert (served.status_code, served.json()["state"]) == (200, "published")
    assert only(await shown(api, stored["id"]), *EVERYWHERE)
    window = await owner.fetchrow("SELECT publicity_from, publicity_until, notices FROM record")
    assert window["publicity_from"] == api.clock.instant
    assert {notice["kind"] for notice in orjson.loads(window["notices"])} == {notice["kind"] for notice in NOTICES}


async def test_a_resubmission_may_bring_the_proof(api: Api) -> None:
    await api.submit(notices=[])
    assert (await api.submit(notices=[])).json()["outcome"] == "unchanged"
    again = (await api.submit()).json()
    assert (again["outcome"], again["version"], again["warnings"]) == ("corrected", 2, [])
    without = (await api.submit(notices=[])).json()
    assert without["outcome"] == "unchanged", "proof once given stays"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"kind": "facts-grounds-and-rights", "served_on": "2026-04-21"}, "/notices/0/served_on"),
        ({"kind": "repair-notice", "served_on": "2026-05-07"}, "/notices/0/served_on"),
    ],
)
async def test_notices_of_impossible_dates_are_refused(api: Api, change: dict[str, str], pointer: str) -> None:
    refused = await api.submit(notices=[{"means": "post", "evidence": "EMS1", **change}])
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


async def test_minor_penalties_are_not_published_unless_necessary_and_warnings_never(api: Api) -> None:
    minor = {"penalty_categories": ["罚款"], "procedure": "simple"}
    quiet = (await api.submit(facts=minor)).json()
    assert only(await shown(api, quiet["id"]), "agency", "regulator", "subject")
    grounds = {"necessary_because": "多次投诉, 涉及食品安全"}
    loud = (await api.submit(facts=minor, publicity_grounds=grounds)).json()
    assert (loud["id"], loud["outcome"]) == (quiet["id"], "corrected")
    assert only(await shown(api, quiet["id"]), *EVERYWHERE)
    warning = {"penalty_categories": ["警告"], "fine_amount": None}
    never = (await api.submit(document_number="w", facts=warning, publicity_grounds=grounds)).json()
    assert not (await shown(api, never["id"]))["public profile"]


async def test_annulment_leaves_every_surface_within_the_call_and_keeps_its_reasons(api: Api) -> None:
    record_id = (await api.submit()).json()["id"]
    assert only(await shown(api, record_id), *EVERYWHERE)
    annulled = await act(api, record_id, "annulment", ANNULMENT)
    assert (annulled.status_code, annulled.json()["state"], annulled.headers["etag"]) == (200, "annulled", '"v2"')
    assert only(await shown(api, record_id), "regulator", "subject")
    kept = (await api.get(f"/v1/records/{record_id}", Role.SUBJECT)).json()
    assert (kept["state"], kept["state_reason"]) == ("annulled", ANNULMENT["reason"])
    assert (await api.submit(facts={"fine_amount": "1.00"})).json()["type"].endswith("record-closed")


async def test_withdrawal_and_shielding(api: Api) -> None:
    record_id = (await api.submit()).json()["id"]
    assert (await act(api, record_id, "shielding", SHIELDING)).json()["state"] == "shielded"
    assert only(await shown(api, record_id), "regulator", "subject")
    restored = (await act(api, record_id, "unshielding", UNSHIELDING)).json()
    assert restored["state"] == "published"
    assert only(await shown(api, record_id), *EVERYWHERE)
    assert (await act(api, record_id, "withdrawal", {"reason": "重复报送"})).json()["state"] == "withdrawn"
    assert only(await shown(api, record_id), "regulator", "subject")


async def test_a_shielded_file_bears_the_declaration_until_the_plan_fails(api: Api) -> None:
    """信用中国添加声明: once for each ruling, to everybody, and without a word about the records behind it."""
    records = [(await api.submit(document_number=f"渝处罚〔2026〕{number}号")).json()["id"] for number in (1, 2)]

    async def declared() -> list[Any]:
        profiles = [await api.get(f"/v1/entities/{COMPANY}", role) for role in (Role.PUBLIC, *AUDIENCES)]
        told = [profile.json().get("declarations") for profile in profiles]
        reports = [await api.get(f"/v1/entities/{COMPANY}/report", role) for role in (Role.PUBLIC, *AUDIENCES)]
        assert [report.json()["report"]["declarations"] or None for report in reports] == told
        return told

    assert await declared() == [None] * 4
    for record_id in records:
        await act(api, record_id, "shielding", SHIELDING)
    said = {"text": SHIELDING["declaration"], "ruling_number": "（2026）渝05破1号"}
    said |= {name: SHIELDING[name] for name in ("court_name", "ruled_on")}
    assert await declared() == [[said]] * 4
    assert (await api.get(f"/v1/entities/{COMPANY}")).json()["records"] == []
    await act(api, records[0], "unshielding", UNSHIELDING)
    assert await declared() == [[said]] * 4, "the other one is shielded still"
    await act(api, records[1], "unshielding", UNSHIELDING)
    assert await declared() == [None] * 4


@pytest.mark.parametrize(
    ("authority", "status", "kind"),
    [
        (AGENCY, 422, "record-refused"),
        (compose("11", "500103", "00928718"), 422, "record-refused"),
        (compose("11", "310000", "00245000"), 422, "record-refused"),
        (compose("91", "500000", "MA000009"), 422, "record-refused"),
        ("somebody above", 422, "uscc-invalid"),
        ("11010519491231002X", 422, "natural-person-identifier"),
        (compose("11", "500000", "00928000"), 201, None),
        (compose("11", "100000", "00928000"), 201, None),
    ],
)
async def test_only_a_higher_authority_consents(api: Api, authority: str, status: int, kind: str | None) -> None:
    answer = await api.submit(**LISTING | {"consent": CONSENT | {"authority_uscc": authority}})
    assert answer.status_code == status
    if kind is not None:
        assert answer.json()["type"].endswith(kind)
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/consent/authority_uscc"]
        assert authority not in answer.text


async def test_listing_and_removal_need_the_higher_authoritys_consent(api: Api) -> None:
    refused = await api.submit(**LISTING | {"consent": None})
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/consent"]
    late = await api.submit(**LISTING | {"consent": CONSENT | {"consented_on": "2026-04-30"}})
    assert [error["pointer"] for error in late.json()["errors"]] == ["/consent/consented_on"]
    record_id = (await api.submit(**LISTING)).json()["id"]
    assert (await act(api, record_id, "removal", REMOVAL)).status_code == 422
    own = await act(api, record_id, "removal", REMOVAL | {"consent": CONSENT | {"authority_uscc": AGENCY}})
    assert [error["pointer"] for error in own.json()["errors"]] == ["/consent/authority_uscc"]
    gone = await removed(api, record_id, REMOVAL | {"consent": CONSENT})
    assert (gone.status_code, gone.json()["state"]) == (200, "removed")
    assert only(await shown(api, record_id), "regulator", "subject")
    entries = await api.get("/v1/lists/serious-dishonesty-market-regulation/entries")
    assert entries.json()["records"] == []
    penalty = (await api.submit()).json()["id"]
    assert (await act(api, penalty, "removal", REMOVAL)).status_code == 422, "a penalty is no list entry"


async def test_changes_ask_for_the_version_and_for_the_right_agency(api: Api) -> None:
    record_id = (await api.submit()).json()["id"]
    reason = {"reason": "重复报送"}
    assert (await act(api, record_id, "withdrawal", reason, tag=None)).status_code == 428
    stale = await act(api, record_id, "withdrawal", reason, tag='"v7"')
    assert (stale.status_code, stale.json()["current"]) == (412, '"v1"')
    assert (await act(api, record_id, "withdrawal", reason, agency=OTHER_AGENCY)).status_code == 404
    assert (await act(api, record_id, "withdrawal", {"reason": ""})).status_code == 422
    future = ANNULMENT | {"basis": {**ANNULMENT["basis"], "decided_on": "2026-05-07"}}  # type: ignore[dict-item]
    assert (await act(api, record_id, "annulment", future)).status_code == 422
    assert (await act(api, record_id, "withdrawal", reason, tag='"v1"')).status_code == 200
    again = await act(api, record_id, "annulment", ANNULMENT)
    assert (again.status_code, again.json()["state"]) == (409, "withdrawn")


async def test_a_merged_agencys_records_answer_to_its_successor(api: Api) -> None:
    record_id = (await api.submit()).json()["id"]
    grants = [{"item_code": "administrative-penalty", "division_prefix": "5001"}]
    for code, more in ((OTHER_AGENCY, {"grants": grants}), (AGENCY, {"active": False, "successor_uscc": OTHER_AGENCY})):
        body = {"name": "机关单位", "division": code[2:8], "level": "district"} | more
        assert (await api.call("PUT", f"/v1/agencies/{code}", Role.ADMINISTRATOR, json=body)).status_code == 200
    moved = await act(api, record_id, "withdrawal", {"reason": "重复报送"}, agency=OTHER_AGENCY)
    assert moved.status_code == 200, moved.text


async def test_a_correction_says_why_and_keeps_the_natural_key(api: Api) -> None:
    record_id = (await api.submit()).json()["id"]
    from tests.api import penalty

    right = {"reason": "金额录入错误", "record": penalty(facts={"fine_amount": "13000.00"})}
    assert (await act(api, record_id, "correction", right)).json()["version"] == 2
    wrong = {"reason": "主体录入错误", "record": penalty(document_number="另一文号")}
    assert (await act(api, record_id, "correction", wrong)).status_code == 422
    versions = (await api.get(f"/v1/records/{record_id}/versions", Role.SUBJECT)).json()["versions"]
    assert [(v["version"], v["change"], v["reason"]) for v in versions] == [
        (1, "record.stored", None),
        (2, "record.corrected", "金额录入错误"),
    ]
    assert versions[1]["differences"] == [
        {"field": "/public_facts/fine_amount", "before": "12000.00", "after": "13000.00"}
    ]
    assert versions[0]["superseded_at"] == versions[1]["recorded_at"]
    for role, status in ((Role.PUBLIC, 404), (Role.REGULATOR, 200), (Role.SUBMITTER, 200)):
        assert (await api.get(f"/v1/records/{record_id}/versions", role)).status_code == status
    other = await api.get(f"/v1/records/{record_id}/versions", Role.SUBMITTER, agency=OTHER_AGENCY)
    assert other.status_code == 404


async def test_archived_at_the_disclosure_limit_then_forgotten_with_the_proof_intact(
    api: Api, owner: asyncpg.Connection
) -> None:
    record_id = (await api.submit()).json()["id"]
    limit = await owner.fetchval("SELECT disclosure_until FROM record")
    erasure = f"/v1/records/{record_id}/erasure"
    body = {"reason": "披露期限届满五年"}
    api.clock.instant = limit - timedelta(seconds=1)
    assert (await shown(api, record_id))["agency profile"]
    api.clock.instant = limit
    assert only(await shown(api, record_id), "regulator", "subject"), "no job had to run"
    assert (await api.call("POST", erasure, Role.ADMINISTRATOR, json=body)).status_code == 422
    worker = Actor("worker", "job")
    async with api.database.transaction() as session:
        assert await life.archive_due(session, CATALOGUE, worker, api.clock.instant, 10) == 1
        assert await life.archive_due(session, CATALOGUE, worker, api.clock.instant, 10) == 0
    before = await owner.fetch("SELECT version, commitment FROM record_version ORDER BY version")
    erased = await api.call("POST", erasure, Role.ADMINISTRATOR, json=body)
    assert (erased.status_code, erased.json()["versions"]) == (200, 2)
    rows = await owner.fetch("SELECT version, commitment, salt, content, standing FROM record_version ORDER BY version")
    assert [(row["version"], row["commitment"]) for row in rows] == [tuple(row) for row in before]
    assert all(row["salt"] is row["content"] is row["standing"] is None for row in rows)
    logged = [
        orjson.loads(row[0])
        for row in await owner.fetch("SELECT canonical FROM audit_event WHERE subject_type = 'record' ORDER BY id")
    ]
    assert [event["action"] for event in logged] == ["record.stored", "record.archive", "record.erased"]
    assert [event["after"] for event in logged[:2]] == [row["commitment"].hex() for row in before]
    texts = await owner.fetch(
        "SELECT record::text FROM record UNION ALL SELECT record_version::text FROM record_version"
    )
    everything = " ".join(row[0] for row in texts)
    assert "过期" not in everything
    assert "保质期" not in everything
    as_of = await api.get(f"/v1/records/{record_id}?as_of=2026-05-06", Role.REGULATOR)
    assert as_of.status_code == 404


async def test_the_service_cannot_empty_a_version_by_itself(api: Api, owner: asyncpg.Connection) -> None:
    record_id = (await api.submit()).json()["id"]
    pool = await api.database.pool()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.execute("UPDATE record_version SET content = NULL")
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.fetchval("SELECT erase_record($1, $2::uuid, now())", COMPANY, record_id)
    assert await owner.fetchval("SELECT count(*) FROM record_version WHERE content IS NULL") == 0


def test_every_state_and_action_has_its_place() -> None:
    assert set(TRANSITIONS) == set(Action)
    reached = {transition.to for transition in TRANSITIONS.values()} | {
        State.AWAITING_NOTICE,
        State.PUBLISHED,
        State.WITHHELD,
    }
    assert reached - {None} == set(State)
    assert not any(State.ARCHIVED in transition.sources for transition in TRANSITIONS.values())


async def test_a_serious_listing_is_ended_by_two_officers(api: Api, owner: asyncpg.Connection) -> None:
    record_id = (await api.submit(**LISTING)).json()["id"]
    body = REMOVAL | {"consent": CONSENT}
    proposed = await act(api, record_id, "removal", body)
    assert (proposed.json()["state"], proposed.json()["warnings"]) == ("published", ["awaiting-second-officer"])
    alone = await act(api, record_id, "removal", body)
    assert (alone.status_code, alone.json()["type"].rsplit(":")[-1]) == (409, "conflict-of-interest")
    another = body | {"document_number": "渝中移〔2026〕2号"}
    for decision in (another, body):  # another decision is another proposal
        again = await act(api, record_id, "removal", decision, officer="second")
        assert (again.json()["state"], again.json()["warnings"]) == ("published", ["awaiting-second-officer"])
    confirmed = await act(api, record_id, "removal", body)
    assert (confirmed.status_code, confirmed.json()["state"]) == (200, "removed")
    said = await owner.fetch(
        "SELECT change, actor FROM record_version WHERE record_id = $1 ORDER BY version", record_id
    )
    assert [tuple(row) for row in said][-2:] == [
        ("record.removal-proposed", "client:second-500103"),
        ("record.remove", "client:agency-submitter-500103"),
    ]


OWN_REVIEW = {**ANNULMENT, "basis": {**ANNULMENT["basis"], "kind": "own-review"}}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("action", "body", "state"),
    [("withdrawal", {"reason": "报送错误, 撤回"}, "withdrawn"), ("annulment", OWN_REVIEW, "annulled")],
)
async def test_no_other_way_off_a_serious_list_takes_one_officer(
    api: Api, action: str, body: dict[str, Any], state: str
) -> None:
    record_id = (await api.submit(**LISTING)).json()["id"]
    await act(api, record_id, "removal", REMOVAL | {"consent": CONSENT}, officer="second")
    for _ in range(2):
        alone = await act(api, record_id, action, body)
    assert (alone.status_code, alone.json()["type"].rsplit(":")[-1]) == (409, "conflict-of-interest")
    assert (await api.get(f"/v1/records/{record_id}")).status_code == 200
    ended = await act(api, record_id, action, body, officer="second")
    assert (ended.status_code, ended.json()["state"]) == (200, state)


async def test_what_others_annulled_goes_at_once(api: Api) -> None:
    record_id = (await api.submit(**LISTING)).json()["id"]
    assert (await act(api, record_id, "annulment", ANNULMENT)).json()["state"] == "annulled"


async def test_the_repair_notice_comes_with_the_decision(api: Api) -> None:
    record_id = (await api.submit(notices=NOTICES[:1])).json()["id"]
    path = f"/v1/records/{record_id}/repair-notice"
    notice = (await api.get(path, Role.SUBMITTER)).json()
    assert (notice["earliest_stop"], notice["latest_stop"], notice["repair_eligible_from"]) == (
        "2026-07-20",
        "2027-04-20",
        "2026-07-20",
    )
    assert "自2026-07-20起" in notice["text_zh"]
    assert "2027-04-20 at the latest" in notice["text_en"]
    assert notice["conditions"][0] == "minimum-period-reached"
    assert (await api.get(path, Role.SUBMITTER, agency=OTHER_AGENCY)).status_code == 404
    assert (await api.get(path, Role.SUBJECT)).status_code == 403
