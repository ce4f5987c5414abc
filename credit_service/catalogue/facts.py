"""Check an item's own fields and split them by publication range. Compiled once an item: imports check every row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any
from weakref import WeakKeyDictionary

from credit_service.catalogue.models import Field, Item
from credit_service.platform.errors import FieldError

Facts = dict[str, Any]
Check = Callable[[Any], Any]

_CENT = Decimal("0.01")
_LARGEST_AMOUNT = Decimal(10) ** 16
_PLAIN_AMOUNT = re.compile(r"\d{1,16}\.\d\d")
_LONGEST_TEXT = 8000
_MOST_VALUES = 20


class _Refused(Exception):  # noqa: N818 - carries the name of a rule
    """A value breaks the rule named by the message."""


@dataclass(frozen=True, slots=True)
class CheckedFacts:
    """Normalised facts by publication range 社会公开 / 政务共享 / 授权查询, or what is wrong with them."""

    public: Facts
    shared: Facts
    restricted: Facts
    errors: list[FieldError]


def amount(value: Any) -> str:
    """Yuan as text with two decimals. Raises ``_Refused``."""
    if isinstance(value, str) and _PLAIN_AMOUNT.fullmatch(value):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise _Refused("amount in yuan")
    try:
        number = Decimal(str(value))
        exact = number.quantize(_CENT)
    except InvalidOperation as error:
        raise _Refused("amount in yuan") from error
    if not number.is_finite() or number < 0 or number >= _LARGEST_AMOUNT:
        raise _Refused("amount in yuan, not negative")
    if exact != number:
        raise _Refused("amount in yuan, at most two decimals")
    return f"{exact:f}"


def _day(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    try:
        return date.fromisoformat(value).isoformat()
    except (TypeError, ValueError) as error:
        raise _Refused("date YYYY-MM-DD") from error


def _text(limit: int) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise _Refused("text")
        text = value.strip()
        if len(text) > limit:
            raise _Refused(f"at most {limit} characters")
        if "\x00" in text:
            raise _Refused("no control characters")
        return text

    return check


def _one_of(values: tuple[str, ...]) -> Check:
    allowed = frozenset(values)

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise _Refused("one of " + "、".join(values))
        return value

    return check


def _list(values: tuple[str, ...], limit: int) -> Check:
    allowed = frozenset(values)
    text = _text(limit)

    def check(value: Any) -> list[str]:
        if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
            raise _Refused("list of texts")
        if len(value) > _MOST_VALUES:
            raise _Refused(f"at most {_MOST_VALUES} values")
        parts = list(dict.fromkeys(text(part) for part in value if part.strip()))
        # 其他 names its own type: 其他-通报 (行政处罚法 art. 9 (6)).
        if allowed and not all(part in allowed or part.startswith("其他-") for part in parts):
            raise _Refused("one of " + "、".join(values))
        return parts

    return check


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Refused("whole number")
    return value


def _check_of(field: Field) -> Check:
    limit = field.max_length or _LONGEST_TEXT
    match field.type:
        case "money":
            return amount
        case "date":
            return _day
        case "integer":
            return _integer
        case "enum":
            return _one_of(field.values)
        case "list":
            return _list(field.values, limit)
        case _:
            return _text(limit)


class FactsChecker:
    """The compiled checks of one item."""

    __slots__ = ("_checks", "_conditional", "_names", "_required")

    def __init__(self, item: Item) -> None:
        index = {"public": 0, "shared": 1, "restricted": 2}
        self._checks = [(f.name, _check_of(f), index[f.publication]) for f in item.fields]
        self._required = [f.name for f in item.fields if f.required]
        self._conditional = [(f.name, f.required_if) for f in item.fields if f.required_if]
        self._names = item.field_names

    def __call__(self, facts: Mapping[str, Any]) -> CheckedFacts:
        """Every fault at once; a value that is missing, ``None`` or empty counts as absent."""
        split: tuple[Facts, Facts, Facts] = ({}, {}, {})
        errors: list[FieldError] = []
        for name, check, place in self._checks:
            value = facts.get(name)
            if value is None or value in ("", []):
                continue
            try:
                split[place][name] = check(value)
            except _Refused as refused:
                errors.append(FieldError(f"/facts/{name}", str(refused)))
        present = split[0].keys() | split[1].keys() | split[2].keys() | {e.pointer[7:] for e in errors}
        for name in self._required:
            if name not in present:
                errors.append(FieldError(f"/facts/{name}", "required"))
        for name, conditions in self._conditional:
            if name not in present and _demanded(conditions or {}, facts):
                errors.append(FieldError(f"/facts/{name}", "required for these facts"))
        if not facts.keys() <= self._names:
            errors += [FieldError(f"/facts/{name}", "not a field of the item") for name in sorted(facts.keys() - self._names)]
        return CheckedFacts(*split, errors)


def _demanded(conditions: Mapping[str, tuple[str, ...]], facts: Mapping[str, Any]) -> bool:
    """Whether every named fact holds one of its listed values."""
    for name, values in conditions.items():
        value = facts.get(name)
        held = value if isinstance(value, list | tuple) else (value,)
        if not any(part in values for part in held):
            return False
    return True


_compiled: WeakKeyDictionary[Item, FactsChecker] = WeakKeyDictionary()


def checker_of(item: Item) -> FactsChecker:
    """The item's compiled checks."""
    checker = _compiled.get(item)
    if checker is None:
        checker = _compiled[item] = FactsChecker(item)
    return checker
