"""Use cases of proceedings, each in the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from credit_service.accounts import commands as accounts
from credit_service.accounts.rules import may_submit
from credit_service.audit import events
from credit_service.catalogue.models import Catalogue
from credit_service.catalogue.rules import item_in_force
from credit_service.identity.uscc import Uscc
from credit_service.platform.context import Actor
from credit_service.platform.days import day_of
from credit_service.platform.errors import (
    INVALID_REQUEST,
    NOT_FOUND,
    PRECONDITION_FAILED,
    PRECONDITION_REQUIRED,
    FieldError,
    Problem,
)
from credit_service.records import commands as records
from credit_service.records import life
from credit_service.records import serving as repair_notices
from credit_service.records.contract import Notice, RecordReceipt
from credit_service.records.models import NoticeKind
from credit_service.records.proceedings import rules, serving, store
from credit_service.records.proceedings.models import (
    Decision,
    NoticeOfIntent,
    Proceeding,
    ProceedingOpen,
    ProceedingState,
    Statement,
)
from credit_service.records.proceedings.rules import TRANSITIONS, Step
from credit_service.records.rules import AGENCY_NOT_GRANTED
from credit_service.records.standing import ILLEGAL_TRANSITION

SUBJECT_TYPE = "proceeding"


@dataclass(frozen=True, slots=True)
class Party:
    """Who acts: an agency's officer, or the subject itself."""

    actor: Actor
    agency_uscc: str | None
    entity_uscc: str | None

    @property
    def side(self) -> str:
        return "agency" if self.agency_uscc is not None else "subject"


def version_tag(proceeding: Proceeding) -> str:
    return f'"v{proceeding.version}"'


def may_see(proceeding: Proceeding, party: Party) -> bool:
    """An agency sees its own proceedings, a subject those it was notified of."""
    if party.agency_uscc is not None:
        return proceeding.agency_uscc == party.agency_uscc
    return proceeding.uscc == party.entity_uscc and proceeding.notice is not None


async def open_proceeding(
    session: AsyncSession, catalogue: Catalogue, party: Party, now: datetime, body: ProceedingOpen
) -> Proceeding:
    """Enter an intended decision. Raises what the catalogue and the code raise, and ``AGENCY_NOT_GRANTED``."""
    item = item_in_force(catalogue, body.item_code, day_of(now))
    if item.notice_rule is None:
        raise Problem(INVALID_REQUEST, errors=[FieldError("/item_code", "an item whose decisions need prior notice")])
    agency = await accounts.load_agency(session, party.agency_uscc or "")
    if agency is None or not may_submit(agency.grants, item.code, agency.uscc[2:8]):
        raise Problem(AGENCY_NOT_GRANTED, errors=[FieldError("/item_code", "agency-grant")])
    proceeding = Proceeding(
        uscc=Uscc.parse(body.uscc).value,
        id=uuid7(),
        item_code=item.code,
        agency_uscc=agency.uscc,
        opened_by=party.actor.id,
        state=ProceedingState.DRAFT.value,
        content=body.model_dump(exclude={"item_code", "uscc"}),
        salt=b"",
        version=0,
        opened_at=now,
        changed_at=now,
    )
    session.add(proceeding)
    _keep(session, party.actor, now, proceeding, "proceeding.opened", None)
    return proceeding


def _keep(
    session: AsyncSession, actor: Actor, now: datetime, proceeding: Proceeding, action: str, reason: str | None
) -> None:
    proceeding.version += 1
    proceeding.changed_at = now
    proceeding.salt = events.new_salt()
    content = events.canonical_json(
        proceeding.model_dump(mode="json", include={"content", "notice", "statement", "response", "state", "uscc"})
    )
    event = events.new_event(
        actor,
        now,
        action,
        uscc=proceeding.uscc,
        subject_type=SUBJECT_TYPE,
        subject_id=str(proceeding.id),
        version=proceeding.version,
        after=events.commitment(proceeding.salt, content),
        reason=reason,
    )
    events.append(session, [event])


async def for_step(
    session: AsyncSession, party: Party, proceeding_id: UUID, step: Step, if_match: str | None
) -> Proceeding:
    """The proceeding, held, if the party may take this step now.

    Raises ``NOT_FOUND``, ``PRECONDITION_REQUIRED``, ``PRECONDITION_FAILED`` and ``ILLEGAL_TRANSITION``.
    """
    proceeding = await store.by_id(session, proceeding_id, lock=True)
    if proceeding is None or not may_see(proceeding, party):
        raise Problem(NOT_FOUND)
    if if_match is None:
        raise Problem(PRECONDITION_REQUIRED, errors=[FieldError("header:If-Match", "required for an update")])
    if if_match.strip() not in ("*", version_tag(proceeding)):
        raise Problem(PRECONDITION_FAILED, extra={"current": version_tag(proceeding), "state": proceeding.state})
    if step.value not in rules.steps_for(proceeding.state, party.side):
        raise Problem(ILLEGAL_TRANSITION, extra={"state": proceeding.state})
    return proceeding


async def serve_notice(
    session: AsyncSession, party: Party, now: datetime, proceeding: Proceeding, body: NoticeOfIntent
) -> None:
    """Tell the subject of the intended decision (行政处罚法 art. 44). Raises ``INVALID_REQUEST``.

    It is in its inbox and announced at its contact points, whether or not the agency has served it by its own means.
    """
    if len({body.means is None, body.evidence is None}) > 1:
        _raise([FieldError("/evidence", "means and evidence together, or none of them")])
    _raise(rules.check_notice(body.served_on, body.statement_until, day_of(now), proved=body.evidence is not None))
    proceeding.notice = body.model_dump(mode="json", exclude={"statement_until"}, exclude_none=True)
    if body.served_on is None:
        proceeding.notice["sent_on"] = day_of(now).isoformat()
    proceeding.statement_until = body.statement_until
    _step(session, party, now, proceeding, Step.SERVE_NOTICE)
    await serving.tell(session, party.actor, now, proceeding)


async def state(session: AsyncSession, party: Party, now: datetime, proceeding: Proceeding, body: Statement) -> None:
    """Take in the subject's statement and defence. Raises ``INVALID_REQUEST`` after its time."""
    served = await serving.served(session, now, proceeding)
    _raise(rules.check_statement(served[1] if served is not None else None, day_of(now), by=party.side))
    proceeding.statement = {"text": body.text, "by": party.side, "received_on": day_of(now).isoformat()}
    _step(session, party, now, proceeding, Step.STATE)


async def decide(
    session: AsyncSession, catalogue: Catalogue, party: Party, now: datetime, proceeding: Proceeding, body: Decision
) -> RecordReceipt:
    """End a proceeding with a record, which carries the proof that the subject was heard.

    Where its rule asks for the repair notice and the record brings no proof of one, the registry serves it with the
    decision (两书同达). Raises ``NOTICE_NOT_PROVED`` while nothing proves that the notice was served,
    ``INVALID_REQUEST`` when the record is about something else or the subject was not heard, and what
    ``records.commands.submit`` raises.
    """
    served, statement_until = await serving.proved(session, now, proceeding)
    if (body.record.item_code, Uscc.parse(body.record.uscc).value) != (proceeding.item_code, proceeding.uscc):
        raise Problem(INVALID_REQUEST, errors=[FieldError("/record", "the proceeding's own item and subject")])
    notice = Notice(**served, kind=NoticeKind.FACTS_GROUNDS_AND_RIGHTS)
    _raise(
        rules.check_decision(
            proceeding.state,
            statement_until,
            served_on=notice.served_on,
            decided_on=body.record.decided_on,
            response=body.response,
        )
    )
    others = [given for given in body.record.notices if given.kind is not NoticeKind.FACTS_GROUNDS_AND_RIGHTS]
    submission = body.record.model_copy(update={"notices": [notice, *others]})
    receipt = await records.submit(session, catalogue, party.actor, now, submission)
    record = await life.held(session, receipt.id)
    if repair_notices.is_missing(catalogue, record):
        await repair_notices.tell(session, catalogue, party.actor, now, record)
    proceeding.notice, proceeding.statement_until = served, statement_until
    proceeding.response = body.response
    proceeding.record_id = receipt.id
    _step(session, party, now, proceeding, Step.DECIDE)
    return receipt


async def abandon(session: AsyncSession, party: Party, now: datetime, proceeding: Proceeding, reason: str) -> None:
    """End a proceeding without a decision."""
    proceeding.reason = reason
    _step(session, party, now, proceeding, Step.ABANDON, reason)


def _step(
    session: AsyncSession, party: Party, now: datetime, proceeding: Proceeding, step: Step, reason: str | None = None
) -> None:
    proceeding.state = TRANSITIONS[step].to.value
    _keep(session, party.actor, now, proceeding, f"proceeding.{proceeding.state}", reason)


def _raise(errors: list[FieldError]) -> None:
    if errors:
        raise Problem(INVALID_REQUEST, errors=errors)
