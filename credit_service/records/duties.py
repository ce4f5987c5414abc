"""What the law binds an agency to do about a record, and by when (regulations 6.1, 3.2; 行政处罚法 art. 48).

To publish after the decision is computed at every read from the catalogue: each destination has its own time-limit and
both stand side by side. To withdraw after an annulment is kept as a time-limit, met by the call that withdraws.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.catalogue.models import Catalogue, Item
from credit_service.catalogue.rule_models import DeadlineRule
from credit_service.catalogue.rules import rule_for
from credit_service.deadlines import calendars
from credit_service.deadlines import commands as deadlines
from credit_service.deadlines.models import Stage
from credit_service.deadlines.rules import jurisdiction_of, terms_of
from credit_service.identity.uscc import Uscc
from credit_service.platform.calendar import WorkingCalendar
from credit_service.platform.context import Actor
from credit_service.platform.days import day_of, start_of
from credit_service.records import store
from credit_service.records.models import Record, State

CASE_TYPE = "record"
HERE = "credit-china"
"""The destination that this registry is itself; what others have published is not known here."""
SUBMIT, PUBLISH, WITHDRAW = "submit", "publish", "withdraw"
LOCAL_WITHDRAWAL = "annulled-removal"
_NOT_SHOWN = frozenset({State.WITHHELD, State.ANNULLED, State.WITHDRAWN})


class Standing(StrEnum):
    """Where a duty stands."""

    MET = "met"  # 按时履行
    LATE = "late"  # 逾期履行
    OPEN = "open"  # 未到期
    OVERDUE = "overdue"  # 逾期未履行
    NOT_OWED = "not-owed"  # 依法不公示
    NOT_KNOWN = "not-known"  # 在其他系统公示, 本系统不掌握


@dataclass(frozen=True, slots=True)
class Duty:
    """One duty: ``due_on`` is its last day, ``done_on`` the day it was done here, ``status`` how sure the rule is."""

    duty: str
    destination: str
    rule_version: str
    legal_basis: tuple[str, ...]
    status: str
    due_on: date
    provisional: bool
    done_on: date | None
    standing: Standing


def duty_rules(catalogue: Catalogue, item: Item, duty: str, on: date) -> Iterator[DeadlineRule]:
    """The deadline rules of an item's duty that are in force on a day."""
    for name in item.duties.get(duty, ()):
        rule = rule_for(catalogue, "deadline", name, on, on)
        if rule is not None and rule.in_force(on):
            yield rule


def publication_duties(
    catalogue: Catalogue,
    calendar: WorkingCalendar,
    item: Item,
    decided_on: date,
    *,
    recorded_on: date,
    published_on: date | None,
    owed: bool,
    today: date,
) -> list[Duty]:
    """To submit and to publish, each destination by its own rule (conflicts of the sources are both kept).

    Nothing sets a limit to the submission itself; whoever must be published here in time must be submitted by then, so
    its status is an inference. ``owed``: the record is to be published.
    """
    found = []
    for rule in duty_rules(catalogue, item, PUBLISH, decided_on):
        if rule.destination == HERE:
            found.append(_duty(calendar, SUBMIT, rule, decided_on, recorded_on, today, owed=True))
            found.append(_duty(calendar, PUBLISH, rule, decided_on, published_on, today, owed=owed))
        else:
            found.append(_duty(calendar, PUBLISH, rule, decided_on, None, today, owed=owed))
    return found


def _duty(
    calendar: WorkingCalendar,
    duty: str,
    rule: DeadlineRule,
    decided_on: date,
    done_on: date | None,
    today: date,
    *,
    owed: bool,
) -> Duty:
    last = calendar.last_day(decided_on, rule.amount, rule.unit)
    if done_on is not None:
        standing = Standing.MET if done_on <= last.day else Standing.LATE
    elif not owed:
        standing = Standing.NOT_OWED
    elif rule.destination != HERE:
        standing = Standing.NOT_KNOWN
    else:
        standing = Standing.OPEN if today <= last.day else Standing.OVERDUE
    return Duty(
        duty=duty,
        destination="registry" if duty == SUBMIT else rule.destination or "",
        rule_version=rule.version,
        legal_basis=tuple(f"{basis.document} {basis.article or ''}".strip() for basis in rule.legal_basis),
        status="inference" if duty == SUBMIT else rule.status,
        due_on=last.day,
        provisional=last.provisional,
        done_on=done_on,
        standing=standing,
    )


async def duties_of(session: AsyncSession, catalogue: Catalogue, now: datetime, record: Record) -> list[Duty]:
    """The duties about a record as it stands now."""
    item = catalogue.latest(record.item_code)
    if not item.duties:
        return []
    published_at = await store.first_published_at(session, record)
    return publication_duties(
        catalogue,
        await calendars.load_calendar(session),
        item,
        record.decided_on,
        recorded_on=day_of(record.recorded_at),
        published_on=day_of(published_at) if published_at is not None else None,
        owed=record.state not in _NOT_SHOWN,
        today=day_of(now),
    )


def withdrawal_rules(catalogue: Catalogue, record: Record, on: date) -> dict[str, DeadlineRule]:
    """By stage: the rules that bind to withdraw a record, the national ones and the jurisdiction's own."""
    item = catalogue.latest(record.item_code)
    found = {rule.name: rule for rule in duty_rules(catalogue, item, WITHDRAW, on)}
    division = Uscc.parse(record.authority_uscc, admit_bad_check_digit=True).division
    profile = rule_for(catalogue, "objection", jurisdiction_of(division), on, on)
    name = profile.deadlines.get(LOCAL_WITHDRAWAL) if profile is not None and profile.in_force(on) else None
    local = rule_for(catalogue, "deadline", name, on, on)
    if local is not None and local.in_force(on):
        found[local.name] = local
    return found


async def record_withdrawal(
    session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, record: Record, decided_on: date
) -> None:
    """Keep that the record was withdrawn ``now`` after a decision annulled or changed what it says, in time or late."""
    calendar = await calendars.load_calendar(session)
    for stage_name, rule in withdrawal_rules(catalogue, record, decided_on).items():
        stage = Stage(record.uscc, CASE_TYPE, record.id, stage_name)
        await deadlines.start(
            session,
            calendar,
            actor,
            now,
            stage,
            terms_of(rule),
            agency=record.source_uscc,
            reference=record.document_number,
            since=start_of(decided_on),
        )
        await deadlines.meet(session, actor, now, stage)
