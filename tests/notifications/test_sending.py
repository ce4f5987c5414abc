"""Owing, sending, retrying and proving on the real database with real carriers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.notifications import commands, sending
from credit_service.notifications.channels import carriers
from credit_service.notifications.commands import Recipient
from credit_service.notifications.models import PaperService
from credit_service.notifications.rules import MOST_ATTEMPTS, Channel, ServiceMeans, Template, message_id
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database
from credit_service.platform.days import start_of
from tests.api import COMPANY, OTHER_COMPANY
from tests.notifications.servers import Post, post_office, web_server
from tests.notifications.support import ENTITY, INTENT, OFFICER, Office, case_of, settings_for

EMAIL = "credit@company.example"


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    with post_office() as found:
        yield found


@pytest.fixture
def office(database: Database, clock: FixedClock, tmp_path: Path, post: Post) -> Office:
    return Office(database, clock, settings_for(tmp_path, smtp_host="127.0.0.1", smtp_port=post.port))


async def test_without_contact_points_the_inbox_is_where_it_arrives(office: Office, owner: asyncpg.Connection) -> None:
    notification, deliveries = await office.rows(await office.owe(case_of()))
    assert (notification.state, notification.next_attempt_at) == ("delivered", None)
    assert [(row["channel"], row["state"], row["counts_as_service"]) for row in deliveries] == [
        ("inbox", "delivered", False)
    ]
    assert await owner.fetchval("SELECT count(*) FROM pgqueuer") == 0
    assert await owner.fetchval("SELECT count(*) FROM audit_event WHERE action = 'notification.owed'") == 1


async def test_what_is_rolled_back_was_never_owed(office: Office, owner: asyncpg.Connection) -> None:
    await office.contact(Channel.EMAIL, EMAIL)

    data = {"entity_name": "a", "agency_name": "b", "decided_on": "c"}
    async with AsyncSession(office.database.engine) as session, session.begin() as change:
        await commands.owe(session, OFFICER, office.clock.now(), ENTITY, Template.REPAIR_GRANTED, case_of(), data, "k")
        assert await session.scalar(text("SELECT count(*) FROM pgqueuer")) == 1
        await change.rollback()
    for table in ("notification", "notification_delivery", "pgqueuer", "audit_event"):
        assert await owner.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_owed_twice_is_owed_once_even_at_the_same_moment(office: Office, post: Post) -> None:
    await office.contact(Channel.EMAIL, EMAIL)
    case = case_of()
    owed = await asyncio.gather(*(office.owe(case) for _ in range(5)))
    assert len({notification.id for notification in owed}) == 1
    assert (await office.owe(case_of(), "another")).id != owed[0].id
    other = await office.owe(case_of(OTHER_COMPANY), recipient=Recipient.entity(OTHER_COMPANY))
    assert other.id != owed[0].id, "the key is the entity's own"
    _, deliveries = await office.rows(owed[0])
    assert len(deliveries) == 1


async def test_a_sent_mail_names_its_case_and_nothing_else(
    office: Office, post: Post, owner: asyncpg.Connection
) -> None:
    await office.contact(Channel.EMAIL, EMAIL)
    await office.contact(Channel.EMAIL, "unverified@company.example", verified=False)
    case = case_of()
    notification = await office.owe(case)
    assert await owner.fetchval("SELECT count(*) FROM pgqueuer WHERE entrypoint = $1", commands.JOB) == 1
    await office.send(notification, notification)
    (mail,) = post.taken
    assert mail["To"] == EMAIL
    assert mail["Message-ID"] == f"<{message_id(COMPANY, 'k')}@registry.example>"
    said = mail.get_content()
    assert case.reference in said
    assert not [name for name in ("findings", "grounds", "entity_name", "intended_content") if f"<{name}>" in said]
    found, deliveries = await office.rows(notification)
    assert (found.state, found.next_attempt_at) == ("sent", None)
    assert [(row["channel"], row["state"]) for row in deliveries] == [("inbox", "delivered"), ("email", "sent")]
    actions = [row["action"] for row in await owner.fetch("SELECT action FROM audit_event ORDER BY id")]
    assert actions == ["notification.owed", "notification.sent"]


async def test_senders_at_the_same_moment_send_once(office: Office) -> None:
    with web_server() as receiver:
        await office.contact(Channel.WEBHOOK, receiver.url)
        notification = await office.owe(case_of())
        receiver.gate.clear()
        first = asyncio.create_task(office.send(notification))
        await asyncio.to_thread(receiver.entered.acquire)
        await asyncio.gather(office.send(notification), office.send(notification))
        receiver.gate.set()
        await first
        assert len(receiver.requests) == 1
    found, _ = await office.rows(notification)
    assert found.state == "delivered"


async def test_failures_are_retried_later_and_later_and_then_shown(office: Office, post: Post) -> None:
    post.replies = ["451 later"]
    await office.contact(Channel.EMAIL, EMAIL)
    notification = await office.owe(case_of())
    waits = []
    while True:
        await office.send(notification)
        found, deliveries = await office.rows(notification)
        if found.next_attempt_at is None:
            break
        assert found.state == "owed"
        waits.append(found.next_attempt_at - office.clock.now())
        await office.send(notification)  # not due: nothing happens
        assert await sending.wake_due(office.database, office.clock.now()) == 0
        office.clock.instant = found.next_attempt_at
        assert await sending.wake_due(office.database, office.clock.now()) == 1
    assert found.state == "failed"
    tried = [row for row in deliveries if row["channel"] == "email"]
    assert [row["state"] for row in tried] == ["failed"] * MOST_ATTEMPTS
    assert tried[-1]["next_attempt_at"] is None
    assert waits == sorted(waits)
    assert len(waits) == MOST_ATTEMPTS - 1
    assert post.taken == []

    post.replies = ["451 later", "250 OK"]
    async with office.database.transaction() as session:
        await commands.retry(session, OFFICER, office.clock.now(), notification.id)
    await office.send(notification)
    found, _ = await office.rows(notification)
    assert found.state == "owed", "a retry by hand has all its attempts again"
    assert found.next_attempt_at is not None
    office.clock.instant = found.next_attempt_at
    await office.send(notification)
    found, _ = await office.rows(notification)
    assert found.state == "sent"
    assert len(post.taken) == 1


async def test_what_will_never_do_is_not_tried_again(office: Office, post: Post) -> None:
    post.recipient_reply = "550 no such user"
    await office.contact(Channel.EMAIL, EMAIL)
    notification = await office.owe(case_of())
    await office.send(notification)
    found, deliveries = await office.rows(notification)
    assert (found.state, len(deliveries)) == ("failed", 2)


async def test_one_channel_that_works_does_not_stop_another_that_will(office: Office, post: Post) -> None:
    post.replies = ["451 later", "250 OK"]
    with web_server() as receiver:
        await office.contact(Channel.WEBHOOK, receiver.url)
        await office.contact(Channel.EMAIL, EMAIL)
        notification = await office.owe(case_of())
        await office.send(notification)
        found, _ = await office.rows(notification)
        assert found.state == "delivered"
        assert found.next_attempt_at is not None
        office.clock.instant = found.next_attempt_at
        await office.send(notification)
        assert len(receiver.requests) == 1
    assert len(post.taken) == 1
    found, _ = await office.rows(notification)
    assert (found.state, found.next_attempt_at) == ("delivered", None)


async def test_an_interrupted_attempt_counts_and_is_repeated_under_the_same_name(office: Office, post: Post) -> None:
    await office.contact(Channel.EMAIL, EMAIL)
    notification = await office.owe(case_of())
    async with office.database.transaction() as session:
        begun = await sending._begin(session, office.clock.now(), notification.id, "")
    assert len(begun) == 1
    await office.send(notification)
    _, deliveries = await office.rows(notification)
    tried = [(row["attempt"], row["state"]) for row in deliveries if row["channel"] == "email"]
    assert tried == [(2, "failed"), (3, "sent")]
    assert post.taken[0]["Message-ID"] == f"<{begun[0][1].message_id}@registry.example>"


async def test_a_sender_that_always_dies_does_not_go_on_for_ever(office: Office) -> None:
    await office.contact(Channel.EMAIL, EMAIL)
    notification = await office.owe(case_of())
    for _ in range(MOST_ATTEMPTS):
        async with office.database.transaction() as session:
            assert await sending._begin(session, office.clock.now(), notification.id, "")
    await office.send(notification)
    found, deliveries = await office.rows(notification)
    assert (found.state, len(deliveries)) == ("failed", MOST_ATTEMPTS + 1)


async def test_a_carrier_that_is_not_configured_or_broken_is_a_failure(office: Office) -> None:
    class Broken:
        async def send(self, message: object, now: object) -> None:
            raise RuntimeError("a mistake of ours")

    await office.contact(Channel.EMAIL, EMAIL)
    notification = await office.owe(case_of())
    for roads, said in (({}, "channel not configured"), ({Channel.EMAIL: Broken()}, "carrier: RuntimeError")):
        await sending.send(office.database, roads, office.clock, "", notification.id)  # type: ignore[arg-type]
        found, deliveries = await office.rows(notification)
        assert (found.state, deliveries[-1]["state"]) == ("owed", "failed")
        assert said in deliveries[-1]["detail"]
        assert found.next_attempt_at is not None
        office.clock.instant = found.next_attempt_at


async def test_nothing_more_is_sent_of_a_case_that_ended(office: Office, post: Post) -> None:
    await office.contact(Channel.EMAIL, EMAIL)
    case = case_of()
    notification = await office.owe(case)
    async with office.database.transaction() as session:
        assert await commands.cancel(session, OFFICER, office.clock.now(), case, "申请撤回") == 1
    await office.send(notification)
    found, _ = await office.rows(notification)
    assert (found.state, post.taken) == ("cancelled", [])


async def test_a_contact_point_removed_while_sending_keeps_its_record(
    office: Office, owner: asyncpg.Connection
) -> None:
    with web_server() as receiver:
        contact = await office.contact(Channel.WEBHOOK, receiver.url)
        notification = await office.owe(case_of())
        receiver.gate.clear()
        under_way = asyncio.create_task(office.send(notification))
        await asyncio.to_thread(receiver.entered.acquire)
        await owner.execute("UPDATE contact SET removed_at = now() WHERE id = $1", contact)
        receiver.gate.set()
        await under_way
    found, deliveries = await office.rows(notification)
    assert (found.state, deliveries[-1]["state"]) == ("delivered", "delivered")


async def proof(office: Office, case: commands.Case, template: Template = INTENT) -> commands.Proof | None:
    async with office.database.transaction() as session:
        return await commands.proof_of_notice(session, office.clock.now(), case, template)


@pytest.mark.parametrize("consent", [False, True])
async def test_an_email_proves_service_only_where_the_recipient_agreed(office: Office, consent: bool) -> None:
    await office.contact(Channel.EMAIL, EMAIL, consent=consent)
    case = case_of()
    notification = await office.owe(case)
    assert await proof(office, case) is None, "owed is not served"
    office.clock.instant += timedelta(minutes=5)
    await office.send(notification)
    found = await proof(office, case)
    assert (found is not None) == consent
    if found is not None:
        assert (found.means, found.delivered_at) == (ServiceMeans.ELECTRONIC, office.clock.now())
        assert str(notification.id) in found.evidence
    assert await proof(office, case, Template.REPAIR_NOTICE) is None, "another notice of the case"
    assert await proof(office, case_of()) is None, "the notice of another case"


async def test_a_failed_or_interrupted_email_proves_nothing(office: Office, post: Post) -> None:
    post.replies = ["451 later"]
    await office.contact(Channel.EMAIL, EMAIL, consent=True)
    case = case_of()
    notification = await office.owe(case)
    await office.send(notification)
    assert await proof(office, case) is None
    async with office.database.transaction() as session:
        due = (await office.rows(notification))[0].next_attempt_at
        assert due is not None
        await sending._begin(session, due, notification.id, "")
    assert await proof(office, case) is None


@pytest.mark.parametrize("consent", [False, True])
async def test_the_inbox_proves_service_only_where_the_recipient_agreed(office: Office, consent: bool) -> None:
    await office.contact(Channel.INBOX, "", consent=consent)
    case = case_of()
    await office.owe(case)
    assert (await proof(office, case) is not None) == consent


@pytest.mark.parametrize(
    ("means", "counts_from"),
    [
        ("direct", date(2026, 5, 4)),
        ("left-in-place", date(2026, 5, 4)),
        ("post", date(2026, 5, 4)),
        ("public-announcement", date(2026, 6, 3)),
    ],
)
async def test_service_on_paper_counts_from_the_day_of_the_law(office: Office, means: str, counts_from: date) -> None:
    case = case_of()
    notification = await office.owe(case)
    body = PaperService(means=means, served_on=date(2026, 5, 4), evidence="送达回证〔2026〕9号")
    async with office.database.transaction() as session:
        await commands.record_service(session, OFFICER, office.clock.now(), notification.id, body)
    if start_of(counts_from) > office.clock.now():
        office.clock.instant = start_of(counts_from) - timedelta(seconds=1)
        assert await proof(office, case) is None
        office.clock.instant += timedelta(seconds=1)
    found = await proof(office, case)
    assert found is not None
    assert (found.means, found.delivered_at, found.evidence) == (
        ServiceMeans(means), start_of(counts_from), "送达回证〔2026〕9号",
    )  # fmt: skip


async def test_the_notice_to_somebody_else_proves_nothing_for_the_entity(office: Office) -> None:
    case, other = case_of(), Recipient.entity(OTHER_COMPANY)
    await office.contact(Channel.INBOX, "", owner=other, consent=True)
    await office.owe(case, recipient=other)
    assert await proof(office, case) is None
    async with office.database.transaction() as session:
        assert await commands.proof_of_notice(session, office.clock.now(), case, INTENT, other) is not None


def test_no_carrier_but_those_configured(tmp_path: Path) -> None:
    assert Channel.EMAIL not in carriers(settings_for(tmp_path))
