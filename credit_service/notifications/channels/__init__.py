"""The roads out of the registry. Each takes a message to a carrier and tells what the carrier said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from credit_service.notifications.rules import Channel, DeliveryState
from credit_service.platform.settings import Settings

CARRIER_SECONDS = 20.0
"""How long a carrier may take to answer, each time it is spoken to."""


@dataclass(frozen=True, slots=True)
class Message:
    """What leaves the registry: the announcement of a notification, with its case's reference and nothing else of it.

    ``message_id`` stays the same in every attempt, so that a receiver knows a repeat.
    """

    message_id: str
    contact_id: UUID
    address: str
    subject: str
    text: str
    language: str
    template: str
    notification_id: UUID
    case_type: str
    case_id: UUID
    case_reference: str
    owed_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """A carrier's answer. ``permanent``: the same message to the same address will never be taken."""

    state: DeliveryState
    detail: str
    permanent: bool = False


def failed(detail: str, *, permanent: bool = False) -> Outcome:
    return Outcome(DeliveryState.FAILED, detail, permanent)


class Carrier(Protocol):
    """One channel. ``send`` gives an outcome for whatever the carrier does; it raises only for mistakes of our own."""

    async def send(self, message: Message, now: datetime) -> Outcome: ...


Carriers = Mapping[Channel, Carrier]


def configured(settings: Settings) -> frozenset[Channel]:
    """The channels this installation reaches recipients over. A missing setting leaves its channel out."""
    given = {
        Channel.EMAIL: settings.smtp_host,
        Channel.WEBHOOK: settings.webhook_key,
        Channel.SMS: settings.sms_gateway_url,
    }
    return frozenset({Channel.INBOX} | {channel for channel, setting in given.items() if setting is not None})


def carriers(settings: Settings) -> Carriers:
    """A carrier for each configured channel but the inbox, which needs none."""
    from credit_service.notifications.channels.sms import SmsGateway
    from credit_service.notifications.channels.smtp import Smtp
    from credit_service.notifications.channels.webhook import Webhook

    found: dict[Channel, Carrier] = {}
    if settings.smtp_host is not None:
        found[Channel.EMAIL] = Smtp(settings)
    if settings.webhook_key is not None:
        found[Channel.WEBHOOK] = Webhook(
            settings.webhook_key.get_secret_value(), admit_loopback=settings.webhook_loopback
        )
    if settings.sms_gateway_url is not None:
        found[Channel.SMS] = SmsGateway(settings)
    return found
