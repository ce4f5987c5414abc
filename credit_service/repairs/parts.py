"""Guards and effects of repair, by the names that its machine uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts import commands as accounts
from credit_service.catalogue.facts import checker_of
from credit_service.catalogue.rule_models import RepairRule
from credit_service.catalogue.rules import add_period, item_in_force
from credit_service.platform.days import day_of
from credit_service.platform.errors import Problem
from credit_service.records import commands as records
from credit_service.records import life
from credit_service.records.models import Record
from credit_service.records.rules import OPEN_STATES, RECORD_REFUSED, Draft, needs_four_eyes
from credit_service.records.standing import Action
from credit_service.repairs import rules
from credit_service.repairs.contract import Grant, RepairContent, Revocation
from credit_service.workflows import parts, store
from credit_service.workflows.commands import Part, Turn
from credit_service.workflows.rules import check_four_eyes

COMMITMENT_ITEM = "commitment"
COMMITMENT_TYPE = "信用修复型"


def rule_of(turn: Turn) -> RepairRule | None:
    record = turn.record
    return rules.repair_rule(turn.catalogue, record.item_code, record.decided_on, day_of(turn.now))


def _rule(turn: Turn) -> RepairRule:
    rule = rule_of(turn)
    assert rule is not None, "no case without a repair rule"
    return rule


async def repairable(turn: Turn) -> None:
    """The record stands and its rule knows repair. Raises ``NOT_REPAIRABLE``."""
    record, rule = turn.record, rule_of(turn)
    first = rules.eligible_from(rule, record.decided_on, record.repair_eligible_from) if rule else None
    errors = rules.check_record(record.state, rule, first)
    if errors:
        raise Problem(rules.NOT_REPAIRABLE, errors=errors)


async def not_barred(turn: Turn) -> None:
    """No earlier repair was revoked so that applications are barred still. Raises ``REPAIR_BARRED``."""
    until = await store.barred_until(turn.session, turn.case.uscc)
    if until is not None and day_of(turn.now) < until:
        raise Problem(rules.REPAIR_BARRED, extra={"barred_until": until.isoformat()})


async def judged(session: AsyncSession, turn: Turn) -> tuple[rules.Condition, ...]:
    """The conditions of the case's record, with what the application brings."""
    record, rule = turn.record, _rule(turn)
    return rules.conditions(
        rule,
        rules.eligible_from(rule, record.decided_on, record.repair_eligible_from),
        rules.application_of(turn.case.content),
        heavier_since=await life.heavier_since(session, record),
        today=day_of(turn.now),
    )


async def eligible(turn: Turn) -> None:
    """Every condition is met that the registry can judge. Raises ``REPAIR_NOT_ELIGIBLE`` with each that is not."""
    await repairable(turn)
    found = await judged(turn.session, turn)
    errors = rules.unmet(found)
    if errors:
        again = rules.apply_again_from(found)
        extra = {"apply_again_from": again.isoformat() if again else None}
        raise Problem(rules.REPAIR_NOT_ELIGIBLE, errors=errors, extra=extra)


async def four_eyes(turn: Turn) -> None:
    """Removal from a serious list takes two officers. Raises ``CONFLICT_OF_INTEREST``."""
    item = turn.catalogue.latest(turn.record.item_code)
    needed = needs_four_eyes(item.list_colour, turn.record.severity)
    check_four_eyes(needed, turn.case.state, turn.caller.principal.id, turn.case.officers)


async def replace_content(turn: Turn) -> None:
    """A draft says something else now."""
    assert isinstance(turn.body, RepairContent)
    said = turn.body.model_dump(mode="json", include={"materials", "commitment"})
    turn.case.content = {**turn.case.content, **said, "statement": turn.body.reason}


async def explain(turn: Turn) -> None:
    """A refusal carries every condition as judged, and the day from which to apply again."""
    found = await judged(turn.session, turn)
    again = rules.apply_again_from(found)
    turn.said["conditions"] = [
        {**asdict(condition), "from_on": condition.from_on.isoformat() if condition.from_on else None}
        for condition in found
    ]
    turn.said["apply_again_from"] = again.isoformat() if again else None


async def repair_record(turn: Turn) -> None:
    """Publication and sharing stop, measures lift, profile and lists change: they all follow from the state."""
    assert isinstance(turn.body, Grant)
    await _repair(turn, turn.record, turn.body.reason or "准予信用修复")


async def _repair(turn: Turn, record: Record, reason: str) -> None:
    assert isinstance(turn.body, Grant)
    basis = {
        "case_id": str(turn.case.id),
        "document_number": turn.body.document_number,
        "decided_on": day_of(turn.now).isoformat(),
    }
    await life.move(
        turn.session, turn.catalogue, turn.actor, turn.now, record, Action.REPAIR, reason=reason, basis=basis
    )


async def repair_linked(turn: Turn) -> None:
    """The negative inspection result that led to the decision stops with it (Order 107)."""
    linked = await life.led_to(turn.session, turn.record)
    for record in linked:
        await _repair(turn, record, f"随{turn.record.document_number}一并停止公示")
    if linked:
        turn.said["linked_record_ids"] = [str(record.id) for record in linked]


async def record_commitment(turn: Turn) -> None:
    """The commitment made for the repair is public from now on, as a record of its own (Order 36)."""
    letter = turn.case.content.get("commitment")
    if letter is None:
        return
    today, case = day_of(turn.now), turn.case
    item = item_in_force(turn.catalogue, COMMITMENT_ITEM, today)
    facts = checker_of(item)(
        {
            "commitment_code": f"{case.division}{today:%Y%m%d}{case.id.int % 10**6:06}",
            "commitment_type": COMMITMENT_TYPE,
            "reason": "申请信用修复",
            "content": letter["content"],
            "breach_liability": letter["breach_liability"],
            "publication_type": "可向社会公开",
        }
    )
    if facts.errors:
        raise Problem(RECORD_REFUSED, errors=facts.errors)
    agency = await accounts.agency_name(turn.session, case.handler_uscc)
    draft = Draft(
        item=item,
        uscc=case.uscc,
        entity_name=turn.record.entity_name,
        document_number=f"信用修复承诺{case.reference}",
        decided_on=today,
        valid_until=rules.commitment_until(turn.record.publicity_latest_stop, today),
        authority_uscc=case.handler_uscc,
        authority_name=agency,
        source_uscc=case.handler_uscc,
        source_name=agency,
        legal_basis=turn.catalogue.documents[_rule(turn).legal_basis[0].document].title_zh,
        public_facts=facts.public,
        shared_facts=facts.shared,
        restricted_facts=facts.restricted,
    )
    stored = await records.store_judged(turn.session, turn.catalogue, turn.actor, turn.now, draft)
    turn.said["commitment_record_id"] = str(stored.id)


def _granted(turn: Turn) -> dict[str, Any]:
    return next(said for said in reversed(turn.case.findings) if said["action"] == "grant")


async def bar(turn: Turn) -> None:
    """New applications are barred for the years of the rule, which says how well the figure is verified."""
    fraud = _rule(turn).fraud
    if fraud is not None and fraud.bar is not None:
        turn.case.barred_until = add_period(day_of(turn.now), fraud.bar)
        turn.said.update(barred_until=turn.case.barred_until.isoformat(), bar_status=fraud.status)


async def restore_record(turn: Turn) -> None:
    """The record is public again for a fresh term."""
    fraud = _rule(turn).fraud
    await _restore(turn, turn.record, fraud.publicity if fraud is not None else None)


async def restore_linked(turn: Turn) -> None:
    """What stopped with the record is shown again, as its own rule says."""
    for record_id in _granted(turn).get("linked_record_ids", ()):
        linked = await life.held(turn.session, UUID(record_id))
        if linked.state_basis is not None and linked.state_basis.get("case_id") == str(turn.case.id):
            await _restore(turn, linked, None)


async def _restore(turn: Turn, record: Record, publicity: str | None) -> None:
    assert isinstance(turn.body, Revocation)
    await life.restore_after_fraud(
        turn.session,
        turn.catalogue,
        turn.actor,
        turn.now,
        record,
        publicity=publicity,
        reason=f"{turn.body.document_number}: {turn.body.reason}",
    )


async def record_breach(turn: Turn) -> None:
    """The commitment is entered as not kept, and shown for the term of the rule."""
    assert isinstance(turn.body, Revocation)
    record_id = _granted(turn).get("commitment_record_id")
    record = await life.held(turn.session, UUID(record_id)) if record_id else None
    if record is None or record.state not in OPEN_STATES:
        return
    today, fraud = day_of(turn.now), _rule(turn).fraud
    draft = life.draft_of(turn.catalogue, record)
    facts = checker_of(draft.item)(
        draft.facts
        | {
            "fulfilment": "全部未履行",
            "unperformed_content": turn.body.evidence,
            "breach_liability_content": f"{turn.body.document_number} 撤销信用修复",
            "fulfilment_confirmed_on": today.isoformat(),
            "fulfilment_confirmed_by": draft.authority_name,
            "fulfilment_confirmed_by_uscc": draft.authority_uscc,
        }
    )
    if facts.errors:
        raise Problem(RECORD_REFUSED, errors=facts.errors)
    until = add_period(today, fraud.publicity) if fraud is not None and fraud.publicity else None
    changed = draft._replace(
        valid_until=max(until, draft.valid_until or today) if until else draft.valid_until,
        public_facts=facts.public,
        shared_facts=facts.shared,
        restricted_facts=facts.restricted,
    )
    await life.correct(turn.session, turn.catalogue, turn.actor, turn.now, record, changed, turn.body.reason)


GUARDS: Mapping[str, Part] = {
    **parts.GUARDS,
    "repairable": repairable,
    "not-barred": not_barred,
    "eligible": eligible,
    "four-eyes": four_eyes,
}
EFFECTS: Mapping[str, Part] = {
    **parts.EFFECTS,
    "replace-content": replace_content,
    "explain": explain,
    "repair-record": repair_record,
    "repair-linked": repair_linked,
    "record-commitment": record_commitment,
    "bar": bar,
    "restore-record": restore_record,
    "restore-linked": restore_linked,
    "record-breach": record_breach,
}
