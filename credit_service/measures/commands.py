"""Use cases on measures: check, take one, report on it; and say what time or a repair has already lifted."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from credit_service.accounts.rules import Audience
from credit_service.audit import events
from credit_service.audit.models import SYSTEM_SUBJECT
from credit_service.catalogue.models import Catalogue
from credit_service.entities import profile
from credit_service.entities.archive import ARCHIVED
from credit_service.identity.personal import holds_identity_number
from credit_service.identity.uscc import Uscc
from credit_service.measures import rules, store
from credit_service.measures.models import (
    ApplicationWrite,
    FeedbackWrite,
    MeasureApplication,
    MeasureCheckView,
    MeasureFeedback,
    MeasureStatistics,
    MeasureView,
    StatisticsWrite,
)
from credit_service.measures.rules import MEASURE_REFUSED, SCENARIO_UNKNOWN, Consequence, MeasureIndex
from credit_service.platform.context import Actor
from credit_service.platform.database import driver_connection
from credit_service.platform.days import day_of, start_of
from credit_service.platform.errors import GONE, INVALID_REQUEST, NOT_FOUND, FieldError, Problem
from credit_service.records.bulk import standing_records

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

SUBJECT_TYPE = "measure-application"
ANNOUNCED_AT_ONCE = 500
_ENTITY = f"SELECT name, {ARCHIVED} AS archived FROM entity WHERE uscc = $1"  # noqa: S608 - our own constant


async def consequences(
    connection: AnyConnection, catalogue: Catalogue, uscc: str, scenario: str, audience: Audience, now: datetime
) -> list[Consequence]:
    """What follows from an entity's standing records in a scenario. Raises ``SCENARIO_UNKNOWN``."""
    if scenario not in catalogue.scenarios:
        known = ", ".join(sorted(catalogue.scenarios))
        raise Problem(SCENARIO_UNKNOWN, errors=[FieldError("/scenario", f"one of {known}")])
    index = MeasureIndex(catalogue, now, scenario)
    records = await standing_records(connection, [uscc], index.items, audience, now, with_facts=index.items_with_facts)
    records.sort(key=lambda record: (record.decided_on, record.id))
    return [each for record in records for each in index.consequences(record)]


async def check(
    connection: AnyConnection,
    catalogue: Catalogue,
    code: str,
    scenario: str,
    audience: Audience,
    now: datetime,
    *,
    shows_archived: bool,
) -> MeasureCheckView:
    """What the law asks of whoever decides about an entity. Raises ``NOT_FOUND``, ``GONE``, ``SCENARIO_UNKNOWN``."""
    uscc = Uscc.parse(code, admit_bad_check_digit=True).value
    entity = await connection.fetchrow(_ENTITY, uscc)
    if entity is None:
        raise Problem(NOT_FOUND, errors=[FieldError("/uscc", "known-entity")])
    if entity["archived"] and not shows_archived:
        raise Problem(GONE)
    found = await consequences(connection, catalogue, uscc, scenario, audience, now)
    return MeasureCheckView(
        uscc=uscc,
        name=entity["name"],
        scenario=scenario,
        holds_at=now,
        punishment=rules.outcome(found, "punishment"),
        incentive=rules.outcome(found, "incentive"),
        measures=[_view(catalogue, each) for each in found],
    )


def _view(catalogue: Catalogue, consequence: Consequence) -> MeasureView:
    record = consequence.record
    return MeasureView(
        measure=consequence.measure.code,
        **rules.legal_view(catalogue, consequence.measure),
        outcome=consequence.outcome,
        established=consequence.established,
        fact=consequence.fact,
        until=consequence.until,
        paused=consequence.paused,
        record_id=record.id,
        item_code=record.item_code,
        document_number=record.document_number,
        decided_on=record.decided_on,
        authority_name=record.authority_name,
        disputed_since=record.disputed_since,
    )


async def apply(
    session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, body: ApplicationWrite
) -> MeasureApplication:
    """Take a measure on the ground of a standing record that leads to it, within its statute's term.

    The entity is held, so that a repair of the record comes before or after. Raises ``MEASURE_REFUSED``,
    ``INVALID_REQUEST``, ``SCENARIO_UNKNOWN``.
    """
    _refuse_persons({"/content": body.content, "/finding": body.finding})
    uscc = Uscc.parse(body.uscc, admit_bad_check_digit=True).value
    connection = await driver_connection(session)
    await profile.lock(connection, [uscc])
    found = await consequences(connection, catalogue, uscc, body.scenario, Audience.AGENCY, now)
    consequence = _ground(found, body)
    begins_on = body.begins_on or day_of(now)
    ends_on = body.ends_on or rules.default_end(consequence.measure, consequence.record)
    faults = rules.check_term(consequence.measure, consequence.record, begins_on, ends_on)
    if faults:
        raise Problem(INVALID_REQUEST, errors=faults)
    row = MeasureApplication(
        uscc=uscc,
        id=uuid7(),
        begins_on=begins_on,
        ends_on=ends_on,
        ends_at=start_of(ends_on) if ends_on is not None else None,
        follows_record=consequence.measure.maximum_term is None,
        law=dict(rules.legal_view(catalogue, consequence.measure)),
        edition=consequence.measure.edition,
        agency_uscc=_agency(actor),
        applied_by=actor.id,
        applied_at=now,
        **body.model_dump(include={"record_id", "measure", "scenario", "department", "content", "finding", "amount"}),
    )
    session.add(row)
    content = events.canonical_json(row.model_dump(mode="json"))
    _record(session, actor, now, "measure.applied", row.uscc, row.id, content, body.measure)
    return row


def _ground(found: list[Consequence], body: ApplicationWrite) -> Consequence:
    """The consequence that an application rests on. Raises ``MEASURE_REFUSED`` and says what is missing."""
    for consequence in found:
        if consequence.measure.code == body.measure and consequence.record.id == body.record_id:
            if consequence.paused:
                raise Problem(MEASURE_REFUSED, errors=[FieldError("/record_id", "paused while the record is disputed")])
            if not consequence.established and body.finding is None:
                raise Problem(MEASURE_REFUSED, errors=[FieldError("/finding", "the facts alone do not establish it")])
            return consequence
    raise Problem(MEASURE_REFUSED, errors=[FieldError("/measure", "no standing record leads to it in this scenario")])


def _agency(actor: Actor) -> str:
    assert actor.agency_uscc is not None  # the permission is of roles that act for an agency
    return actor.agency_uscc


def _refuse_persons(texts: dict[str, str | None]) -> None:
    faults = [
        FieldError(pointer, "no identity number of a person")
        for pointer, text in texts.items()
        if text is not None and holds_identity_number(text)
    ]
    if faults:
        raise Problem(INVALID_REQUEST, errors=faults)


def _record(
    session: AsyncSession,
    actor: Actor,
    now: datetime,
    action: str,
    uscc: str,
    identifier: UUID,
    content: bytes,
    reason: str,
) -> None:
    event = events.new_event(
        actor,
        now,
        action,
        uscc=uscc,
        subject_type=SUBJECT_TYPE,
        subject_id=str(identifier),
        after=events.commitment(b"", content),
        reason=reason,
    )
    events.append(session, [event])


async def give_feedback(
    session: AsyncSession, actor: Actor, now: datetime, application_id: UUID, body: FeedbackWrite
) -> str:
    """Append feedback on an application of the actor's agency; gives the entity's code. Raises ``NOT_FOUND``."""
    _refuse_persons({"/content": body.content, "/explanation": body.explanation})
    connection = await driver_connection(session)
    rows = await store.page(connection, now, pausing=[], agency=actor.agency_uscc, application_id=application_id)
    if not rows:
        raise Problem(NOT_FOUND)
    uscc: str = rows[0]["uscc"]
    row = MeasureFeedback(
        uscc=uscc, application_id=application_id, id=uuid7(), made_by=actor.id, made_at=now, **body.model_dump()
    )
    session.add(row)
    content = events.canonical_json(row.model_dump(mode="json"))
    _record(session, actor, now, "measure.feedback", uscc, application_id, content, rows[0]["measure"])
    return uscc


async def report(session: AsyncSession, actor: Actor, now: datetime, body: StatisticsWrite) -> MeasureStatistics:
    """Append batch statistics of the actor's agency. Raises ``INVALID_REQUEST``."""
    if body.processed > body.received:
        raise Problem(INVALID_REQUEST, errors=[FieldError("/processed", "at most what was received")])
    row = MeasureStatistics(agency_uscc=_agency(actor), id=uuid7(), made_by=actor.id, made_at=now, **body.model_dump())
    session.add(row)
    content = events.canonical_json(row.model_dump(mode="json"))
    _record(session, actor, now, "measure.statistics", SYSTEM_SUBJECT, row.id, content, body.category)
    return row


async def announce_lifted(session: AsyncSession, actor: Actor, now: datetime) -> int:
    """Say of applications that they are lifted: true since a repair or the end of a term, whenever this runs."""
    connection = await driver_connection(session)
    found = await store.unannounced(connection, now, ANNOUNCED_AT_ONCE)
    for uscc, identifier, reason in found:
        if await store.announce(connection, uscc, identifier, reason, now):
            _record(session, actor, now, "measure.lifted", uscc, identifier, reason.encode(), reason)
    return len(found)


def pausing_items(catalogue: Catalogue, now: datetime) -> list[str]:
    """Items whose objection rule of the day makes measures wait while a record is disputed."""
    return sorted(item.code for item in catalogue.latest_items() if rules.rule_pauses(catalogue, item, day_of(now)))
