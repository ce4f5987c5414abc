"""Whether a record may be repaired, condition by condition, and from when (Order 36; 国办发〔2025〕22号 四). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from credit_service.catalogue.models import Catalogue
from credit_service.catalogue.rule_models import RepairRule
from credit_service.catalogue.rules import add_period, item_in_force, rule_for
from credit_service.platform.errors import FieldError, ProblemType
from credit_service.records.models import State

REPAIR_NOT_ELIGIBLE = ProblemType(
    "repair-not-eligible", 409, "尚不符合修复条件", "The conditions of repair are not met"
)
REPAIR_BARRED = ProblemType("repair-barred", 409, "禁止申请修复期间", "Repair is barred after a false application")
NOT_REPAIRABLE = ProblemType("not-repairable", 409, "该记录不适用信用修复", "This record knows no repair")

PERIOD = "minimum-period-reached"
SINCE_CORRECTION = "six-months-since-correction"
COMMITMENT = "public-commitment"
NO_HEAVIER = "no-further-heavier-penalty"
PROOF = "proof-of-performance"
PROVED = frozenset(
    {"corrected-and-fully-performed", "performed-or-corrected", "wages-paid", "ground-no-longer-exists", "harm-removed"}
)
"""Conditions that the applicant proves; whether the proof is good is the authority's to judge."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: whether it is met (``None``: for the authority to examine), the day it is or will be, and why."""

    name: str
    met: bool | None
    from_on: date | None
    why: str


@dataclass(frozen=True, slots=True)
class Application:
    """What an application brings: proofs with the day of performance they state, and the commitment."""

    proofs: tuple[date | None, ...]
    committed: bool

    @property
    def performed_on(self) -> date | None:
        """The day on which everything was performed, as far as the proofs say."""
        return max((day for day in self.proofs if day is not None), default=None)


def application_of(content: Mapping[str, Any]) -> Application:
    """What a case's content brings, with everything supplemented since."""
    materials = [*content["materials"]]
    for statement in content.get("statements", ()):
        materials += statement.get("materials", ())
    proofs = [material.get("dated_on") for material in materials if material["kind"] == PROOF]
    days = tuple(date.fromisoformat(day) if day else None for day in proofs)
    return Application(days, content.get("commitment") is not None)


def repair_rule(catalogue: Catalogue, item_code: str, decided_on: date, today: date) -> RepairRule | None:
    """The repair rule of a record: procedure is that of the day of the application, for older decisions too."""
    item = item_in_force(catalogue, item_code, decided_on)
    return rule_for(catalogue, "repair", item.repair_rule, decided_on, today)


def eligible_from(rule: RepairRule, decided_on: date, repair_eligible_from: date | None) -> date | None:
    """The first day on which repair may be applied for; ``None`` where the record's rule excludes it.

    ``repair_eligible_from`` is what the publicity rule gave the record. A rule with a term of its own (``early_after``)
    counts it from the decision.
    """
    if rule.early_after is not None:
        return add_period(decided_on, rule.early_after)
    return repair_eligible_from if PERIOD in rule.conditions else decided_on


def conditions(
    rule: RepairRule,
    first: date | None,
    application: Application,
    *,
    heavier_since: bool,
    today: date,
) -> tuple[Condition, ...]:
    """Every condition of the rule, explained. ``heavier_since``: a further heavier penalty is on record."""
    names = rule.conditions if PERIOD in rule.conditions else (PERIOD, *rule.conditions)
    return tuple(_condition(name, rule, first, application, heavier_since, today) for name in names)


def _condition(
    name: str, rule: RepairRule, first: date | None, application: Application, heavier_since: bool, today: date
) -> Condition:
    if name == PERIOD:
        why = f"{rule.version}: {'excluded' if first is None else f'from {first}'}"
        return Condition(name, first is not None and first <= today, first, why)
    if name == SINCE_CORRECTION:
        return _since_correction(rule, application.performed_on, today)
    if name == COMMITMENT:
        return Condition(name, application.committed, None, "the commitment letter, in the form the law asks for")
    if name in PROVED:
        return Condition(name, bool(application.proofs), application.performed_on, f"material {PROOF}")
    if name == NO_HEAVIER:
        return Condition(name, not heavier_since, None, "by the records of this registry")
    return Condition(name, None, None, "examined by the authority")


def _since_correction(rule: RepairRule, performed_on: date | None, today: date) -> Condition:
    first = add_period(performed_on, rule.early_after) if performed_on and rule.early_after else None
    why = f"{rule.early_after} since the day that {PROOF} states"
    return Condition(SINCE_CORRECTION, first is not None and first <= today, first, why)


def unmet(found: Iterable[Condition]) -> list[FieldError]:
    """The conditions that are not met, as errors."""
    return [
        FieldError(f"/conditions/{condition.name}", condition.why, f"{condition.from_on or ''}")
        for condition in found
        if condition.met is False
    ]


def apply_again_from(found: Iterable[Condition]) -> date | None:
    """The day from which time alone stands in the way no more; ``None`` when it does not or no day is known."""
    return max((c.from_on for c in found if c.met is False and c.from_on is not None), default=None)


def check_record(state: str, rule: RepairRule | None, first: date | None) -> list[FieldError]:
    """Repair is for a record that stands, under a rule that knows repair."""
    if rule is None:
        return [FieldError("/record_id", "the item has no repair rule")]
    if state not in (State.PUBLISHED, State.WITHHELD, State.SHIELDED):
        return [FieldError("/record_id", f"a record that stands, not {state}")]
    if first is None:
        return [FieldError("/record_id", f"{rule.version}: excluded from repair")]
    return []


def commitment_until(publicity_latest_stop: date | None, today: date) -> date:
    """Last day of the commitment: as long as the repaired record would have been shown, and no longer."""
    if publicity_latest_stop is None:
        return today
    return max(today, date.fromordinal(publicity_latest_stop.toordinal() - 1))
