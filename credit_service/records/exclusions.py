"""What one record of an entity rules out in another: pure functions over what the catalogue declares.

国办发〔2026〕8号: where the comprehensive public evaluation is D, no industry evaluation may be A. The newest record of
the excluding item decides, so a later C lifts what a D barred; a record whose own validity has passed bars nothing.
Time alone can therefore lift a bar, never raise one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from credit_service.catalogue.models import Catalogue, Exclusion, Item
from credit_service.platform.errors import FieldError


@dataclass(frozen=True, slots=True)
class Stated:
    """What matters of a standing record: its facts, when it was decided and until when it holds."""

    facts: Mapping[str, Any]
    decided_on: date
    valid_until: date | None


def holds(wanted: Mapping[str, tuple[str, ...]], facts: Mapping[str, Any]) -> bool:
    """Whether every named fact has one of its listed values."""
    return all(facts.get(name) in values for name, values in wanted.items())


def bars(exclusion: Exclusion, standing: Iterable[Stated], today: date) -> bool:
    """Whether an entity's standing records of the excluding item bar what the exclusion names."""
    newest = max((stated.decided_on for stated in standing), default=None)
    return any(
        stated.decided_on == newest
        and (stated.valid_until is None or today <= stated.valid_until)
        and holds(exclusion.when, stated.facts)
        for stated in standing
    )


def excluded_by(catalogue: Catalogue, item: Item) -> Iterator[tuple[str, Exclusion]]:
    """The codes of items that rule out something in ``item``, with what each rules out."""
    for code, versions in catalogue.items.items():
        for exclusion in versions[-1].excludes:
            if exclusion.item == item.code:
                yield code, exclusion


def refusal(exclusion: Exclusion, facts: Mapping[str, Any]) -> list[FieldError]:
    """The faults of facts that a standing record bars."""
    if not holds(exclusion.barred, facts):
        return []
    return [FieldError(f"/facts/{name}", exclusion.article) for name in exclusion.barred]
