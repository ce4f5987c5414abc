"""Inbox, contact points and oversight over HTTP; nobody sees what is another's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from credit_service.accounts.rules import Role
from credit_service.notifications import commands, sending
from credit_service.notifications.channels import carriers
from credit_service.notifications.commands import Recipient
from credit_service.notifications.rules import Channel, Template
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database
from tests.api import AGENCY, OTHER_AGENCY, OTHER_COMPANY, Api, running
from tests.notifications.servers import Post, post_office
from tests.notifications.support import WEBHOOK_KEY, Office, case_of, settings_for

EMAIL = "credit@company.example"
SERVICE = {"means": "direct", "served_on": "2026-05-04", "evidence": "送达回证〔2026〕9号"}


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    with post_office() as found:
        yield found


@pytest.fixture
def office(database: Database, clock: FixedClock, tmp_path: Path, post: Post) -> Office:
    return Office(database, clock, settings_for(tmp_path, smtp_host="127.0.0.1", smtp_port=post.port))


@pytest.fixture
async def api(office: Office, tmp_path: Path, post: Post) -> AsyncIterator[Api]:
    more = {"smtp_host": "127.0.0.1", "smtp_port": post.port, "webhook_key": WEBHOOK_KEY}
    async with running(office.database, office.clock, tmp_path, **more) as found:
        yield found


async def put(api: Api, *contacts: dict[str, Any], etag: str | None = "*", **more: Any) -> Any:
    headers = {"If-Match": etag} if etag else {}
    role = more.pop("role", Role.SUBJECT)
    return await api.call("PUT", "/v1/contacts", role, headers, json={"contacts": list(contacts)}, **more)


async def test_an_inbox_is_its_owners_alone(api: Api, office: Office, owner: asyncpg.Connection) -> None:
    first = await office.owe(case_of(), "1")
    office.clock.instant += timedelta(minutes=1)
    second = await office.owe(case_of(), "2", template=Template.REPAIR_GRANTED)
    theirs = await office.owe(case_of(), "3", recipient=Recipient.entity(OTHER_COMPANY))
    ours = await office.owe(case_of(), "4", template=Template.DEADLINE_WARNING, recipient=Recipient.agency(AGENCY))
    page = (await api.get("/v1/inbox", Role.SUBJECT)).json()
    assert [item["id"] for item in page["notifications"]] == [str(second.id), str(first.id)]
    assert page["unread"] == 2
    assert "<findings>" in page["notifications"][1]["body"]
    for role in (Role.SUBMITTER, Role.REGULATOR):
        assert [item["id"] for item in (await api.get("/v1/inbox", role)).json()["notifications"]] == [str(ours.id)]
        assert (await api.get("/v1/inbox", role, agency=OTHER_AGENCY)).json()["notifications"] == []

    read = await api.call("POST", f"/v1/inbox/{first.id}/read", Role.SUBJECT, {"Idempotency-Key": "r"})
    assert read.status_code == 200
    receipt = read.json()["read_at"]
    office.clock.instant += timedelta(minutes=1)
    again = await api.call("POST", f"/v1/inbox/{first.id}/read", Role.SUBJECT)
    assert again.json()["read_at"] == receipt, "the first reading counts"
    assert (await api.get("/v1/inbox", Role.SUBJECT)).json()["unread"] == 1
    for other in (theirs.id, ours.id, uuid7()):
        assert (await api.call("POST", f"/v1/inbox/{other}/read", Role.SUBJECT)).status_code == 404
    assert (await api.call("POST", "/v1/inbox/%00/read", Role.SUBJECT)).status_code in (404, 422)
    assert await owner.fetchval("SELECT count(*) FROM audit_event WHERE action = 'notification.read'") == 1


async def test_an_entity_that_is_an_agency_too_has_two_inboxes(api: Api, office: Office) -> None:
    await office.owe(case_of(), recipient=Recipient.entity(AGENCY))
    assert (await api.get("/v1/inbox", Role.SUBMITTER)).json()["notifications"] == []
    assert len((await api.get("/v1/inbox", Role.SUBJECT, entity=AGENCY)).json()["notifications"]) == 1


async def test_an_inbox_is_paged_without_gaps(api: Api, office: Office) -> None:
    owed = []
    for number in range(7):
        office.clock.instant += timedelta(seconds=number % 2)  # some at the same instant
        owed.append(str((await office.owe(case_of(), str(number))).id))
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await api.get("/v1/inbox", Role.SUBJECT, params=query)).json()
        seen += [item["id"] for item in page["notifications"]]
        if not page.get("next_cursor"):
            break
        query["cursor"] = page["next_cursor"]
    assert sorted(seen) == sorted(owed)
    assert len(seen) == len(set(seen))
    for wrong in ("x", "WzEsMl0", "%00"):
        assert (await api.get("/v1/inbox", Role.SUBJECT, params={"cursor": wrong})).status_code == 400


async def test_a_contact_point_is_verified_before_it_is_used(
    api: Api, office: Office, post: Post, owner: asyncpg.Connection
) -> None:
    answer = await put(api, {"channel": "email", "address": EMAIL, "service_consent": True})
    assert answer.status_code == 200, answer.text
    (contact,) = answer.json()["contacts"]
    assert contact["verified_at"] is None
    assert contact["service_consent_at"] is not None
    (verification,) = await owner.fetch("SELECT uscc, id FROM notification")
    assert (await api.get("/v1/inbox", Role.SUBJECT)).json()["notifications"] == [], "the code is in no inbox"
    assert (await api.call("POST", f"/v1/inbox/{verification['id']}/read", Role.SUBJECT)).status_code == 404
    notification = await office.owe(case_of())
    await office.send(notification)
    assert post.taken == [], "nothing of a case before"
    await sending.send(office.database, carriers(office.settings), office.clock, "", verification["id"])
    (mail,) = post.taken
    code = mail.get_content().split("：")[1].split("。")[0]
    path = f"/v1/contacts/{contact['id']}/verification"
    for wrong in ("AAAAAAAA", "验证码"):
        refused = await api.call("POST", path, Role.SUBJECT, json={"code": wrong})
        assert (refused.status_code, refused.json()["type"]) == (
            422, "urn:credit-service:problem:contact-verification-failed",
        )  # fmt: skip
    for wrong in ("", "\ud800", "\x00", "x" * 50):
        refused = await api.call("POST", path, Role.SUBJECT, content=json.dumps({"code": wrong}))
        assert refused.status_code == 422, refused.text
    foreign = await api.call("POST", path, Role.SUBJECT, json={"code": code}, entity=OTHER_COMPANY)
    assert foreign.status_code == 404
    assert (await api.call("POST", path, Role.SUBJECT, json={"code": code.lower()})).status_code == 204
    assert (await api.get("/v1/contacts", Role.SUBJECT)).json()["contacts"][0]["verified_at"] is not None
    await office.send(await office.owe(case_of(), "later"))
    assert len(post.taken) == 2


async def test_a_code_is_good_for_a_day_and_then_another_is_sent(
    api: Api, office: Office, owner: asyncpg.Connection
) -> None:
    wanted = {"channel": "email", "address": EMAIL}
    (contact,) = (await put(api, wanted)).json()["contacts"]
    code = await owner.fetchval("SELECT verification_code FROM contact")
    await put(api, wanted)
    assert await owner.fetchval("SELECT count(*) FROM notification") == 1, "the code under way stands"
    office.clock.instant += timedelta(hours=24)
    path = f"/v1/contacts/{contact['id']}/verification"
    assert (await api.call("POST", path, Role.SUBJECT, json={"code": code})).status_code == 422
    await put(api, wanted)
    assert await owner.fetchval("SELECT count(*) FROM notification") == 2
    assert await owner.fetchval("SELECT verification_code FROM contact") != code


async def test_contact_points_are_replaced_whole_by_who_saw_them(api: Api, owner: asyncpg.Connection) -> None:
    assert (await put(api, etag=None)).status_code == 428
    empty = await api.get("/v1/contacts", Role.SUBJECT)
    inbox = {"channel": "inbox", "service_consent": True}
    first = await put(
        api, inbox, {"channel": "webhook", "address": "https://hooks.example.cn/c"}, etag=empty.headers["etag"]
    )
    assert first.status_code == 200, first.text
    stale = await put(api, etag=empty.headers["etag"])
    assert (stale.status_code, stale.json()["current"]) == (412, first.headers["etag"])
    assert first.headers["cache-control"] == "no-store"
    by_channel = {contact["channel"]: contact for contact in first.json()["contacts"]}
    assert by_channel["webhook"]["signing_secret"].startswith("whsec_")
    assert by_channel["inbox"]["signing_secret"] is None
    assert by_channel["inbox"]["verified_at"] is not None
    second = await put(api, inbox, etag=first.headers["etag"])
    assert [contact["id"] for contact in second.json()["contacts"]] == [by_channel["inbox"]["id"]]
    assert await owner.fetchval("SELECT count(*) FROM contact WHERE removed_at IS NOT NULL") == 1
    assert (await api.get("/v1/contacts", Role.SUBJECT, entity=OTHER_COMPANY)).json()["contacts"] == []
    assert (await put(api, role=Role.SUBMITTER)).json() == {"contacts": [], "language": "zh"}
    assert len((await api.get("/v1/contacts", Role.SUBJECT)).json()["contacts"]) == 1
    stored = await owner.fetch("SELECT body FROM idempotency_key")
    assert not any(b"whsec_" in row["body"] for row in stored)


@pytest.mark.parametrize(
    ("contacts", "pointer"),
    [
        ([{"channel": "email", "address": "nobody"}], "/contacts/0/address"),
        ([{"channel": "email", "address": "a\x00@b.example"}], "/contacts/0/address"),
        ([{"channel": "paper", "address": ""}], "/contacts/0/channel"),
        ([{"channel": "sms", "address": "+8613800138000"}], "/contacts/0/channel"),
        ([{"channel": "inbox"}, {"channel": "inbox"}], "/contacts/1"),
        ([{"channel": "inbox", "more": 1}], "/contacts/0/more"),
        ([{"channel": "inbox"}] * 11, "/contacts"),
    ],
)
async def test_contact_points_that_will_not_do(api: Api, contacts: list[dict[str, Any]], pointer: str) -> None:
    answer = await put(api, *contacts)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert (await api.get("/v1/contacts", Role.SUBJECT)).json()["contacts"] == []


async def failed(office: Office, post: Post, **more: Any) -> commands.Notification:
    post.recipient_reply = "550 no such user"
    await office.contact(Channel.EMAIL, EMAIL)
    notification = await office.owe(case_of(), **more)
    await office.send(notification)
    return notification


async def test_failures_are_seen_by_who_answers_for_them(api: Api, office: Office, post: Post) -> None:
    notification = await failed(office, post)
    await office.owe(case_of(), "fine", recipient=Recipient.entity(OTHER_COMPANY))
    query = {"state": "failed"}
    for role in (Role.ADMINISTRATOR, Role.SUBMITTER):
        (seen,) = (await api.get("/v1/notifications", role, params=query)).json()["notifications"]
        assert seen["id"] == str(notification.id)
        assert [(row["channel"], row["state"]) for row in seen["deliveries"]] == [
            ("inbox", "delivered"), ("email", "failed"),
        ]  # fmt: skip
        assert "body" not in seen
        assert EMAIL not in str(seen)
        assert len((await api.get("/v1/notifications", role)).json()["notifications"]) == 2
    other = await api.get("/v1/notifications", Role.SUBMITTER, params=query, agency=OTHER_AGENCY)
    assert other.json()["notifications"] == []
    assert (await api.get("/v1/notifications", Role.SUBMITTER, params={"state": "lost"})).status_code == 422


async def test_a_failed_notification_is_sent_anew_by_who_answers_for_it(
    api: Api, office: Office, post: Post, owner: asyncpg.Connection
) -> None:
    notification = await failed(office, post)
    path = f"/v1/notifications/{notification.id}/retry"
    assert (await api.call("POST", path, Role.SUBMITTER, agency=OTHER_AGENCY)).status_code == 404
    assert (await api.call("POST", f"/v1/notifications/{uuid7()}/retry", Role.ADMINISTRATOR)).status_code == 404
    await owner.execute("DELETE FROM pgqueuer")
    answer = await api.call("POST", path, Role.SUBMITTER, {"Idempotency-Key": "again"})
    assert (answer.status_code, answer.json()["state"]) == (200, "owed")
    assert await owner.fetchval("SELECT payload FROM pgqueuer") == notification.id.bytes
    replayed = await api.call("POST", path, Role.SUBMITTER, {"Idempotency-Key": "again"})
    assert replayed.headers["idempotency-replayed"] == "true"
    assert (await api.call("POST", path, Role.ADMINISTRATOR)).status_code == 409
    post.recipient_reply = "250 OK"
    await office.send(notification)
    assert len(post.taken) == 1


async def test_service_on_paper_is_recorded_by_the_agency_that_owed_it(
    api: Api, office: Office, post: Post, owner: asyncpg.Connection
) -> None:
    notification = await failed(office, post)
    path = f"/v1/notifications/{notification.id}/service"
    assert (await api.call("POST", path, Role.SUBMITTER, json=SERVICE, agency=OTHER_AGENCY)).status_code == 404
    for change, pointer in (
        ({"served_on": "2026-05-07"}, "/served_on"),
        ({"means": "electronic"}, "/means"),
        ({"evidence": "x"}, "/evidence"),
        ({"evidence": "送达\x00回证"}, "/evidence"),
    ):
        wrong = await api.call("POST", path, Role.SUBMITTER, json=SERVICE | change)
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, pointer)
    answer = await api.call("POST", path, Role.SUBMITTER, json=SERVICE)
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "delivered"
    last = answer.json()["deliveries"][-1]
    assert (last["channel"], last["counts_as_service"], last["detail"]["means"]) == ("paper", True, "direct")
    assert await owner.fetchval("SELECT count(*) FROM audit_event WHERE action = 'notification.served'") == 1
