"""Whether a record may be repaired, condition by condition, and from when (Order 36 arts. on conditions; 国办发〔2025〕22号 四)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from credit_service.catalogue.models import RepairRule
from credit_service.catalogue.rules import add_period
from credit_service.platform.errors import FieldError, ProblemType
from credit_service.records.models import State

REPAIR_NOT_ELIGIBLE = ProblemType(
    "repair-not-eligible", 409, "尚不符合修复条件", "The conditions of repair are not met"
)
REPAIR_BARRED = ProblemType("repair-barred", 409, "禁止申请修复期间", "Repair is barred after a false application")
NOT_REPAIRABLE = ProblemType("not-repairable", 409, "该记录不适用信用修复", "This record knows no repair")

PERIOD = "minimum-period-reached"
COMMITMENT = "public-commitment"
DECLARED = {
    "corrected-and-fully-performed": "proof-of-performance",
    "performed-or-corrected": "proof-of-performance",
    "wages-paid": "proof-of-performance",
    "ground-no-longer-exists": "proof-of-performance",
    "harm-removed": "proof-of-performance",
}
"""Conditions that the applicant proves, and the material that proves them."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: whether it is met, from when it can be, and why."""

    name: str
    met: bool
    from_on: date | None
    why: str


def eligible_from(rule: RepairRule, decided_on: date, repair_eligible_from: date | None) -> date | None:
    """The first day on which repair may be applied for; ``None`` where the record's rule excludes it."""
    if rule.early_after is not None:
        return add_period(decided_on, rule.early_after)
    if PERIOD not in rule.conditions:
        return decided_on
    return repair_eligible_from


def conditions(
    rule: RepairRule,
    *,
    decided_on: date,
    repair_eligible_from: date | None,
    materials: Iterable[str],
    commitment: Mapping[str, Any] | None,
    today: date,
) -> tuple[Condition, ...]:
    """Every condition of the rule, explained."""
    given = set(materials)
    first = eligible_from(rule, decided_on, repair_eligible_from)
    found = []
    for name in rule.conditions:
        if name == PERIOD or name == "six-months-since-correction":
            met = first is not None and first <= today
            why = f"{rule.version}: from {first}" if first else f"{rule.version}: excluded"
            found.append(Condition(name, met, first, why))
        elif name == COMMITMENT:
            found.append(Condition(name, commitment is not None, None, "commitment letter signed and published"))
        elif name in DECLARED:
            found.append(Condition(name, DECLARED[name] in given, None, f"material {DECLARED[name]}"))
        else:
            found.append(Condition(name, True, None, "examined by the authority"))
    if PERIOD not in rule.conditions and first is not None:
        found.append(Condition(PERIOD, first <= today, first, f"{rule.version}: from {first}"))
    return tuple(found)


def check_record(state: str, rule: RepairRule | None, first: date | None) -> list[FieldError]:
    """Repair is for a record that stands under a rule that knows repair."""
    if rule is None:
        return [FieldError("/record_id", "the item has no repair rule")]
    if state not in (State.PUBLISHED, State.WITHHELD, State.SHIELDED):
        return [FieldError("/record_id", f"a record that stands, not {state}")]
    if first is None:
        return [FieldError("/record_id", f"{rule.version}: excluded from repair")]
    return []


def barred_until(revoked_on: Iterable[date], bar: str | None) -> date | None:
    """Until when an entity may not apply after a false application (``bar`` of the rule, an ISO 8601 period)."""
    if bar is None:
        return None
    return max((add_period(day, bar) for day in revoked_on), default=None)


def needs_four_eyes(list_colour: str | None, severity: str | None) -> bool:
    """Removal from a serious list takes two officers."""
    return list_colour == "black" and severity == "serious"
