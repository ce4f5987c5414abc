"""Where a record stands in law: its canonical bytes, and the moves between states, declared once as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from credit_service.audit import openings
from credit_service.audit.events import canonical_json
from credit_service.platform.days import rfc3339
from credit_service.platform.errors import FieldError, Problem, ProblemType
from credit_service.records.models import State

ILLEGAL_TRANSITION = ProblemType(
    "illegal-transition", 409, "当前状态不允许该操作", "The record's state does not allow this"
)

STANDING = (
    "consent",
    "disclosure_until",
    "disputed_since",
    "explanation",
    "notices",
    "publicity_earliest_stop",
    "publicity_from",
    "publicity_grounds",
    "publicity_latest_stop",
    "publicity_until",
    "repair_eligible_from",
    "rule_version",
    "severity",
    "source_name",
    "source_uscc",
    "state",
    "state_basis",
    "state_from",
    "state_reason",
)
"""Columns of a record that are not the agency's statement but follow from it in law."""


def standing_of(values: Mapping[str, Any]) -> bytes:
    """Canonical JSON (RFC 8785) of a record's standing; ``values`` maps the names of ``STANDING``."""
    return canonical_json({name: _text(values[name]) for name in STANDING})


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, date):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def version_fields(content: bytes, standing: bytes) -> openings.Fields:
    """The fields that a version's commitment covers: what the agency stated, then what followed from it in law."""
    return openings.fields_of(content) + openings.remembered_fields_of(standing)


def commitment(salt: bytes, content: bytes, standing: bytes) -> bytes:
    """The salted commitment to a version, field by field."""
    return openings.commit(salt, version_fields(content, standing))


class Action(StrEnum):
    """What can happen to a record after it was stored. Corrections and proof of notice are judged anew by the rules."""

    REPAIR = "repair"  # 修复
    REVOKE_REPAIR = "revoke-repair"  # 撤销修复
    ANNUL = "annul"  # 撤销
    WITHDRAW = "withdraw"  # 撤回
    REMOVE = "remove"  # 移出名单
    SHIELD = "shield"  # 临时屏蔽
    UNSHIELD = "unshield"  # 解除屏蔽
    ARCHIVE = "archive"  # 归档


@dataclass(frozen=True, slots=True)
class Transition:
    """From which states an action leads to which, and whether it holds back to the record's beginning in law.

    ``to`` is empty where the record returns to what its rule says. An annulled or withdrawn record was never lawfully
    there: asked ``as_of`` any day, the registry now answers without it.
    """

    sources: frozenset[State]
    to: State | None
    retroactive: bool = False


_STANDING = frozenset({State.AWAITING_NOTICE, State.PUBLISHED, State.WITHHELD})

TRANSITIONS: dict[Action, Transition] = {
    Action.REPAIR: Transition(_STANDING | {State.SHIELDED}, State.REPAIRED),
    Action.REVOKE_REPAIR: Transition(frozenset({State.REPAIRED}), State.PUBLISHED),
    Action.ANNUL: Transition(_STANDING | {State.SHIELDED, State.REPAIRED, State.REMOVED}, State.ANNULLED, True),
    Action.WITHDRAW: Transition(_STANDING | {State.SHIELDED}, State.WITHDRAWN, True),
    Action.REMOVE: Transition(_STANDING | {State.SHIELDED}, State.REMOVED),
    Action.SHIELD: Transition(frozenset({State.PUBLISHED, State.WITHHELD}), State.SHIELDED),
    Action.UNSHIELD: Transition(frozenset({State.SHIELDED}), None),
    Action.ARCHIVE: Transition(frozenset(State) - {State.ARCHIVED, State.SHIELDED}, State.ARCHIVED),
}


def check_transition(action: Action, state: str) -> Transition:
    """The transition that ``action`` makes. Raises ``ILLEGAL_TRANSITION`` with the state and the ones it needs."""
    transition = TRANSITIONS[action]
    if state not in transition.sources:
        needed = ", ".join(sorted(transition.sources))
        raise Problem(
            ILLEGAL_TRANSITION, errors=[FieldError("", f"{action.value} needs {needed}")], extra={"state": state}
        )
    return transition
