"""Notices that the registry serves itself, at the stage that the law names; the next one waits for their proof."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from credit_service.accounts.rules import Role
from credit_service.notifications import sending
from credit_service.notifications.channels import carriers
from credit_service.platform.clock import FixedClock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.records import life
from credit_service.worker import expire_idempotency_keys
from tests.api import CATALOGUE, NOTICES, OTHER_AGENCY, Api, running
from tests.notifications.servers import Post, post_office
from tests.notifications.support import settings_for
from tests.records.test_proceedings import INTENT, NOTICE, RESPONSE, STATEMENT, decision, opened, step

EMAIL = "credit@company.example"
BY_REGISTRY = {name: NOTICE[name] for name in ("document_number", "statement_until")}
PAPER = {"means": "direct", "served_on": "2026-05-08", "evidence": "送达回证〔2026〕9号"}
DECIDED = {"notices": NOTICES[:2]}


@pytest.fixture
def post() -> Any:
    with post_office() as found:
        yield found


@pytest.fixture
async def api(database: Database, clock: FixedClock, tmp_path: Path, post: Post) -> AsyncIterator[Api]:
    async with running(database, clock, tmp_path, smtp_host="127.0.0.1", smtp_port=post.port) as found:
        yield found


async def states_contacts(api: Api, owner: asyncpg.Connection, *, consent: bool, language: str | None) -> None:
    """The company states an e-mail address, and proves that it is its own."""
    wanted: dict[str, Any] = {"contacts": [{"channel": "email", "address": EMAIL, "service_consent": consent}]}
    wanted |= {"language": language} if language else {}
    answer = await api.call("PUT", "/v1/contacts", Role.SUBJECT, {"If-Match": "*"}, json=wanted)
    assert (answer.status_code, answer.json()["language"]) == (200, language or "zh")
    code = await owner.fetchval("SELECT verification_code FROM contact WHERE removed_at IS NULL")
    path = f"/v1/contacts/{answer.json()['contacts'][0]['id']}/verification"
    assert (await api.call("POST", path, Role.SUBJECT, json={"code": code})).status_code == 204


async def send_all(api: Api, owner: asyncpg.Connection, post: Post) -> None:
    """As the job runner does."""
    settings = settings_for(Path(), smtp_host="127.0.0.1", smtp_port=post.port)
    for (notification,) in await owner.fetch("SELECT id FROM notification WHERE next_attempt_at IS NOT NULL"):
        await sending.send(api.database, carriers(settings), api.clock, "https://registry.example", notification)


async def inbox(api: Api) -> dict[str, dict[str, Any]]:
    found = (await api.get("/v1/inbox", Role.SUBJECT)).json()["notifications"]
    return {note["template"]: note for note in found}


async def served_on_paper(api: Api, template: str) -> None:
    note = (await inbox(api))[template]
    answer = await api.call("POST", f"/v1/notifications/{note['id']}/service", Role.SUBMITTER, json=PAPER)
    assert answer.status_code == 200, answer.text


def unproved(answer: Any) -> str:
    assert answer.status_code == 409, answer.text
    assert answer.json()["type"].endswith(":notice-not-proved")
    return str(answer.json()["notice"])


@pytest.mark.parametrize(("language", "says"), [(None, "拟对你单位作出"), ("en", "intends to make the decision")])
async def test_the_subject_is_told_of_an_intended_decision_in_its_language(
    api: Api, owner: asyncpg.Connection, post: Post, language: str | None, says: str
) -> None:
    await states_contacts(api, owner, consent=True, language=language)
    place = await opened(api)
    assert await inbox(api) == {}, "nothing is told of what the agency only considers"
    await step(api, place, "notice", NOTICE)
    note = (await inbox(api))["notice-of-intended-decision"]
    assert says in note["body"]
    assert INTENT["findings"] in note["body"]
    await send_all(api, owner, post)
    mail = post.taken[-1]
    assert note["case_reference"] in mail["Subject"]
    assert INTENT["findings"] not in mail.as_string(), "an e-mail names the case and says nothing of it"


async def test_a_decision_waits_for_the_proof_that_the_registry_served_the_notice(
    api: Api, owner: asyncpg.Connection, post: Post
) -> None:
    await states_contacts(api, owner, consent=True, language=None)
    place = await opened(api)
    sent = (await step(api, place, "notice", BY_REGISTRY)).json()
    assert sent["notice"] == {"document_number": NOTICE["document_number"], "sent_on": "2026-05-06"}
    assert unproved(await step(api, place, "decision", decision("2026-05-06"))) == "notice-of-intended-decision"
    await send_all(api, owner, post)
    early = await step(api, place, "decision", decision("2026-05-06"))
    assert [error["pointer"] for error in early.json()["errors"]] == ["/record/decided_on"], "served, and not yet heard"
    api.clock.instant += timedelta(days=8)
    decided = await step(api, place, "decision", decision("2026-05-14"))
    assert decided.status_code == 200, decided.text
    kept = orjson.loads(await owner.fetchval("SELECT notices FROM record"))
    (proof,) = [notice for notice in kept if notice["kind"] == "facts-grounds-and-rights"]
    assert (proof["served_on"], proof["means"], proof["evidence"][:6]) == ("2026-05-06", "electronic", "email ")


async def test_the_days_to_answer_run_from_the_service(api: Api, owner: asyncpg.Connection, post: Post) -> None:
    await states_contacts(api, owner, consent=False, language=None)
    place = await opened(api)
    await step(api, place, "notice", BY_REGISTRY)  # a week for the statement
    await send_all(api, owner, post)
    api.clock.instant += timedelta(days=9)
    assert unproved(await step(api, place, "decision", decision("2026-05-15"))) == "notice-of-intended-decision"
    await served_on_paper(api, "notice-of-intended-decision")  # on the 8th, two days after it was sent
    assert (await step(api, place, "decision", decision("2026-05-15"))).status_code == 422, "the 15th is the last day"
    heard = await step(api, place, "statement", STATEMENT, Role.SUBJECT)
    assert heard.status_code == 200, heard.text
    decided = await step(api, place, "decision", decision("2026-05-15", response=RESPONSE))
    assert decided.status_code == 200, decided.text
    shown = decided.json()["proceeding"]
    assert (shown["notice"]["served_on"], shown["statement_until"]) == ("2026-05-08", "2026-05-15")


async def test_whoever_was_not_told_is_not_late(api: Api) -> None:
    place = await opened(api)
    await step(api, place, "notice", BY_REGISTRY)
    api.clock.instant += timedelta(days=30)
    assert (await step(api, place, "statement", STATEMENT, Role.SUBJECT)).status_code == 200


@pytest.mark.parametrize("left_out", ["served_on", "means", "evidence"])
async def test_half_a_proof_is_none(api: Api, left_out: str) -> None:
    place = await opened(api)
    half = {name: value for name, value in NOTICE.items() if name != left_out}
    refused = await step(api, place, "notice", half)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] in ("/served_on", "/evidence")
    assert await inbox(api) == {}


@pytest.mark.parametrize(("language", "says"), [(None, "自2026-07-20起"), ("en", "From 2026-07-20 you may apply")])
async def test_publicity_waits_for_the_proof_of_the_repair_notice(
    api: Api, owner: asyncpg.Connection, post: Post, language: str | None, says: str
) -> None:
    await states_contacts(api, owner, consent=True, language=language)
    place = f"/v1/records/{(await api.submit(**DECIDED)).json()['id']}"
    assert "repair-notice" not in await inbox(api), "the agency has not asked for it"
    proof = {"by_registry": True}
    assert unproved(await step(api, place, "notices", proof)) == "repair-notice"
    sent = await api.call("POST", f"{place}/repair-notice", Role.SUBMITTER)
    assert (sent.status_code, sent.json()["language"]) == (200, language or "zh")
    again = await api.call("POST", f"{place}/repair-notice", Role.SUBMITTER)
    assert again.json()["notification_id"] == sent.json()["notification_id"], "one version, one notice"
    assert says in (await inbox(api))["repair-notice"]["body"]
    assert unproved(await step(api, place, "notices", proof)) == "repair-notice", "owed is not served"
    assert (await api.get(place)).status_code == 404
    await send_all(api, owner, post)
    published = await step(api, place, "notices", proof)
    assert (published.status_code, published.json()["state"]) == (200, "published")
    assert (await api.get(place)).status_code == 200


async def test_the_repair_notice_goes_with_the_decision_of_a_proceeding(api: Api) -> None:
    place = await opened(api)
    await step(api, place, "notice", NOTICE)
    api.clock.instant += timedelta(days=8)
    body = decision("2026-05-14")
    body["record"]["notices"] = body["record"]["notices"][:1]
    decided = (await step(api, place, "decision", body)).json()
    assert decided["record"]["warnings"] == ["awaiting-notice"]
    assert "自2026-08-14起" in (await inbox(api))["repair-notice"]["body"]
    await served_on_paper(api, "repair-notice")
    record = f"/v1/records/{decided['record']['id']}"
    published = await step(api, record, "notices", {"by_registry": True})
    assert (published.status_code, published.json()["state"]) == (200, "published")


async def test_a_decision_that_brings_its_proof_is_not_told_twice(api: Api) -> None:
    place = await opened(api)
    await step(api, place, "notice", NOTICE)
    api.clock.instant += timedelta(days=8)
    decided = await step(api, place, "decision", decision("2026-05-14"))
    assert decided.status_code == 200, decided.text
    assert set(await inbox(api)) == {"notice-of-intended-decision"}


async def test_who_may_send_a_repair_notice_and_of_what(api: Api) -> None:
    place = f"/v1/records/{(await api.submit(**DECIDED)).json()['id']}"
    assert (await api.call("POST", f"{place}/repair-notice", Role.SUBMITTER, agency=OTHER_AGENCY)).status_code == 404
    assert (await api.call("POST", f"{place}/repair-notice", Role.SUBJECT)).status_code == 403
    assert (await step(api, place, "notices", {})).json()["errors"][0]["pointer"] == "/notices"
    older = (await api.submit(**DECIDED, decided_on="2025-06-20", document_number="旧1号")).json()["id"]
    refused = await api.call("POST", f"/v1/records/{older}/repair-notice", Role.SUBMITTER)
    assert refused.status_code == 422, "no such notice was asked for before 国办发〔2025〕22号"
    await step(api, place, "withdrawal", {"reason": "报送错误, 撤回"})
    closed = await api.call("POST", f"{place}/repair-notice", Role.SUBMITTER)
    assert closed.json()["type"].endswith(":record-closed")


async def test_what_was_told_is_forgotten_with_its_record(api: Api, owner: asyncpg.Connection) -> None:
    place = await opened(api)
    await step(api, place, "notice", NOTICE)
    api.clock.instant += timedelta(days=8)
    body = decision("2026-05-14")
    body["record"]["notices"] = body["record"]["notices"][:1]
    record_id = (await step(api, place, "decision", body)).json()["record"]["id"]
    for template in ("notice-of-intended-decision", "repair-notice"):
        await served_on_paper(api, template)
    await step(api, f"/v1/records/{record_id}", "notices", {"by_registry": True})
    other = (await api.submit(**DECIDED, document_number="另1号")).json()["id"]
    await api.call("POST", f"/v1/records/{other}/repair-notice", Role.SUBMITTER)
    api.clock.instant = await owner.fetchval("SELECT disclosure_until FROM record WHERE id = $1", record_id)
    async with api.database.transaction() as session:
        await life.archive_due(session, CATALOGUE, Actor("worker", "job"), api.clock.now(), 10)
    erasure = {"reason": "披露期限届满"}
    erased = await api.call("POST", f"/v1/records/{record_id}/erasure", Role.ADMINISTRATOR, json=erasure)
    assert erased.status_code == 200, erased.text
    await expire_idempotency_keys(api.database, api.clock.now())
    left = await owner.fetch("SELECT case_id::text, body, octet_length(salt) AS salt FROM notification")
    assert sorted((row["case_id"] == other, bool(row["body"]), bool(row["salt"])) for row in left) == [
        (False, False, False),
        (False, False, False),
        (True, True, True),
    ], "of the erased record nothing, of the other everything"
    details = [orjson.loads(row[0]) for row in await owner.fetch("SELECT detail FROM notification_delivery")]
    assert not [detail for detail in details if detail.get("evidence")]
