"""Who must be told what, and until when. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from credit_service.catalogue.models import Catalogue, Item, Words
from credit_service.catalogue.rule_models import DeadlineRule
from credit_service.catalogue.rules import rule_for
from credit_service.deadlines.rules import JURISDICTIONS, Run, due, local_rule
from credit_service.platform.calendar import WorkingCalendar
from credit_service.platform.days import day_of
from credit_service.platform.errors import ProblemType
from credit_service.records.models import State

PROPAGATION_SUPERSEDED = ProblemType(
    "propagation-superseded", 409, "该同步事项已被后续变更取代", "A later change of the record replaces this one"
)


class Receiver(StrEnum):
    """Who has been given records by this registry."""

    CREDIT_CHINA = "credit-china"  # 信用中国
    ENTERPRISE_PUBLICITY = "enterprise-publicity-system"  # 国家企业信用信息公示系统
    REGISTRATION_PLACE = "registration-place"  # 登记地(跨省)
    AGENCY = "agency"  # 共享或查询过该信息的单位


class Instruction(StrEnum):
    """What a receiver has to do with its copy."""

    STOP = "stop"  # 停止公示和使用
    CORRECT = "correct"  # 更正
    RESTORE = "restore"  # 恢复公示


class PropagationState(StrEnum):
    """Where the telling of one receiver stands."""

    DUE = "due"  # 待回执
    OVERDUE = "overdue"  # 逾期未回执
    ACKNOWLEDGED = "acknowledged"  # 已回执
    SUPERSEDED = "superseded"  # 已被后续变更取代


INSTRUCTIONS: Mapping[str, Instruction | None] = {
    "record.corrected": Instruction.CORRECT,
    "record.repair": Instruction.STOP,
    "record.annul": Instruction.STOP,
    "record.withdraw": Instruction.STOP,
    "record.remove": Instruction.STOP,
    "record.excluded": Instruction.STOP,
    "record.shield": Instruction.STOP,
    "record.unshield": Instruction.RESTORE,
    "record.revoke-repair": Instruction.RESTORE,
    "record.archive": None,  # each receiver's own retention: nothing has been decided about the record
    "record.stored": None,
    "record.notice-served": None,
    "record.disputed": None,
    "record.removal-proposed": None,
    "record.undisputed": None,
}
"""Every change that makes a version of a record, and what it asks of those who hold a copy."""

GIVEN_OUT = frozenset({State.PUBLISHED, State.WITHHELD, State.SHIELDED, State.REPAIRED, State.REMOVED})
"""States in which others may hold a copy; before that nobody was given one."""

_ANNUL = "record.annul"
_PUSH = "repair-cross-province-push"
_ANNULLED = {Receiver.ENTERPRISE_PUBLICITY: "withdraw-annulled-market-regulation"}


def instruction_of(change: str) -> Instruction | None:
    """What a change of a record asks of its receivers. Raises KeyError for one that nobody has thought about."""
    return INSTRUCTIONS[change]


@dataclass(frozen=True, slots=True)
class Term:
    """Until when a receiver must have carried it out, and by which rule. ``status``: how well that rule is verified.

    ``amount`` and ``unit`` are the rule's, ``calendar`` the version of the calendar that gave ``due_at``.
    """

    due_at: datetime
    provisional: bool
    rule_version: str
    status: str
    amount: int
    unit: str
    calendar: int


LOCAL_STAGES: Mapping[str, str] = {_ANNUL: "annulled-removal", "record.repair": "repair-removal"}
"""What the profiles of jurisdictions call the time-limit of a change (上海 art. 37, 山东 art. 40, 河南 art. 43)."""
NATIONAL = ""
"""The prefix of every division."""


def term(
    catalogue: Catalogue,
    calendar: WorkingCalendar,
    receiver: Receiver,
    change: str,
    now: datetime,
    prefix: str = NATIONAL,
) -> Term:
    """The time-limit of a receiver for a decision of an authority in the jurisdiction ``prefix``.

    Annulment: 行政处罚法 art. 48, Order 45 art. 11. Repair, to another province: Order 107. A jurisdiction's own rule
    comes first where it has one, but not for the enterprise publicity system and for another province, which national
    rules bind. For everything else the sources say "at once" without a figure; Order 107's three working days are
    applied to it by inference.
    """
    rule, status = _rule(catalogue, receiver, change, day_of(now), prefix)
    found = due(calendar, Run(now, rule.amount, rule.unit, None))
    return Term(found.at, found.provisional, rule.version, status, rule.amount, rule.unit, calendar.version)


def _rule(catalogue: Catalogue, receiver: Receiver, change: str, today: date, prefix: str) -> tuple[DeadlineRule, str]:
    if prefix and change in LOCAL_STAGES and receiver in _LOCALLY_BOUND:
        local = local_rule(catalogue, prefix, LOCAL_STAGES[change], today)
        if local is not None:
            return local, local.status
    name = _PUSH
    if change == _ANNUL:
        name = _ANNULLED.get(receiver, "withdraw-annulled")
    rule = rule_for(catalogue, "deadline", name, today, today)
    assert rule is not None
    exact = name != _PUSH or (receiver is Receiver.REGISTRATION_PLACE and change == "record.repair")
    return rule, rule.status if exact else "inference"


_LOCALLY_BOUND = frozenset({Receiver.CREDIT_CHINA, Receiver.AGENCY})


_EPS = Receiver.ENTERPRISE_PUBLICITY.value


def enterprise_publicity_items(catalogue: Catalogue) -> list[str]:
    """Codes of the items that the enterprise publicity system shows as well: market regulation's, and penalties."""
    return sorted(code for code, versions in catalogue.items.items() if any(map(_in_publicity_system, versions)))


def _in_publicity_system(item: Item) -> bool:
    return _EPS in item.destination_rules or "市场监督管理" in item.authority_zh


def place_prefix(division: str) -> str:
    """The digits of a division (GB/T 2260) that every division within it begins with; none for the whole country."""
    for length in (6, 4, 2):
        if division[length - 2 : length] != "00":
            return "" if division[:2] == "10" else division[:length]
    return ""


def state_of(
    due_at: datetime, acknowledged_at: datetime | None, superseded_at: datetime | None, now: datetime
) -> PropagationState:
    """Where a row stands at ``now``."""
    if acknowledged_at is not None:
        return PropagationState.ACKNOWLEDGED
    if superseded_at is not None:
        return PropagationState.SUPERSEDED
    return PropagationState.OVERDUE if due_at <= now else PropagationState.DUE


def terms(
    catalogue: Catalogue, calendar: WorkingCalendar, change: str, now: datetime
) -> Iterable[tuple[Receiver, str, Term]]:
    """The time-limit of every kind of receiver, by the prefix of the deciding authority's division."""
    return [
        (receiver, prefix, term(catalogue, calendar, receiver, change, now, prefix))
        for receiver in Receiver
        for prefix in (NATIONAL, *JURISDICTIONS)
    ]


def reference_of(caused_at: datetime, identifier: UUID) -> str:
    """同步事项编号: all that is told of it outside the registry."""
    return f"TB-{day_of(caused_at):%Y%m%d}-{str(identifier)[-8:].upper()}"


_RECEIVERS = {
    Receiver.CREDIT_CHINA: Words("信用中国", "Credit China"),
    Receiver.ENTERPRISE_PUBLICITY: Words("国家企业信用信息公示系统", "the national enterprise publicity system"),
    Receiver.REGISTRATION_PLACE: Words("登记地", "the place of registration"),
    Receiver.AGENCY: Words("单位", "the agency"),
}


def stage_of(receiver_type: str, receiver: str, number: int) -> Words:
    """What is overdue, in the words of a notice."""
    kind = Receiver(receiver_type)
    named = "" if receiver == kind.value else f" {receiver}"
    zh, en = _RECEIVERS[kind]
    return Words(f"信息同步 {zh}{named} {number}项", f"propagation to {en}{named}, records: {number}")
