"""Use cases on records. Each runs in the caller's transaction: load, judge by the rules, store, audit, render."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from credit_service.accounts import commands as accounts
from credit_service.accounts.rules import may_submit
from credit_service.audit import events
from credit_service.catalogue.facts import checker_of
from credit_service.catalogue.models import Catalogue
from credit_service.catalogue.rules import item_in_force
from credit_service.entities import commands as entities
from credit_service.entities.models import Entity
from credit_service.entities.rules import is_known_as
from credit_service.identity.uscc import Uscc
from credit_service.platform.context import Actor
from credit_service.platform.days import day_of
from credit_service.platform.errors import FieldError, Problem
from credit_service.records import rules, store
from credit_service.records.models import Outcome, Record, RecordReceipt, RecordSubmission, RecordVersion, State
from credit_service.records.rules import AGENCY_NOT_GRANTED, RECORD_CLOSED, RECORD_REFUSED, Assessment, Draft

SUBJECT_TYPE = "record"
STORED = "record.stored"
CORRECTED = "record.corrected"


async def draft_of(
    session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, body: RecordSubmission
) -> Draft:
    """Check a submission against the catalogue, the agency's grants and the item's fields.

    Raises ``USCC_INVALID``, ``NATURAL_PERSON_IDENTIFIER``, ``CATALOGUE_ITEM_UNKNOWN``, ``CATALOGUE_ITEM_NOT_IN_FORCE``,
    ``AGENCY_NOT_GRANTED`` and ``RECORD_REFUSED`` (each field with its rule).
    """
    item = item_in_force(catalogue, body.item_code, body.decided_on)
    authority = Uscc.parse(body.authority_uscc, pointer="/authority_uscc")
    agency = await accounts.load_agency(session, actor.agency_uscc or "")
    if agency is None or not may_submit(agency.grants, item.code, authority.division):
        raise Problem(AGENCY_NOT_GRANTED, errors=[FieldError("/item_code", "agency-grant")])
    facts = checker_of(item)(body.facts)
    errors = [*rules.check_dates(body.decided_on, body.valid_until, day_of(now)), *facts.errors]
    if errors:
        raise Problem(RECORD_REFUSED, errors=errors)
    return Draft(
        item=item,
        uscc=(await _subject(session, body.uscc)).value,
        entity_name=body.entity_name,
        document_number=body.document_number,
        decided_on=body.decided_on,
        valid_until=body.valid_until,
        authority_uscc=authority.value,
        authority_name=body.authority_name,
        source_uscc=agency.uscc,
        source_name=agency.name,
        legal_basis=body.legal_basis,
        public_facts=facts.public,
        shared_facts=facts.shared,
        restricted_facts=facts.restricted,
    )


async def _subject(session: AsyncSession, text: str) -> Uscc:
    """The subject's code; one issued with a wrong check digit passes only where a registrar has admitted it."""
    try:
        return Uscc.parse(text)
    except Problem:
        candidate = Uscc.parse(text, admit_bad_check_digit=True)
        if not await entities.is_admitted(session, candidate.value):
            raise
        return candidate


async def submit(
    session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, body: RecordSubmission
) -> RecordReceipt:
    """Store a record, recognise an unchanged one, or correct the stored one (natural key of four).

    Raises what ``draft_of`` raises, and ``RECORD_CLOSED`` when the record was repaired, annulled or withdrawn.
    """
    draft = await draft_of(session, catalogue, actor, now, body)
    code = Uscc.parse(draft.uscc, admit_bad_check_digit=True)
    entity = await entities.ensure_entity(session, actor, now, code, draft.entity_name)
    warnings = await _warnings(session, entity, draft)
    current = await store.by_natural_key(session, draft.natural_key)
    if current is not None and current.content_digest == rules.content_digest(rules.content_of(draft)):
        return _receipt(Outcome.UNCHANGED, current, warnings)
    if current is not None and current.state not in rules.OPEN_STATES:
        raise Problem(RECORD_CLOSED, extra={"state": current.state})
    record = await _store(session, catalogue, actor, now, draft, current)
    await entities.rewrite_profile(session, record.uscc, now)
    return _receipt(Outcome.CORRECTED if current is not None else Outcome.STORED, record, warnings)


async def correct(
    session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, draft: Draft, record_id: UUID
) -> None:
    """Correct an open record as an import found it; the caller holds the entity's lock and renders its profile."""
    current = await store.by_id(session, record_id)
    await _store(session, catalogue, actor, now, draft, current)
    await session.flush()


async def _store(
    session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, draft: Draft, current: Record | None
) -> Record:
    """Judge a draft and write it with its version and audit event: a new record, or a correction of ``current``."""
    content = rules.content_of(draft)
    assessment = rules.assess(
        catalogue,
        draft.item,
        {**draft.restricted_facts, **draft.shared_facts, **draft.public_facts},
        decided_on=draft.decided_on,
        valid_until=draft.valid_until,
        first_published_at=_first_published(current, now),
    )
    record = _write(session, current, draft, assessment, rules.content_digest(content), now)
    await _record_version(session, actor, now, record, content, corrected=current is not None)
    return record


async def change_state(
    session: AsyncSession, actor: Actor, now: datetime, record: Record, state: State, reason: str
) -> None:
    """Move a record to another state with the reason, as a version of its own; the caller renders the profile."""
    versions = await store.versions(session, record)
    content = versions[-1].content.encode()
    record.state = state.value
    record.version += 1
    record.changed_at = now
    _append_version(session, actor, now, record, content, versions[-1].commitment, f"record.{state.value}", reason)


def _first_published(current: Record | None, now: datetime) -> datetime:
    """A correction never restarts the publicity clock: it goes on from the first publication."""
    if current is None:
        return now
    return current.publicity_from or current.recorded_at


def _write(
    session: AsyncSession, current: Record | None, draft: Draft, assessment: Assessment, digest: bytes, now: datetime
) -> Record:
    values: dict[str, Any] = {name: getattr(draft, name) for name in Draft.__dataclass_fields__ if name != "item"} | {
        name: getattr(assessment, name) for name in Assessment.__dataclass_fields__
    }
    values |= {"explanation": list(assessment.explanation), "content_digest": digest, "changed_at": now}
    if current is None:
        record = Record(id=uuid7(), item_code=draft.item.code, version=1, recorded_at=now, **values)
        session.add(record)
        return record
    for name, value in values.items():
        setattr(current, name, value)
    current.version += 1
    return current


async def _record_version(
    session: AsyncSession, actor: Actor, now: datetime, record: Record, content: bytes, *, corrected: bool
) -> None:
    before = (await store.versions(session, record))[-1].commitment if corrected else None
    _append_version(session, actor, now, record, content, before, CORRECTED if corrected else STORED, None)


def _append_version(
    session: AsyncSession,
    actor: Actor,
    now: datetime,
    record: Record,
    content: bytes,
    before: bytes | None,
    change: str,
    reason: str | None,
) -> None:
    """Append the version and its audit event; the log holds only the salted commitment of the content."""
    salt = events.new_salt()
    after = events.commitment(salt, content)
    session.add(
        RecordVersion(
            uscc=record.uscc,
            record_id=record.id,
            version=record.version,
            recorded_at=now,
            change=change,
            reason=reason,
            actor=actor.id,
            request_id=actor.request_id,
            salt=salt,
            commitment=after,
            content=content.decode(),
        )
    )
    event = events.new_event(
        actor,
        now,
        change,
        uscc=record.uscc,
        subject_type=SUBJECT_TYPE,
        subject_id=str(record.id),
        version=record.version,
        before=before,
        after=after,
        reason=reason,
    )
    events.append(session, [event])


async def _warnings(session: AsyncSession, entity: Entity, draft: Draft) -> list[str]:
    known = await entities.known_names(session, entity)
    warnings = [] if is_known_as(draft.entity_name, known) else ["name-differs"]
    if entity.quality_flags:
        warnings.append("subject-code-has-quality-flag")
    return warnings


def _receipt(outcome: Outcome, record: Record, warnings: list[str]) -> RecordReceipt:
    return RecordReceipt(outcome=outcome, id=record.id, uscc=record.uscc, version=record.version, warnings=warnings)
