"""One record: submitted, repeated, corrected, refused, shown and no longer shown."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import orjson
import pytest

from credit_service.accounts.rules import Role
from credit_service.platform.days import start_of
from tests.api import AGENCY, COMPANY, CONSENT, OTHER_AGENCY, OTHER_COMPANY, Api

BAD_CHECK_DIGIT = "91350203M0001QKT19"
TABLES = ("record", "record_version", "entity", "entity_name", "audit_event", "profile", "idempotency_key")


async def sizes(owner: Any) -> dict[str, int]:
    return {table: await owner.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}


async def test_stored_then_unchanged_then_corrected(api: Api, owner: asyncpg.Connection) -> None:
    stored = await api.submit()
    assert (stored.status_code, stored.json()["outcome"]) == (201, "stored")
    again = await api.submit()
    assert (again.status_code, again.json()["outcome"]) == (200, "unchanged")
    before = await sizes(owner)
    corrected = await api.submit(facts={"fine_amount": "13000.5"})
    assert (corrected.status_code, corrected.json()["outcome"], corrected.json()["version"]) == (200, "corrected", 2)
    assert corrected.json()["id"] == stored.json()["id"]
    after = await sizes(owner)
    grown = {table: after[table] - before[table] for table in TABLES}
    assert grown == dict.fromkeys(TABLES, 0) | {"record_version": 1, "audit_event": 1}
    events = await owner.fetch("SELECT canonical FROM audit_event WHERE subject_type = 'record' ORDER BY id")
    first, second = (orjson.loads(row["canonical"]) for row in events)
    assert (first["before"], second["before"]) == (None, first["after"])
    shown = (await api.get(f"/v1/records/{stored.json()['id']}")).json()
    assert shown["facts"]["fine_amount"] == "13000.50"


async def test_a_correction_does_not_restart_the_publicity_clock(api: Api, owner: asyncpg.Connection) -> None:
    await api.submit()
    window = await owner.fetchrow("SELECT publicity_from, publicity_until FROM record")
    api.clock.instant += timedelta(days=40)
    await api.submit(facts={"fine_amount": "1.00"})
    assert await owner.fetchrow("SELECT publicity_from, publicity_until FROM record") == window


async def test_an_idempotency_key_replays_and_is_not_reused(api: Api, owner: asyncpg.Connection) -> None:
    first = await api.submit("key-1")
    second = await api.submit("key-1")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert second.headers["idempotency-replayed"] == "true"
    other = await api.submit("key-1", document_number="别的文号")
    assert other.json()["type"].endswith("idempotency-key-reused")
    assert await owner.fetchval("SELECT count(*) FROM record") == 1


@pytest.mark.parametrize("key", [None, "one-key"])
async def test_ten_twins_at_once_are_one_record(api: Api, owner: asyncpg.Connection, key: str | None) -> None:
    answers = await asyncio.gather(*(api.submit(key) for _ in range(10)))
    assert {answer.json()["id"] for answer in answers} == {answers[0].json()["id"]}
    outcomes = sorted(answer.json()["outcome"] for answer in answers)
    assert outcomes == (["stored"] * 10 if key else ["stored"] + ["unchanged"] * 9)
    found = await sizes(owner)
    assert (found["record"], found["record_version"], found["entity"]) == (1, 1, 1)
    actions = await owner.fetch("SELECT action FROM audit_event WHERE uscc = $1", COMPANY)
    assert sorted(row["action"] for row in actions) == ["entity.noted", "record.stored"]


@pytest.mark.parametrize(
    ("changes", "pointer", "kind"),
    [
        ({"item_code": "social-credit-score"}, "/item_code", "catalogue-item-unknown"),
        ({"decided_on": "2021-07-14"}, "/item_code", "catalogue-item-not-in-force"),
        ({"decided_on": "2026-05-07"}, "/decided_on", "record-refused"),
        ({"valid_until": "2026-04-19"}, "/valid_until", "record-refused"),
        ({"document_number": " "}, "/document_number", "invalid-request"),
        ({"legal_basis": ""}, "/legal_basis", "invalid-request"),
        ({"authority_uscc": OTHER_AGENCY}, "/item_code", "agency-not-granted"),
        ({"authority_uscc": "11500103"}, "/authority_uscc", "uscc-invalid"),
        ({"uscc": BAD_CHECK_DIGIT}, "/uscc", "uscc-invalid"),
        ({"uscc": "11010519491231002X"}, "/uscc", "natural-person-identifier"),
        ({"facts": {"penalty_categories": ["罚款"], "fine_amount": None}}, "/facts/fine_amount", "record-refused"),
        ({"facts": {"fine_amount": "-1"}}, "/facts/fine_amount", "record-refused"),
        ({"facts": {"score": 650}}, "/facts/score", "record-refused"),
        ({"facts": {"penalty_content": None}}, "/facts/penalty_content", "record-refused"),
        ({"surprise": 1}, "/surprise", "invalid-request"),
    ],
)
async def test_refused_with_field_and_rule_and_nothing_stored(
    api: Api, owner: asyncpg.Connection, changes: dict[str, Any], pointer: str, kind: str
) -> None:
    before = await sizes(owner)
    response = await api.submit("k", **changes)
    problem = response.json()
    assert response.status_code in (403, 422)
    assert problem["type"] == f"urn:credit-service:problem:{kind}"
    assert pointer in [error["pointer"] for error in problem["errors"]]
    assert all(error["rule"] for error in problem["errors"])
    assert await sizes(owner) == before
    assert (await api.submit("k")).status_code == 201, "the same key can be sent again"


async def test_the_item_must_be_in_force_on_the_decision_date(api: Api) -> None:
    assert (await api.submit(decided_on="2021-07-14")).status_code == 422
    assert (await api.submit(decided_on="2021-07-15")).status_code == 201


async def test_another_agency_has_no_grant(api: Api) -> None:
    response = await api.call(
        "POST", "/v1/records", Role.SUBMITTER, agency=OTHER_AGENCY, json=(await _body()) | {"authority_uscc": AGENCY}
    )
    assert response.status_code == 403


async def _body() -> dict[str, Any]:
    from tests.api import penalty

    return penalty()


async def test_a_registrar_admits_a_code_with_a_wrong_check_digit(api: Api, owner: asyncpg.Connection) -> None:
    assert (await api.submit(uscc=BAD_CHECK_DIGIT)).status_code == 422
    path = f"/v1/entities/{BAD_CHECK_DIGIT}"
    body = {"name": "厦门某有限公司"}
    refused = await api.call("PUT", path, Role.REGISTRAR, json=body)
    assert "position 18" in refused.json()["errors"][0]["rule"]
    admitted = await api.call("PUT", path, Role.REGISTRAR, json=body | {"admit_bad_check_digit": "2016年前发放的代码"})
    assert (admitted.status_code, admitted.json()["quality_flags"]) == (201, ["check-digit-18"])
    stored = await api.submit(uscc=BAD_CHECK_DIGIT, entity_name="厦门某有限公司")
    assert stored.status_code == 201
    assert "subject-code-has-quality-flag" in stored.json()["warnings"]
    assert (await api.get(path)).json()["quality_flags"] == ["check-digit-18"]
    later = body | {"registration_status": "suspended"}
    updated = await api.call("PUT", path, Role.REGISTRAR, json=later, headers={"If-Match": '"v1"'})
    assert (updated.status_code, updated.json()["quality_flags"]) == (200, ["check-digit-18"])
    reasons = await owner.fetch("SELECT content::json->>'quality_reason' FROM entity_version ORDER BY version")
    assert [row[0] for row in reasons] == ["2016年前发放的代码"] * 2


async def test_public_to_the_second_without_any_job(api: Api) -> None:
    """A general penalty is shown for one year from its decision (Order 36) and is gone in the very second."""
    stored = (await api.submit()).json()
    stop = start_of(date(2027, 4, 20))
    places = [f"/v1/records/{stored['id']}", f"/v1/entities/{COMPANY}", f"/v1/entities/{COMPANY}/records"]
    for seconds, count in ((-1, 1), (0, 0), (1, 0)):
        api.clock.instant = stop + timedelta(seconds=seconds)
        record, profile, page = [await api.get(place) for place in places]
        assert record.status_code == (200 if count else 404)
        assert len(profile.json()["records"]) == len(page.json()["records"]) == count
        assert profile.json()["summary"]["administrative"] == count
    seen = (await api.get(places[1], Role.REGULATOR)).json()["records"]
    assert (len(seen), seen[0]["visible_to_public"]) == (1, False)
    own = (await api.get(places[1], Role.SUBJECT)).json()
    assert (own["audience"], len(own["records"])) == ("subject", 1)


async def test_minor_penalties_are_not_published(api: Api) -> None:
    stored = await api.submit(facts={"penalty_categories": ["警告"], "fine_amount": None})
    assert (await api.get(f"/v1/records/{stored.json()['id']}")).status_code == 404
    shown = (await api.get(f"/v1/records/{stored.json()['id']}", Role.SUBJECT)).json()
    assert (shown["severity"], shown["state"]) == ("minor", "withheld")
    assert shown["explanation"]


async def test_shared_facts_and_purpose(api: Api) -> None:
    path = f"/v1/records/{(await api.submit()).json()['id']}"
    assert "shared_facts" not in (await api.get(path)).json()
    assert (await api.get(path, Role.SUBMITTER)).json()["shared_facts"] == {"legal_representative": "张三"}
    for purpose in ("", "curiosity"):
        refused = await api.get(path, Role.REGULATOR, headers={"Credit-Purpose": purpose})
        assert refused.json()["type"].endswith("purpose-required")
    assert (await api.get(path, Role.SUBJECT, entity=OTHER_COMPANY)).json().get("shared_facts") is None


async def test_etags_of_records_and_lists(api: Api) -> None:
    path = f"/v1/records/{(await api.submit()).json()['id']}"
    for place in (path, f"/v1/entities/{COMPANY}/records", "/v1/lists"):
        first = await api.get(place)
        assert (await api.get(place, headers={"If-None-Match": first.headers["etag"]})).status_code == 304
        assert (await api.get(place, headers={"If-None-Match": '"other"'})).status_code == 200


async def test_list_pages_have_no_gaps_and_no_doubles_while_it_grows(api: Api) -> None:
    def entry(number: int) -> dict[str, Any]:
        return {
            "item_code": "serious-dishonesty-market-regulation",
            "document_number": f"列〔2026〕{number}号",
            "decided_on": str(date(2026, 4, 1) + timedelta(days=number % 7)),
            "consent": CONSENT,
            "facts": dict.fromkeys(("violation_type", "violation_facts", "penalty_categories", "penalty_content"))
            | {"fine_amount": None, "legal_representative": None, "reason": "情节严重"},
        }

    for number in range(23):
        assert (await api.submit(**entry(number))).status_code == 201
    path = "/v1/lists/serious-dishonesty-market-regulation/entries"
    seen: list[str] = []
    cursor = None
    while True:
        page = (await api.get(path, params={"limit": 5} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [record["document_number"] for record in page["records"]]
        if (cursor := page.get("next_cursor")) is None:
            break
        await api.submit(**(entry(100 + len(seen)) | {"decided_on": "2026-05-01"}))
    assert len(seen) == len(set(seen)) == 23
    assert len((await api.get(path, params={"division": "5001", "limit": 500})).json()["records"]) > 23
    assert (await api.get(path, params={"division": "31"})).json()["records"] == []
    for bad in ("x", "bnVsbA", "WzEsMl0"):
        assert (await api.get(path, params={"cursor": bad})).status_code == 400
    assert (await api.get("/v1/lists/administrative-penalty/entries")).status_code == 404


async def test_an_open_ended_licence_is_shown_on(api: Api) -> None:
    facts = {
        "document_name": "准予许可",
        "licence_category": "普通",
        "licence_content": "食品经营",
        "valid_from": "2026-04-20",
        "current_status": "有效",
    }
    none = dict.fromkeys(("violation_type", "violation_facts", "penalty_categories", "penalty_content", "fine_amount"))
    stored = await api.submit(item_code="administrative-licence", facts=none | facts, valid_until="2099-12-31")
    assert stored.status_code == 201, stored.text
    api.clock.instant = datetime(2050, 1, 1, tzinfo=UTC)
    assert (await api.get(f"/v1/records/{stored.json()['id']}")).status_code == 200
