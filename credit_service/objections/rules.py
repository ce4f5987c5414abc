"""Which grounds, time-limits and consequences an objection has (国办发〔2025〕22号 八; local regulations). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum

from credit_service.catalogue.models import Catalogue
from credit_service.catalogue.rule_models import DeadlineRule, ObjectionRule
from credit_service.catalogue.rules import item_in_force, rule_for
from credit_service.deadlines.rules import stage_rules
from credit_service.platform.errors import ProblemType
from credit_service.records.standing import Action

GROUND_UNKNOWN = ProblemType(
    "objection-ground-unknown", 422, "不属于可提出异议的事由", "The rule knows no objection on this ground"
)


class Ground(StrEnum):
    """异议事由."""

    CONTENT_WRONG = "content-wrong"  # 内容错误或者遗漏
    WRONG_SUBJECT = "wrong-subject"  # 主体错误
    PAST_ITS_TERM = "past-its-term"  # 超过公示期限
    WRONGLY_LISTED = "wrongly-listed"  # 错误列入
    NOT_REMOVED = "not-removed"  # 应移出未移出
    REPAIR_RESULT_WRONG = "repair-result-wrong"  # 修复结果错误
    OTHER = "other"  # 其他


_IS_A = {Ground.WRONG_SUBJECT: Ground.CONTENT_WRONG}
"""Grounds of ours that the rules name by a wider one."""

REMOVALS: Mapping[Ground, Action] = {
    Ground.CONTENT_WRONG: Action.ANNUL,
    Ground.WRONG_SUBJECT: Action.ANNUL,
    Ground.WRONGLY_LISTED: Action.ANNUL,
    Ground.PAST_ITS_TERM: Action.REMOVE,
    Ground.NOT_REMOVED: Action.REMOVE,
    Ground.REPAIR_RESULT_WRONG: Action.REPAIR,
    Ground.OTHER: Action.REMOVE,
}
"""What removal means: what should never have been is annulled; what should have ended ends; a repair that was wrongly
denied is made."""


def objection_rule(catalogue: Catalogue, item_code: str, decided_on: date, today: date) -> ObjectionRule:
    """The objection rule of a record; one whose item names none is objected to by the general rule."""
    item = item_in_force(catalogue, item_code, decided_on)
    rule = rule_for(catalogue, "objection", item.objection_rule or "default", decided_on, today)
    assert rule is not None
    return rule


def is_ground(rule: ObjectionRule, ground: Ground) -> bool:
    """Whether the rule knows the ground; one that lists none knows all."""
    return not rule.grounds or _IS_A.get(ground, ground).value in rule.grounds


_STAGES = {"accept": "flag", "verify": "own-decision", "decision": "own-decision"}
"""Stages under the names of lists with a procedure of their own."""


def limits(catalogue: Catalogue, rule: ObjectionRule, division: str, today: date) -> Mapping[str, DeadlineRule]:
    """The deadline rule of each stage, in the jurisdiction of a division.

    Where the mark comes with the acceptance (深圳 art. 50: at once), the acceptance has the national time-limit of the
    mark: no objection may wait unseen.
    """
    found = {_STAGES.get(stage, stage): each for stage, each in stage_rules(catalogue, rule, division, today).items()}
    if "flag" in found and found["flag"].starts == "accepted":
        found["flag"] = rule_for(catalogue, "deadline", "objection-flag", today, today) or found["flag"]
    return found


def review_term(catalogue: Catalogue, today: date) -> DeadlineRule:
    """How long a review may be asked for."""
    rule = rule_for(catalogue, "deadline", "objection-review-request", today, today)
    assert rule is not None
    return rule
