"""Which measures follow from an entity's records, for how long, and which wait: pure, over the catalogue.

Only what stands counts. A record that was repaired, annulled, withdrawn, removed from its list, shielded or archived
has no consequence from that instant on (Order 36 art. 3: measures are lifted with the repair); nothing has to run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from credit_service.catalogue.conditions import met_by
from credit_service.catalogue.measures import measures_in_force
from credit_service.catalogue.models import Catalogue, Item, Measure, Trigger
from credit_service.catalogue.rule_models import ObjectionRule
from credit_service.catalogue.rules import OPEN_ENDED_YEAR, add_period, rule_for
from credit_service.platform.days import day_of, start_of
from credit_service.platform.errors import FieldError, ProblemType
from credit_service.records.bulk import StandingRecord, spellings
from credit_service.records.models import State

SCENARIO_UNKNOWN = ProblemType("scenario-unknown", 422, "目录中没有该应用场景", "The catalogue has no such scenario")
MEASURE_REFUSED = ProblemType(
    "measure-refused", 422, "该措施对该主体没有依据", "The measure has no ground in what stands against the entity"
)


class Outcome(StrEnum):
    """What the law asks of whoever decides. A measure that is optional is for the implementer to weigh."""

    REQUIRED = "required"  # 应当采取
    OPTIONAL = "optional"  # 可以采取
    NONE = "none"  # 无


class ApplicationState(StrEnum):
    """Where an application of a measure stands: it follows from its record and from time, and is stored nowhere."""

    APPLIED = "applied"  # 实施中
    PAUSED = "paused"  # 异议期间暂停
    SUSPENDED = "suspended"  # 临时屏蔽期间停止
    LIFTED = "lifted"  # 已解除


@dataclass(frozen=True, slots=True)
class Consequence:
    """A measure that one record leads to. ``until`` is the first day on which it no longer does, if that is known.

    Not ``established``: the facts only point to the measure's target, and the implementer finds whether it is met.
    ``paused``: the record is disputed, and its objection rule makes measures wait.
    """

    measure: Measure
    record: StandingRecord
    established: bool
    fact: str
    until: date | None
    paused: bool

    @property
    def outcome(self) -> Outcome:
        if self.paused:
            return Outcome.NONE
        sure = self.measure.effect == "required" and self.established
        return Outcome.REQUIRED if sure else Outcome.OPTIONAL


def ends(measure: Measure, record: StandingRecord) -> datetime | None:
    """The instant from which a standing record no longer carries a measure; ``None``: as long as it stands.

    A term of the measure's own statute runs from the decision, however long the record is shown. Any other measure ends
    with the record's publicity and, in a list, with the listing. Nothing outlives the disclosure limit.
    """
    found = [record.disclosure_until]
    if measure.maximum_term is not None:
        found.append(start_of(add_period(record.decided_on, measure.maximum_term)))
    else:
        found.append(record.publicity_until)
        if record.valid_until is not None and record.valid_until.year < OPEN_ENDED_YEAR:
            found.append(start_of(record.valid_until + timedelta(days=1)))
    return min((instant for instant in found if instant is not None), default=None)


def carries(measure: Measure, record: StandingRecord, now: datetime) -> bool:
    """Whether a record carries a measure it leads to, at this instant."""
    if record.state == State.PUBLISHED:
        shown = record.publicity_from is not None and record.publicity_from <= now
    else:
        shown = record.state == State.WITHHELD and measure.maximum_term is not None
    end = ends(measure, record)
    return shown and (end is None or now < end)


def check_term(measure: Measure, record: StandingRecord, begins_on: date, ends_on: date | None) -> list[FieldError]:
    """Whether days lie within the measure's term, which runs from the decision. ``ends_on`` is the first day after."""
    if begins_on < record.decided_on:
        return [FieldError("/begins_on", "not before the decision")]
    if ends_on is not None and ends_on <= begins_on:
        return [FieldError("/ends_on", "after begins_on")]
    if measure.maximum_term is None:
        return []
    latest = add_period(record.decided_on, measure.maximum_term)
    if ends_on is None or ends_on > latest:
        return [FieldError("/ends_on", f"within {measure.maximum_term} of the decision: {latest}")]
    if measure.minimum_term is not None and ends_on < add_period(record.decided_on, measure.minimum_term):
        return [FieldError("/ends_on", f"not before {measure.minimum_term} from the decision")]
    return []


def default_end(measure: Measure, record: StandingRecord) -> date | None:
    """The end of a term of which the statute leaves no choice (``minimum_term`` is ``maximum_term``)."""
    if measure.maximum_term is None or measure.minimum_term != measure.maximum_term:
        return None
    return add_period(record.decided_on, measure.maximum_term)


def rule_pauses(catalogue: Catalogue, item: Item, on: date) -> bool:
    """Whether measures that rest on a disputed record of ``item`` wait, as the objection rule of the day says."""
    rule = rule_for(catalogue, "objection", item.objection_rule, on, on)
    return isinstance(rule, ObjectionRule) and rule.pauses_measures


class MeasureIndex:
    """The measures of one day and scenario by the items whose records lead to them: made once for many records."""

    def __init__(self, catalogue: Catalogue, now: datetime, scenario: str | None) -> None:
        self._catalogue, self._now, self._on = catalogue, now, day_of(now)
        self.by_item: dict[str, list[tuple[Measure, list[Trigger]]]] = {}
        for measure in measures_in_force(catalogue, self._on, scenario):
            for item in catalogue.latest_items():
                triggers = [trigger for trigger in measure.triggers if _names(trigger, item)]
                if triggers:
                    self.by_item.setdefault(item.code, []).append((measure, triggers))

    @property
    def items(self) -> frozenset[str]:
        """Codes of the items whose records can lead to a measure."""
        return frozenset(self.by_item)

    @property
    def items_with_facts(self) -> frozenset[str]:
        """Those of them whose records' facts decide."""
        return frozenset(code for code, found in self.by_item.items() if any(map(_reads, _triggers(found))))

    @property
    def only_with(self) -> tuple[frozenset[str], re.Pattern[str]] | None:
        """Items of which every trigger reads facts, and a pattern that any facts meeting one of them contain.

        For a query that leaves out records which cannot matter; ``consequences`` still decides.
        """
        decided = {code: _triggers(found) for code, found in self.by_item.items()}
        strict = {code: triggers for code, triggers in decided.items() if all(map(_reads, triggers))}
        if not strict:
            return None
        parts = {part for triggers in strict.values() for trigger in triggers for part in _contained(trigger)}
        return frozenset(strict), re.compile("|".join(sorted(parts)))

    def consequences(self, record: StandingRecord) -> list[Consequence]:
        """Every measure that a record carries at the index's instant."""
        measures = self.by_item.get(record.item_code, ())
        item, facts = self._catalogue.latest(record.item_code), record.facts
        found = []
        for measure, triggers in measures:
            met = [(t.established, fact) for t in triggers if (fact := met_by(t, item, facts))]
            if met and carries(measure, record, self._now):
                established, fact = max(met, key=lambda pair: pair[0])
                end = ends(measure, record)
                until = day_of(end) if end is not None else None
                paused = record.disputed_since is not None and rule_pauses(self._catalogue, item, self._on)
                found.append(Consequence(measure, record, established, fact, until, paused))
        return found


def _triggers(found: Iterable[tuple[Measure, list[Trigger]]]) -> list[Trigger]:
    return [trigger for _, triggers in found for trigger in triggers]


def _reads(trigger: Trigger) -> bool:
    return bool(trigger.only or trigger.any_of or trigger.mentions or trigger.at_least)


def _contained(trigger: Trigger) -> Iterator[str]:
    """Regular expressions of which the JSON text of facts that meet a trigger contains at least one.

    A word stands in it as itself or with its characters escaped, an amount with as many digits as the threshold.
    """
    for allowed in (trigger.only, trigger.any_of, trigger.mentions):
        for words in allowed.values():
            yield from (text for word in words for text in spellings(word))
            return
    for name, threshold in trigger.at_least.items():
        if threshold is not None:
            yield rf'"{re.escape(name)}"\s*:\s*"?\d{{{len(str(int(threshold)))},}}'
        return


def _names(trigger: Trigger, item: Item) -> bool:
    return all(str(getattr(item, name)) in allowed for name, allowed in trigger.item.items())


def outcome(consequences: Iterable[Consequence], direction: str) -> Outcome:
    """The strongest answer among the measures of one direction, punishment or incentive."""
    found = {each.outcome for each in consequences if each.measure.direction == direction}
    return next((each for each in (Outcome.REQUIRED, Outcome.OPTIONAL) if each in found), Outcome.NONE)


def legal_view(catalogue: Catalogue, measure: Measure) -> Mapping[str, object]:
    """A measure with its law, for an answer: every citation with how well it was verified."""
    return {
        "name_zh": measure.name_zh,
        "name_en": measure.name_en,
        "kind": measure.kind,
        "direction": measure.direction,
        "effect": measure.effect,
        "effect_status": measure.effect_status,
        "implementer": measure.implementer,
        "target": measure.target,
        "minimum_term": measure.minimum_term,
        "maximum_term": measure.maximum_term,
        "status": measure.status,
        "legal_basis": [
            {
                "document": basis.document,
                "title_zh": catalogue.documents[basis.document].title_zh,
                "number": catalogue.documents[basis.document].number,
                "article": basis.article,
                "status": basis.status,
            }
            for basis in measure.legal_basis
        ],
    }
