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
from credit_service.identity.personal import scrub
from credit_service.identity.uscc import Uscc
from credit_service.platform.context import Actor
from credit_service.platform.days import day_of
from credit_service.platform.errors import FieldError, Problem
from credit_service.records import exclusions, links, rules, store
from credit_service.records.contract import Consent, RecordReceipt, RecordSubmission
from credit_service.records.exclusions import Stated
from credit_service.records.models import Outcome, Record, RecordVersion, State
from credit_service.records.propagation import commands as propagation
from credit_service.records.rules import AGENCY_NOT_GRANTED, RECORD_CLOSED, RECORD_REFUSED, Assessment, Draft
from credit_service.records.standing import commitment, standing_of

SUBJECT_TYPE = "record"
STORED = "record.stored"
CORRECTED = "record.corrected"
EXCLUDED = "record.excluded"


async def draft_of(
    session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, body: RecordSubmission
) -> tuple[Draft, list[str]]:
    """Check a submission against the catalogue, the agency's grants and the item's fields.

    Gives the draft, and warnings of personal information that was masked in it.

    Raises ``USCC_INVALID``, ``NATURAL_PERSON_IDENTIFIER``, ``CATALOGUE_ITEM_UNKNOWN``, ``CATALOGUE_ITEM_NOT_IN_FORCE``,
    ``AGENCY_NOT_GRANTED`` and ``RECORD_REFUSED`` (each field with its rule).
    """
    item = item_in_force(catalogue, body.item_code, body.decided_on)
    authority = Uscc.parse(body.authority_uscc, pointer="/authority_uscc")
    agency = await accounts.load_agency(session, actor.agency_uscc or "")
    if agency is None or not may_submit(agency.grants, item.code, authority.division):
        raise Problem(AGENCY_NOT_GRANTED, errors=[FieldError("/item_code", "agency-grant")])
    facts = checker_of(item)(body.facts)
    basis = scrub(body.legal_basis).text
    masked = [*(["legal_basis"] if basis != body.legal_basis else []), *facts.masked]
    subject = await _subject(session, body.uscc)
    notices = tuple(notice.model_dump(mode="json") for notice in body.notices)
    consent = consent_of(body.consent)
    errors = [
        *rules.check_dates(body.decided_on, body.valid_until, day_of(now)),
        *rules.check_subject(item, subject.value),
        *rules.check_notices(notices, body.decided_on, day_of(now)),
        *rules.check_consent(catalogue, item, body.decided_on, agency.level, authority.value, consent),
        *facts.errors,
    ]
    if errors:
        raise Problem(RECORD_REFUSED, errors=errors)
    draft = Draft(
        item=item,
        uscc=subject.value,
        entity_name=body.entity_name,
        document_number=body.document_number,
        decided_on=body.decided_on,
        valid_until=body.valid_until,
        authority_uscc=authority.value,
        authority_name=body.authority_name,
        source_uscc=agency.uscc,
        source_name=agency.name,
        legal_basis=basis,
        public_facts=facts.public,
        shared_facts=facts.shared,
        restricted_facts=facts.restricted,
        notices=notices,
        consent=consent,
        publicity_grounds=body.publicity_grounds.model_dump(exclude_none=True) if body.publicity_grounds else None,
    )
    return draft, rules.masked_warnings(masked)


def consent_of(consent: Consent | None) -> dict[str, Any] | None:
    """A consent as it is kept, its code read. Raises ``USCC_INVALID`` and ``NATURAL_PERSON_IDENTIFIER``."""
    if consent is None:
        return None
    code = Uscc.parse(consent.authority_uscc, pointer="/consent/authority_uscc").value
    return consent.model_dump(mode="json") | {"authority_uscc": code}


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

    Proof of notice that comes with an otherwise unchanged re-submission counts as a correction: it may open publicity.
    Raises what ``draft_of`` raises, and ``RECORD_CLOSED`` when the record was repaired, annulled or withdrawn.
    """
    draft, masked = await draft_of(session, catalogue, actor, now, body)
    code = Uscc.parse(draft.uscc, admit_bad_check_digit=True)
    entity = await entities.ensure_entity(session, actor, now, code, draft.entity_name)
    warnings = [*masked, *await _warnings(session, entity, draft)]
    current = await store.by_natural_key(session, draft.natural_key)
    if current is not None and is_unchanged(current, draft):
        return _receipt(Outcome.UNCHANGED, current, warnings)
    if current is not None and current.state not in rules.OPEN_STATES:
        raise Problem(RECORD_CLOSED, extra={"state": current.state})
    record = await store_draft(session, catalogue, actor, now, draft, current)
    await entities.rewrite_profile(session, record.uscc, now)
    return _receipt(Outcome.CORRECTED if current is not None else Outcome.STORED, record, warnings)


def is_unchanged(current: Record, draft: Draft) -> bool:
    """Whether a re-submission brings nothing new: neither content nor proof of notice, consent or grounds."""
    return (
        current.content_digest == rules.content_digest(rules.content_of(draft))
        and (not draft.notices or list(draft.notices) == current.notices)
        and draft.consent in (None, current.consent)
        and draft.publicity_grounds in (None, current.publicity_grounds)
    )


async def correct(
    session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, draft: Draft, record_id: UUID
) -> None:
    """Correct an open record as an import found it.

    The caller holds the entity's lock, renders its profile and tells the receivers of all its corrections at once.
    """
    current = await store.by_id(session, record_id)
    await store_draft(session, catalogue, actor, now, draft, current, telling=False)
    await session.flush()


async def store_draft(
    session: AsyncSession,
    catalogue: Catalogue,
    actor: Actor,
    now: datetime,
    draft: Draft,
    current: Record | None,
    reason: str | None = None,
    *,
    telling: bool = True,
) -> Record:
    """Judge a draft and write it with its version and audit event: a new record, or a correction of ``current``.

    Raises ``RECORD_REFUSED`` when another record of the entity rules it out; what it rules out itself ends.
    """
    await check_excluded(session, catalogue, now, draft)
    if current is not None:
        draft = draft._replace(
            notices=draft.notices or tuple(current.notices),
            consent=draft.consent or current.consent,
            publicity_grounds=draft.publicity_grounds or current.publicity_grounds,
        )
    # A correction never restarts the publicity clock: it goes on from the first publication.
    first_published_at = (current.publicity_from if current is not None else None) or now
    assessment = rules.assess(catalogue, draft, first_published_at=first_published_at)
    record = _write(session, current, draft, assessment, now)
    change = STORED if current is None else CORRECTED
    content = rules.content_of(draft)
    await append_version(session, actor, now, record, content, change, reason, catalogue if telling else None)
    if current is not None:
        await session.flush()
        await links.follow_correction(session, record, now, _keeper(session, actor, now))
    await end_excluded(session, catalogue, actor, now, record)
    return record


def _keeper(session: AsyncSession, actor: Actor, now: datetime) -> links.Keep:
    """Writes what lies behind a corrected record, by the same author; the profile is rendered with the correction."""

    async def keep(record: Record, change: str, reason: str) -> None:
        content = await store.content_of(session, record)
        record.version += 1
        record.changed_at = now
        await append_version(session, actor, now, record, content, change, reason, None)
        await links.follow(session, record, now, keep)

    return keep


async def check_excluded(session: AsyncSession, catalogue: Catalogue, now: datetime, draft: Draft) -> None:
    """Raises ``RECORD_REFUSED`` when a standing record of the entity rules this one out."""
    for code, exclusion in exclusions.excluded_by(catalogue, draft.item):
        errors = exclusions.refusal(exclusion, draft.facts)
        if errors and exclusions.bars(exclusion, await _stated(session, draft.uscc, code), day_of(now)):
            raise Problem(RECORD_REFUSED, errors=errors)


async def end_excluded(
    session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, record: Record
) -> None:
    """End what this record, or what its end has left as the newest of its item, rules out (国办发〔2026〕8号).

    A received fact is never refused for what it contradicts: the barred record ends from now, with the reason.
    """
    for exclusion in catalogue.latest(record.item_code).excludes:
        await session.flush()
        if not exclusions.bars(exclusion, await _stated(session, record.uscc, record.item_code), day_of(now)):
            continue
        for barred in await store.standing_of_item(session, record.uscc, exclusion.item):
            if exclusions.refusal(exclusion, {**barred.shared_facts, **barred.public_facts}):
                content = await store.content_of(session, barred)
                barred.state, barred.state_from, barred.state_reason = State.REMOVED, now, exclusion.article
                barred.state_basis = {"record_id": str(record.id)}
                barred.version += 1
                barred.changed_at = now
                await append_version(session, actor, now, barred, content, EXCLUDED, exclusion.article, catalogue)


async def _stated(session: AsyncSession, uscc: str, item_code: str) -> list[Stated]:
    found = await store.standing_of_item(session, uscc, item_code)
    return [Stated({**r.shared_facts, **r.public_facts}, r.decided_on, r.valid_until) for r in found]


async def store_judged(
    session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, draft: Draft
) -> Record:
    """Store a new record that a workflow makes of its own decision, and render the profile."""
    record = await store_draft(session, catalogue, actor, now, draft, None)
    await entities.rewrite_profile(session, record.uscc, now)
    return record


def _write(
    session: AsyncSession, current: Record | None, draft: Draft, assessment: Assessment, now: datetime
) -> Record:
    values: dict[str, Any] = {name: getattr(draft, name) for name in Draft._fields if name != "item"} | {
        name: getattr(assessment, name) for name in Assessment.__dataclass_fields__
    }
    values |= {
        "explanation": list(assessment.explanation),
        "notices": list(draft.notices),
        "content_digest": rules.content_digest(rules.content_of(draft)),
        "changed_at": now,
    }
    began = assessment.publicity_from or now
    if current is None:
        record = Record(id=uuid7(), item_code=draft.item.code, version=1, recorded_at=now, state_from=began, **values)
        session.add(record)
        return record
    if State.AWAITING_NOTICE in (current.state, assessment.state) and current.state != assessment.state:
        # Publication begins, or is held back, now; any other correction reaches back to where its state began.
        current.state_from = now
    for name, value in values.items():
        setattr(current, name, value)
    current.version += 1
    return current


async def append_version(
    session: AsyncSession,
    actor: Actor,
    now: datetime,
    record: Record,
    content: bytes,
    change: str,
    reason: str | None,
    catalogue: Catalogue | None,
) -> None:
    """Append the version and its audit event; the log holds only the salted commitment of what it says.

    Every change of a record but its first storing by an import passes here, and with it the news for the receivers. By
    the ``catalogue`` their time-limits are found; without one they are not told, because nothing changed for them or
    because the caller tells them of many changes at once.
    """
    before = await store.commitment_of(session, record, record.version - 1) if record.version > 1 else None
    standing = standing_of(record.model_dump())
    salt = events.new_salt()
    after = commitment(salt, content, standing)
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
            standing=standing.decode(),
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
    if catalogue is not None:
        await propagation.tell(session, catalogue, actor, now, change, [(record.uscc, record.id)])


async def _warnings(session: AsyncSession, entity: Entity, draft: Draft) -> list[str]:
    known = await entities.known_names(session, entity)
    warnings = [] if is_known_as(draft.entity_name, known) else ["name-differs"]
    if entity.quality_flags:
        warnings.append("subject-code-has-quality-flag")
    return warnings


def _receipt(outcome: Outcome, record: Record, warnings: list[str]) -> RecordReceipt:
    if record.state == State.AWAITING_NOTICE:
        warnings = [*warnings, State.AWAITING_NOTICE.value]
    return RecordReceipt(
        outcome=outcome,
        id=record.id,
        uscc=record.uscc,
        document_number=record.document_number,
        version=record.version,
        warnings=warnings,
    )
