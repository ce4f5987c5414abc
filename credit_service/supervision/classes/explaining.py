"""An evaluation put into words: facts, rules, what each added, and what would change the result."""

from __future__ import annotations

from datetime import datetime

from credit_service.catalogue.models import Catalogue
from credit_service.supervision.classes import contract, rules
from credit_service.supervision.classes.models import RuleSetRow
from credit_service.supervision.classes.rules import Facts, RecordFact, RuleSet


def explain(
    facts: Facts,
    rule_set: RuleSet,
    row: RuleSetRow,
    catalogue: Catalogue,
    at: datetime,
    known_at: datetime | None,
) -> contract.Explanation:
    """The explanation of what ``rules.evaluate`` gives at an instant."""
    found = rules.evaluate(facts, rule_set, at)
    counted = [record for record in facts.records if rules.bar(record, at) is None]
    left_out = [(record, reason) for record in facts.records if (reason := rules.bar(record, at)) is not None]
    return contract.Explanation(
        uscc=facts.uscc,
        risk_class=found.risk_class,
        points=found.points,
        evaluated_at=at,
        known_at=known_at,
        rule_set=contract.RuleSetUsed(
            id=row.id,
            name=row.name,
            edition=row.edition,
            division=row.division,
            status=rule_set.status,
            title_zh=rule_set.title_zh,
            digest=row.digest,
        ),
        catalogue=catalogue.edition,
        facts=contract.EntityFacts(
            **{name: getattr(facts, name) for name in contract.EntityFacts.model_fields},
        ),
        contributions=[
            contract.ContributionRead(
                rule=each.rule.id,
                label_zh=each.rule.label_zh,
                label_en=each.rule.label_en,
                points=each.points,
                at_least_class=each.rule.at_least_class if each.rule.at_least_class > "A" else None,
                records=[record.id for record in each.records],
            )
            for each in found.contributions
        ],
        counted=[contract.RecordUsed(**_record(record, catalogue)) for record in counted],
        left_out=[contract.RecordLeftOut(**_record(record, catalogue), reason=reason) for record, reason in left_out],
        outlook=_outlook(facts, rule_set, at),
    )


def _record(record: RecordFact, catalogue: Catalogue) -> dict[str, object]:
    item = catalogue.find(record.item_code)
    return {
        "id": record.id,
        "item_code": record.item_code,
        "item_name_zh": item.name_zh if item is not None else record.item_code,
        "severity": record.severity,
        "decided_on": record.decided_on,
        "counts_until": min(rules.ends(record), default=None),
    }


def _outlook(facts: Facts, rule_set: RuleSet, at: datetime) -> contract.OutlookRead:
    found = rules.outlook(facts, rule_set, at)
    return contract.OutlookRead(
        without=[
            contract.Without(record_id=record.id, risk_class=each.risk_class, points=each.points)
            for record, each in found.without
        ],
        together=[record.id for record in found.together],
        together_class=found.together_class,
        better_at=_by_time(found.better_at),
        next_at=_by_time(found.next_at),
    )


def _by_time(change: tuple[datetime, str] | None) -> contract.ByTime | None:
    return contract.ByTime(at=change[0], risk_class=change[1]) if change is not None else None
