"""Which measures a record leads to on a day: pure functions over the catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from credit_service.catalogue.conditions import met_by
from credit_service.catalogue.models import Catalogue, Item, Measure


@dataclass(frozen=True, slots=True)
class TriggeredMeasure:
    """A measure that a record leads to. ``fact`` says what in the record does.

    Not ``established``: the record only points to the measure's target; the implementer finds whether it is met.
    """

    measure: Measure
    established: bool
    fact: str


def measures_in_force(catalogue: Catalogue, on: date, scenario: str | None = None) -> Iterator[Measure]:
    """The measures that may be taken on a day, by code; of one scenario, or of all."""
    for _, versions in sorted(catalogue.measures.items()):
        for measure in versions:
            if measure.in_force(on) and (scenario is None or scenario in measure.scenarios):
                yield measure


def measures_triggered(
    catalogue: Catalogue, item: Item, facts: Mapping[str, Any], on: date, scenario: str | None = None
) -> list[TriggeredMeasure]:
    """The measures of a day that a record of ``item`` leads to by its ``facts`` (public and shared together).

    Each is named once, by a trigger that establishes it where there is one. Whether the record still counts (published,
    not repaired, within the measure's term) is not asked here.
    """
    found = []
    for measure in measures_in_force(catalogue, on, scenario):
        met = [(trigger.established, fact) for trigger in measure.triggers if (fact := met_by(trigger, item, facts))]
        if met:
            established, fact = max(met, key=lambda pair: pair[0])
            found.append(TriggeredMeasure(measure, established, fact))
    return found
