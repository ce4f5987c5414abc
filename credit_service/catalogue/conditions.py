"""Whether the facts of a record meet a condition of the catalogue, and which of them did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from credit_service.catalogue.models import Item
from credit_service.catalogue.rule_models import Condition


def met_by(condition: Condition, item: Item, facts: Mapping[str, Any]) -> str | None:
    """The facts that met every part of a condition, in words; ``None`` when one part is not met."""
    met = []
    for name, found in _parts(condition, item, facts):
        if not found:
            return None
        met.append(f"{name}={'、'.join(sorted(found))}")
    return "; ".join(met) or "otherwise"


def values_of(facts: Mapping[str, Any], name: str) -> frozenset[str]:
    """The values of a fact, none where it is absent."""
    value = facts.get(name)
    if value is None:
        return frozenset()
    return frozenset(value) if isinstance(value, list | tuple) else frozenset({str(value)})


def _parts(condition: Condition, item: Item, facts: Mapping[str, Any]) -> Iterator[tuple[str, frozenset[str]]]:
    """Each part of a condition with the values that met it (none: not met)."""
    for name, allowed in condition.only.items():
        yield name, _subset(values_of(facts, name), allowed)
    for name, allowed in condition.any_of.items():
        yield name, values_of(facts, name) & allowed
    for name, words in condition.mentions.items():
        texts = values_of(facts, name)
        yield name, frozenset(word for word in words if any(word in text for text in texts))
    for name, threshold in condition.at_least.items():
        yield name, _reaches(facts, name, threshold)
    for name, allowed in condition.item.items():
        yield name, allowed & {str(getattr(item, name))}


def _subset(values: frozenset[str], allowed: frozenset[str]) -> frozenset[str]:
    return values if values <= allowed else frozenset()


def _reaches(facts: Mapping[str, Any], name: str, threshold: Decimal | None) -> frozenset[str]:
    if threshold is None or facts.get(name) is None:
        return frozenset()
    try:
        enough = Decimal(str(facts[name])) >= threshold
    except InvalidOperation:
        return frozenset()
    return frozenset({f"{facts[name]} >= {threshold}"}) if enough else frozenset()
