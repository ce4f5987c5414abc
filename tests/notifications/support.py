"""What the tests of notifications share: a case, its notices, contact points, and a sender with its carriers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from credit_service.notifications import commands, sending
from credit_service.notifications.channels import carriers
from credit_service.notifications.commands import Case, Recipient
from credit_service.notifications.models import Contact, Notification
from credit_service.notifications.rules import VARIABLES, Channel, Template
from credit_service.platform.clock import FixedClock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.settings import Settings
from tests.api import AGENCY, COMPANY

WEBHOOK_KEY = "k" * 32
OFFICER = Actor("client:officer", "test", AGENCY)
ENTITY = Recipient.entity(COMPANY)
INTENT = Template.NOTICE_OF_INTENDED_DECISION
BASE_URL = "https://registry.example"


def case_of(uscc: str = COMPANY) -> Case:
    return Case(uscc, "proceeding", uuid7(), "渝中市监罚告〔2026〕1号")


def data_for(template: Template) -> dict[str, Any]:
    """Something for every variable, each of it recognisable."""
    return {
        name: date(2026, 5, 20) if name.endswith(("_on", "_by", "_until", "_from")) else f"<{name}>"
        for name in VARIABLES[template]
    }


@dataclass
class Office:
    """Owes and sends on the real database."""

    database: Database
    clock: FixedClock
    settings: Settings

    async def owe(
        self,
        case: Case,
        key: str = "k",
        *,
        template: Template = INTENT,
        recipient: Recipient = ENTITY,
        actor: Actor = OFFICER,
    ) -> Notification:
        async with self.database.transaction() as session:
            return await commands.owe(
                session, actor, self.clock.now(), recipient, template, case, data_for(template), key
            )

    async def contact(
        self, channel: Channel, address: str, *, owner: Recipient = ENTITY, consent: bool = False, verified: bool = True
    ) -> UUID:
        now: datetime = self.clock.now()
        contact = Contact(
            uscc=owner.uscc,
            id=uuid7(),
            kind=owner.type.value,
            channel=channel.value,
            address=address,
            verified_at=now if verified else None,
            service_consent_at=now if consent else None,
            created_at=now,
        )
        async with self.database.transaction() as session:
            session.add(contact)
        return contact.id

    async def send(self, *notifications: Notification) -> None:
        roads = carriers(self.settings)
        for notification in notifications:
            await sending.send(self.database, roads, self.clock, BASE_URL, notification.id)

    async def rows(self, notification: Notification) -> tuple[Notification, Sequence[dict[str, Any]]]:
        pool = await self.database.pool()
        async with self.database.transaction() as session:
            found = await session.get_one(Notification, (notification.uscc, notification.id))
        statement = "SELECT * FROM notification_delivery WHERE notification_id = $1 ORDER BY attempt"
        return found, [dict(row) for row in await pool.fetch(statement, notification.id)]


def settings_for(folder: Path, **changes: Any) -> Settings:
    chosen = {"smtp_security": "none", "smtp_sender": "notices@registry.example", "webhook_key": WEBHOOK_KEY}
    return Settings(data_dir=folder, **(chosen | {"webhook_loopback": True} | changes))
