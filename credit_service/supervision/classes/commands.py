"""Use cases on rule sets: propose, activate with a second pair of eyes, try out; and what an authority opens."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col
from uuid_utils.compat import uuid7

from credit_service.accounts import commands as accounts
from credit_service.audit import events
from credit_service.audit.models import SYSTEM_SUBJECT
from credit_service.catalogue.models import Catalogue
from credit_service.identity import divisions
from credit_service.platform.context import Actor
from credit_service.platform.database import driver_connection
from credit_service.platform.errors import (
    CONFLICT,
    INVALID_REQUEST,
    NOT_FOUND,
    PRECONDITION_FAILED,
    PRECONDITION_REQUIRED,
    FieldError,
    Problem,
)
from credit_service.platform.times import PointInTime
from credit_service.supervision.classes import documents, recompute, runs, store
from credit_service.supervision.classes.models import ClassRun, RuleSetRow, SupervisionSetting
from credit_service.supervision.classes.rules import (
    FOUR_EYES,
    NO_RULE_SET,
    OUTSIDE_JURISDICTION,
    RULE_SET_CLOSED,
    RULE_SET_NEEDED,
    RULE_SET_NOT_IN_FORCE,
    chosen,
)

DRAFT, ACTIVE, RETIRED = "draft", "active", "retired"


def tag_of(version: int) -> str:
    """The ETag by which a change is asked for."""
    return f'"v{version}"'


def check_version(version: int, if_match: str | None) -> None:
    """Raises ``PRECONDITION_REQUIRED`` and ``PRECONDITION_FAILED``."""
    if if_match is None:
        raise Problem(PRECONDITION_REQUIRED, errors=[FieldError("header:If-Match", "required for an update")])
    if if_match.strip() not in ("*", tag_of(version)):
        raise Problem(PRECONDITION_FAILED, extra={"current": tag_of(version)})


async def propose(
    session: AsyncSession,
    catalogue: Catalogue,
    actor: Actor,
    now: datetime,
    document: Mapping[str, Any],
    division: str | None = None,
) -> RuleSetRow:
    """Keep a rule set as a draft, for the entities of a division prefix or (None) all that the agency answers for.

    Raises ``RULE_SET_REFUSED``, ``OUTSIDE_JURISDICTION``, and ``CONFLICT``: the agency used name and version before.
    """
    rule_set = documents.build(document, catalogue)
    jurisdiction = await jurisdiction_of(session, actor)
    scope = jurisdiction if division is None else _within(divisions.significant(division), jurisdiction)
    agency_uscc = actor.agency_uscc or SYSTEM_SUBJECT
    if await store.edition(session, agency_uscc, rule_set.name, rule_set.version) is not None:
        raise Problem(CONFLICT, errors=[FieldError("/document/version", "not used yet for this name")])
    row = RuleSetRow(
        id=uuid7(),
        name=rule_set.name,
        edition=rule_set.version,
        document=dict(document),
        digest=documents.digest(document),
        agency_uscc=agency_uscc,
        division=scope,
        state=DRAFT,
        proposed_by=actor.id,
        proposed_at=now,
    )
    session.add(row)
    _note(session, actor, now, row, "rule-set.proposed")
    return row


async def jurisdiction_of(session: AsyncSession, actor: Actor) -> str:
    """The prefix of the divisions an authority answers for: the whole registry where nobody is above it."""
    if actor.agency_uscc is None:
        return ""
    agency = await accounts.read_agency(session, actor.agency_uscc)
    highest = agency.level == "national" or agency.parent_uscc is None
    return "" if highest else divisions.significant(agency.division)


def _within(division: str, jurisdiction: str) -> str:
    if not division.startswith(jurisdiction):
        raise Problem(OUTSIDE_JURISDICTION, errors=[FieldError("/division", f"within {jurisdiction}")])
    return division


def _note(session: AsyncSession, actor: Actor, now: datetime, row: RuleSetRow, action: str) -> None:
    event = events.new_event(
        actor,
        now,
        action,
        uscc=row.agency_uscc,
        subject_type="rule-set",
        subject_id=str(row.id),
        version=row.version,
        after=bytes.fromhex(row.digest),
        reason=f"适用行政区划 {row.division or '全部'}",
    )
    events.append(session, [event])


async def activate(
    session: AsyncSession, actor: Actor, now: datetime, rule_set_id: UUID, if_match: str | None
) -> tuple[RuleSetRow, ClassRun]:
    """Put a draft in force for its division and begin to compute the classes there by it.

    A second person of the agency that proposed it does so. One for the whole registry comes first, so that everyone has
    a class. Raises ``NOT_FOUND``, ``FOUR_EYES``, ``RULE_SET_CLOSED``, ``NO_RULE_SET``, ``OUTSIDE_JURISDICTION``,
    ``PRECONDITION_REQUIRED`` and ``PRECONDITION_FAILED``.
    """
    await recompute.take_alone(await driver_connection(session))
    row = await _own(session, actor, rule_set_id, if_match)
    if row.state != DRAFT:
        raise Problem(RULE_SET_CLOSED, extra={"state": row.state})
    if row.proposed_by == actor.id:
        raise Problem(FOUR_EYES, errors=[FieldError("", "approver differs from proposer")])
    _within(row.division, await jurisdiction_of(session, actor))
    if row.division and "" not in await store.in_force(session):
        raise Problem(NO_RULE_SET, errors=[FieldError("/division", "one for the whole registry first")])
    retire = update(RuleSetRow).where(col(RuleSetRow.state) == ACTIVE, col(RuleSetRow.division) == row.division)
    await session.execute(retire.values(state=RETIRED, version=RuleSetRow.version + 1))
    row.state, row.approved_by, row.activated_at, row.version = ACTIVE, actor.id, now, row.version + 1
    await session.flush()
    _note(session, actor, now, row, "rule-set.activated")
    return row, await runs.start(session, actor, now, runs.FULL, row, division=row.division)


async def _own(session: AsyncSession, actor: Actor, rule_set_id: UUID, if_match: str | None) -> RuleSetRow:
    """A rule set of the actor's agency, held, in the version that the caller has seen."""
    row = await store.rule_set(session, rule_set_id, lock=True)
    if row is None or row.agency_uscc != (actor.agency_uscc or SYSTEM_SUBJECT):
        raise Problem(NOT_FOUND)
    check_version(row.version, if_match)
    return row


async def propose_retirement(
    session: AsyncSession, actor: Actor, now: datetime, rule_set_id: UUID, if_match: str | None
) -> RuleSetRow:
    """Ask that the wider rules judge a division again, without another rule set in the place of its own.

    Raises ``NOT_FOUND``, ``RULE_SET_NOT_IN_FORCE``, ``RULE_SET_NEEDED`` (it is the whole registry's),
    ``PRECONDITION_REQUIRED`` and ``PRECONDITION_FAILED``.
    """
    row = await _own(session, actor, rule_set_id, if_match)
    if row.state != ACTIVE:
        raise Problem(RULE_SET_NOT_IN_FORCE, extra={"state": row.state})
    if not row.division:
        raise Problem(RULE_SET_NEEDED)
    row.retirement_proposed_by, row.retirement_proposed_at, row.version = actor.id, now, row.version + 1
    _note(session, actor, now, row, "rule-set.retirement-proposed")
    return row


async def retire(
    session: AsyncSession, actor: Actor, now: datetime, rule_set_id: UUID, if_match: str | None
) -> tuple[RuleSetRow, ClassRun]:
    """Take a division's rule set out of force, as somebody else proposed, and begin to compute the classes anew there.

    Raises ``NOT_FOUND``, ``FOUR_EYES``, ``RULE_SET_NOT_IN_FORCE``, ``PRECONDITION_REQUIRED``, ``PRECONDITION_FAILED``.
    """
    await recompute.take_alone(await driver_connection(session))
    row = await _own(session, actor, rule_set_id, if_match)
    if row.state != ACTIVE or row.retirement_proposed_by is None:
        raise Problem(RULE_SET_NOT_IN_FORCE, extra={"state": row.state})
    if row.retirement_proposed_by == actor.id:
        raise Problem(FOUR_EYES, errors=[FieldError("", "approver differs from proposer")])
    row.state, row.retired_by, row.version = RETIRED, actor.id, row.version + 1
    await session.flush()
    _note(session, actor, now, row, "rule-set.retired")
    in_force = await store.in_force(session)
    wider = in_force[chosen(row.division, in_force) or ""]
    return row, await runs.start(session, actor, now, runs.FULL, wider, division=row.division)


async def try_out(
    session: AsyncSession,
    actor: Actor,
    now: datetime,
    rule_set_id: UUID,
    division: str,
    point: PointInTime | None,
) -> ClassRun:
    """Begin to find out what a rule set would change where it is for, now or at a time past.

    One that is in force is tried where another is: what would change if that were retired.

    Raises ``NOT_FOUND``, and ``INVALID_REQUEST``: the rule set is for another division.
    """
    row = await store.rule_set(session, rule_set_id)
    if row is None:
        raise Problem(NOT_FOUND)
    if not (division.startswith(row.division) or row.division.startswith(division)):
        raise Problem(INVALID_REQUEST, errors=[FieldError("/division", f"within {row.division}")])
    scope = max(division, row.division, key=len)
    return await runs.start(session, actor, now, runs.WHAT_IF, row, division=scope, point=point)


async def open_classes(
    session: AsyncSession, actor: Actor, now: datetime, *, to_subjects: bool, if_match: str | None
) -> SupervisionSetting:
    """Decide whether the entities of the agency's division may ask for their own class (an update needs If-Match)."""
    agency = await accounts.read_agency(session, actor.agency_uscc or "")
    setting = await store.setting(session, agency.uscc, lock=True)
    if setting is None:
        division = "" if agency.level == "national" else divisions.significant(agency.division)
        setting = SupervisionSetting(agency_uscc=agency.uscc, division=division, version=0, changed_at=now)
        session.add(setting)
    else:
        check_version(setting.version, if_match)
    setting.open_to_subjects, setting.changed_at, setting.version = to_subjects, now, setting.version + 1
    event = events.new_event(
        actor,
        now,
        "supervision-setting.opened" if to_subjects else "supervision-setting.closed",
        uscc=agency.uscc,
        subject_type="supervision-setting",
        subject_id=agency.uscc,
        version=setting.version,
    )
    events.append(session, [event])
    return setting
