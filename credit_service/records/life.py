"""What happens to a stored record: proof of notice, repair, annulment, withdrawal, removal, shielding, archiving.

Every move is a version of its own with its reason and its author, is in the audit events, and reaches every surface in
its transaction; whoever holds a copy is owed the news with it. Nothing is ever silently deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts import commands as accounts
from credit_service.accounts.rules import Principal, audience_of, may_submit
from credit_service.audit import events
from credit_service.catalogue.models import Catalogue
from credit_service.catalogue.rules import add_period, item_in_force
from credit_service.entities import commands as entities
from credit_service.identity.document_number import normalised
from credit_service.identity.uscc import Uscc
from credit_service.platform.context import Actor
from credit_service.platform.days import day_of, start_of
from credit_service.platform.errors import (
    NOT_FOUND,
    PRECONDITION_FAILED,
    PRECONDITION_REQUIRED,
    FieldError,
    Problem,
)
from credit_service.records import commands, links, rules, store
from credit_service.records.commands import append_version
from credit_service.records.models import Record, State
from credit_service.records.rules import RECORD_CLOSED, RECORD_REFUSED, Draft
from credit_service.records.standing import Action, check_transition

NOTICE_SERVED = "record.notice-served"
ERASED = "record.erased"
REMOVAL_PROPOSED = "record.removal-proposed"


def version_tag(record: Record) -> str:
    """The ETag by which a change of the record is asked for."""
    return f'"v{record.version}"'


async def for_change(session: AsyncSession, actor: Actor, record_id: UUID, if_match: str | None) -> Record:
    """The record, held against other changes, if the actor's agency may change it and has seen its newest version.

    An agency may change what it submitted and what it decided. Others' records do not exist for it (404). Raises
    ``NOT_FOUND``, ``PRECONDITION_REQUIRED`` and ``PRECONDITION_FAILED``.
    """
    may_change = await _changer(session, actor)
    record = await store.by_id(session, record_id)
    if record is None or not may_change(record):
        raise Problem(NOT_FOUND)
    await store.hold(session, record)
    if if_match is None:
        raise Problem(PRECONDITION_REQUIRED, errors=[FieldError("header:If-Match", "required for an update")])
    if if_match.strip() not in ("*", version_tag(record)):
        raise Problem(PRECONDITION_FAILED, extra={"current": version_tag(record), "state": record.state})
    return record


async def _changer(session: AsyncSession, actor: Actor) -> Callable[[Record], bool]:
    """Which records the actor's agency may change. All that must be known of it is asked before a record is looked
    for: another's takes no longer than one that never was."""
    agency = await accounts.load_agency(session, actor.agency_uscc or "")
    line = await accounts.answers_for(session, actor.agency_uscc or "")

    def may_change(record: Record) -> bool:
        if agency is None:
            return False
        if agency.uscc in (record.source_uscc, record.authority_uscc):
            return True
        division = Uscc.parse(record.authority_uscc, admit_bad_check_digit=True).division
        return record.source_uscc in line and may_submit(agency.grants, record.item_code, division)

    return may_change


async def move(
    session: AsyncSession,
    catalogue: Catalogue,
    actor: Actor,
    now: datetime,
    record: Record,
    action: Action,
    *,
    reason: str,
    basis: Mapping[str, Any] | None = None,
    render: bool = True,
) -> Record:
    """Make one transition of ``standing.TRANSITIONS`` and render the profile, unless the caller will.

    ``basis`` names the documents it rests on: a ruling, an annulling decision, a consent. A record that returns to
    what its rule says is judged anew, with its first publication as before. Raises ``ILLEGAL_TRANSITION``, and
    ``RECORD_REFUSED`` when another record of the entity now rules it out.
    """
    transition = check_transition(action, record.state)
    if transition.to is None:
        draft = draft_of(catalogue, record)
        await commands.check_excluded(session, catalogue, now, draft)
        assessment = rules.assess(catalogue, draft, first_published_at=record.publicity_from or now)
        record.state = assessment.state
    else:
        record.state = transition.to
    began = record.publicity_from or record.recorded_at
    record.state_from = min(began, record.recorded_at) if transition.retroactive else now
    record.state_reason = reason
    record.state_basis = dict(basis) if basis is not None else None
    await _append(session, actor, now, record, f"record.{action.value}", reason, catalogue)
    await commands.end_excluded(session, catalogue, actor, now, record)
    if render:
        await entities.rewrite_profile(session, record.uscc, now)
    return record


async def end(
    session: AsyncSession,
    catalogue: Catalogue,
    actor: Actor,
    now: datetime,
    record: Record,
    action: Action,
    *,
    reason: str,
    basis: Mapping[str, Any] | None = None,
) -> bool:
    """End a record by the agency's own act: removal, withdrawal, annulment on its own review; gives whether it ended.

    A serious listing takes two officers (four eyes): the first call proposes, the same by another officer ends it.
    Raises ``CONFLICT_OF_INTEREST`` when the proposer confirms, and what ``move`` raises.
    """
    if rules.needs_four_eyes(catalogue.latest(record.item_code).list_colour, record.severity):
        check_transition(action, record.state)
        proposal = {"action": action.value, "basis": dict(basis) if basis is not None else None}
        if (record.state_basis or {}).get("proposed") != proposal:
            record.state_basis = {**(record.state_basis or {}), "proposed": proposal}
            await _keep(session, actor, now, record, REMOVAL_PROPOSED, reason, catalogue)
            return False
        proposers = await store.authors(session, record, {REMOVAL_PROPOSED})
        if proposers[-1] == actor.id:
            raise Problem(rules.CONFLICT_OF_INTEREST, errors=[FieldError("", "four eyes: another officer confirms")])
    await move(session, catalogue, actor, now, record, action, reason=reason, basis=basis)
    return True


async def _keep(
    session: AsyncSession,
    actor: Actor,
    now: datetime,
    record: Record,
    change: str,
    reason: str,
    catalogue: Catalogue | None = None,
) -> None:
    await _append(session, actor, now, record, change, reason, catalogue)
    await entities.rewrite_profile(session, record.uscc, now)


async def _append(
    session: AsyncSession,
    actor: Actor,
    now: datetime,
    record: Record,
    change: str,
    reason: str,
    catalogue: Catalogue | None,
) -> None:
    content = await store.content_of(session, record)
    record.version += 1
    record.changed_at = now
    await append_version(session, actor, now, record, content, change, reason, catalogue)
    await links.follow(session, record, now, _keeper(session, actor, now))
    await entities.rewrite_profile(session, record.uscc, now)


def _keeper(session: AsyncSession, actor: Actor, now: datetime) -> links.Keep:
    """Writes what lies behind a changed record, by the same author in the same transaction."""

    async def keep(record: Record, change: str, reason: str) -> None:
        await _keep(session, actor, now, record, change, reason)

    return keep


async def bind(session: AsyncSession, actor: Actor, now: datetime, record: Record, caused: Record) -> None:
    """Let an inspection result stop together with the penalty or listing that followed from it (Order 107).

    The caller holds the entity. Raises ``RECORD_REFUSED`` unless both are open records of one entity.
    """
    if record.uscc != caused.uscc or caused.id == record.id:
        raise Problem(RECORD_REFUSED, errors=[FieldError("/record_id", "another record of the same entity")])
    if caused.state not in rules.OPEN_STATES or record.state not in rules.OPEN_STATES:
        raise Problem(RECORD_CLOSED, extra={"state": caused.state})
    await links.link(session, record, caused, now, _keeper(session, actor, now))


async def serve_notices(
    session: AsyncSession,
    catalogue: Catalogue,
    actor: Actor,
    now: datetime,
    record: Record,
    notices: list[dict[str, Any]],
) -> Record:
    """Add proof of notice; with the last one the law asks for, publicity begins (两书同达).

    Raises ``RECORD_REFUSED`` for dates that cannot be and ``RECORD_CLOSED`` when the record no longer stands.
    """
    if record.state not in rules.OPEN_STATES:
        raise Problem(RECORD_CLOSED, extra={"state": record.state})
    errors = rules.check_notices(notices, record.decided_on, day_of(now))
    if errors:
        raise Problem(RECORD_REFUSED, errors=errors)
    replaced = {notice["kind"] for notice in notices}
    record.notices = [notice for notice in record.notices if notice["kind"] not in replaced] + notices
    if record.state == State.AWAITING_NOTICE:
        assessment = rules.assess(catalogue, draft_of(catalogue, record), first_published_at=now)
        if assessment.state != State.AWAITING_NOTICE:
            record.state_from = now
        for name in assessment.__dataclass_fields__:
            setattr(record, name, getattr(assessment, name))
        record.explanation = list(assessment.explanation)
    await _keep(session, actor, now, record, NOTICE_SERVED, "、".join(sorted(replaced)))
    return record


def draft_of(catalogue: Catalogue, record: Record) -> Draft:
    """A stored record as the draft its rules judge."""
    names = [name for name in Draft._fields if name not in ("item", "notices")]
    return Draft(
        item=item_in_force(catalogue, record.item_code, record.decided_on),
        notices=tuple(record.notices),
        **{name: getattr(record, name) for name in names},
    )


async def correct(
    session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, record: Record, draft: Draft, reason: str
) -> Record:
    """Correct what a record says, with the reason. Its natural key stays: a wrong subject is annulled, not corrected.

    Raises ``RECORD_REFUSED`` when the key differs and ``RECORD_CLOSED`` when the record no longer stands.
    """
    numbers = (record.document_number, normalised(record.document_number))
    if draft.natural_key not in [(record.uscc, record.item_code, each, record.authority_uscc) for each in numbers]:
        raise Problem(RECORD_REFUSED, errors=[FieldError("/record", "a correction keeps the natural key")])
    if record.state not in rules.OPEN_STATES:
        raise Problem(RECORD_CLOSED, extra={"state": record.state})
    await commands.store_draft(session, catalogue, actor, now, draft, record, reason)
    await entities.rewrite_profile(session, record.uscc, now)
    return record


async def archive_due(
    session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, limit: int, *, render: bool = True
) -> int:
    """Archive records whose disclosure limit has passed; gives how many. They had stopped being shown at that instant.

    Several workers may do this at once: each takes rows no other holds.
    """
    due = await store.due_for_archive(session, now, limit)
    for record in due:
        reason = "披露期限届满 disclosure limit"
        await move(session, catalogue, actor, now, record, Action.ARCHIVE, reason=reason, render=render)
    return len(due)


async def erase(session: AsyncSession, actor: Actor, now: datetime, record: Record, reason: str) -> int:
    """Forget an archived record: its content and salts go, commitments and audit events stay and stay provable.

    With it goes what was said about it: its proceeding, and the applications, findings, notices and files of its cases.
    Gives the number of versions emptied. Raises ``RECORD_REFUSED`` unless it is archived, past its limit and no case
    about it is open.
    """
    if record.state != State.ARCHIVED or record.disclosure_until is None or record.disclosure_until > now:
        raise Problem(RECORD_REFUSED, errors=[FieldError("/state", "archived, with its disclosure limit passed")])
    await session.flush()
    if await store.is_under_consideration(session, record):
        raise Problem(RECORD_REFUSED, errors=[FieldError("/state", "no open repair or objection: decide it first")])
    emptied = await store.erase(session, record, now)
    event = events.new_event(
        actor,
        now,
        ERASED,
        uscc=record.uscc,
        subject_type=commands.SUBJECT_TYPE,
        subject_id=str(record.id),
        version=record.version,
        before=await store.commitment_of(session, record, record.version),
        reason=reason,
    )
    events.append(session, [event])
    await session.refresh(record)
    await entities.rewrite_profile(session, record.uscc, now)
    return emptied


async def held(session: AsyncSession, record_id: UUID) -> Record:
    """A record that a workflow is about, held against other changes. Raises ``NOT_FOUND``."""
    record = await store.by_id_locked(session, record_id)
    if record is None:
        raise Problem(NOT_FOUND)
    return record


async def shown(session: AsyncSession, principal: Principal, record: Record, now: datetime) -> bool:
    """Whether a caller is shown a record at all, or its agency, or one it succeeded, submitted or decided it."""
    if rules.may_see(record, audience_of(principal, record.uscc), now):
        return True
    own = await accounts.answers_for(session, principal.agency_uscc) if principal.agency_uscc is not None else ()
    return record.source_uscc in own or record.authority_uscc in own


async def read(session: AsyncSession, principal: Principal, record_id: UUID, now: datetime) -> Record:
    """A record that a workflow asks about for a caller. Raises ``NOT_FOUND``."""
    record = await store.by_id(session, record_id)
    if record is None or not await shown(session, principal, record, now):
        raise Problem(NOT_FOUND)
    return record


def is_public(record: Record, now: datetime) -> bool:
    """Whether everybody is shown the record now."""
    return rules.is_visible(record.state, record.publicity_from, record.publicity_until, now)


async def led_to(session: AsyncSession, record: Record) -> Sequence[Record]:
    """Records that say that this record's decision arose from them and stand: they stop with it (Order 107)."""
    return await store.led_to(session, record)


async def heavier_since(session: AsyncSession, record: Record) -> bool:
    """Whether a serious decision on the same entity came after the record's (Order 44 art. 16: no further one)."""
    return await store.heavier_since(session, record)


async def recorders(session: AsyncSession, record: Record) -> frozenset[str]:
    """The principals who entered what the record says: they do not decide on its repair or an objection to it."""
    entered = {commands.STORED, commands.CORRECTED, NOTICE_SERVED}
    return frozenset(await store.authors(session, record, entered))


async def dispute(
    session: AsyncSession, actor: Actor, now: datetime, record: Record, *, since: datetime | None, reason: str
) -> None:
    """Flag the record as objected to on every surface, or lift the flag (国办发〔2025〕22号 八; 上海 art. 36)."""
    record.disputed_since = since
    await _keep(session, actor, now, record, "record.disputed" if since else "record.undisputed", reason)


async def restore_after_fraud(
    session: AsyncSession,
    catalogue: Catalogue,
    actor: Actor,
    now: datetime,
    record: Record,
    *,
    publicity: str | None,
    reason: str,
) -> Record:
    """Publish a record again whose repair was obtained by fraud, for a fresh term from now.

    Order 36; Order 44 art. 20.

    ``publicity`` is the ISO 8601 term of the rule; without one the record's own window is counted anew from today, and
    what its own rule does not publish stays unpublished.
    """
    check_transition(Action.REVOKE_REPAIR, record.state)
    assessment = rules.assess(
        catalogue, draft_of(catalogue, record)._replace(decided_on=day_of(now)), first_published_at=now
    )
    stop = start_of(add_period(day_of(now), publicity)) if publicity else assessment.publicity_until
    shown = publicity is not None or assessment.state == State.PUBLISHED
    record.state, record.publicity_from = (State.PUBLISHED, now) if shown else (State.WITHHELD, None)
    record.state_from, record.state_reason, record.state_basis = now, reason, None
    record.publicity_until = stop
    record.publicity_earliest_stop = record.publicity_latest_stop = day_of(stop) if stop else None
    record.repair_eligible_from = None
    if record.disclosure_until is not None and stop is not None:
        record.disclosure_until = max(record.disclosure_until, stop)
    await _keep(session, actor, now, record, f"record.{Action.REVOKE_REPAIR.value}", reason, catalogue)
    return record
