"""Check an item's own fields and split them by publication range. Compiled once an item: imports check every row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from credit_service.catalogue.formats import FORMATS, FormatBroken
from credit_service.catalogue.models import Field, Item
from credit_service.identity.hidden import holds_unprintable
from credit_service.identity.personal import holds_identity_number, scrub
from credit_service.platform.errors import FieldError, told

Facts = dict[str, Any]
Check = Callable[[Any], Any]

_CENT = Decimal("0.01")
_LARGEST_AMOUNT = Decimal(10) ** 16
_PLAIN_AMOUNT = re.compile(r"(?:0|[1-9]\d{0,15})\.\d\d", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)
_LONGEST_TEXT = 8000
_MOST_VALUES = 20
REPRESENTATIVE = "legal_representative"
_MOST_KNOWN = 5000
_LONGEST_KNOWN = 200
_PLACES = {"public": 0, "shared": 1, "restricted": 2, "never": 3}


class _Refused(Exception):
    """A value breaks the rule that the message names."""


class CheckedFacts(NamedTuple):
    """Normalised facts by publication range 社会公开 / 政务共享 / 授权查询, their faults, the names of those masked."""

    public: Facts
    shared: Facts
    restricted: Facts
    errors: list[FieldError]
    masked: tuple[str, ...] = ()


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
    return f"{abs(exact):f}"


def _day(value: Any) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    try:
        text = date.fromisoformat(value).isoformat()
    except (TypeError, ValueError) as error:
        raise _Refused("date YYYY-MM-DD") from error
    if text != value:
        raise _Refused("date YYYY-MM-DD")
    return text


def _text(limit: int) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise _Refused("text")
        text = value.strip()
        if len(text) > limit:
            raise _Refused(f"at most {limit} characters")
        if holds_unprintable(text):
            raise _Refused("no control characters")
        return text

    return check


def _formatted(name: str) -> Check:
    found = FORMATS[name]

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise _Refused("text")
        try:
            return found.normalise(value)
        except FormatBroken as broken:
            raise _Refused(str(broken)) from broken

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
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Refused("whole number")
    return value


def _check_of(field: Field) -> Check:
    limit = field.max_length or _LONGEST_TEXT
    if field.format is not None:
        return _formatted(field.format)
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


def _policy_of(field: Field, *, names_representative: bool) -> Check | None:
    """What happens to personal information in the field; ``None`` where its type leaves no room for any."""
    if field.format is not None or field.type not in ("string", "text", "list"):
        return None

    def refuse(text: str) -> str:
        found = scrub(text, names_representative=names_representative).found
        if found:
            raise _Refused("personal information: " + "、".join(found))
        return text

    def identifier(text: str) -> str:
        # A number of the field's own (税务登记号) may be made of its owner's identity number; then it is not kept.
        if not holds_identity_number(text):
            return text
        if field.required:
            raise _Refused("personal information: identity-number")
        return ""

    mask = _masker(names_representative)
    return {"mask": mask, "refuse": refuse, "identifier": identifier}[field.personal_information]


@cache
def _masker(names_representative: bool) -> Check:
    """Masks texts; short ones in which nothing was found are remembered, as files repeat them row after row."""
    clean: set[str] = set()

    def mask(text: str) -> str:
        if text in clean:
            return text
        kept = scrub(text, names_representative=names_representative).text
        if kept == text and len(text) <= _LONGEST_KNOWN:
            if len(clean) >= _MOST_KNOWN:
                clean.clear()
            clean.add(text)
        return kept

    return mask


class FactsChecker:
    """The compiled checks of one item; call it with the facts of a record."""

    __slots__ = ("_checks", "_names")

    def __init__(self, item: Item) -> None:
        named = any(f.name == REPRESENTATIVE and f.publication == "public" for f in item.fields)
        self._checks = [
            (
                f.name,
                _check_of(f),
                _PLACES[f.publication],
                f.required,
                f.required_if or {},
                _policy_of(f, names_representative=named),
            )
            for f in item.fields
        ]
        self._names = item.field_names

    def __call__(self, facts: Mapping[str, Any]) -> CheckedFacts:
        """Every fault at once; a value that is missing, ``None`` or empty counts as absent."""
        split: tuple[Facts, Facts, Facts, Facts] = ({}, {}, {}, {})
        errors: list[FieldError] = []
        masked: tuple[str, ...] = ()
        for name, check, place, required, required_if, policy in self._checks:
            value = facts.get(name)
            if value is not None and value != "":
                try:
                    checked = check(value)
                    if policy is not None:
                        stated = checked
                        checked = policy(stated) if isinstance(stated, str) else [policy(part) for part in stated]
                        if checked != stated:
                            masked += (name,)
                except _Refused as refused:
                    errors.append(FieldError(f"/facts/{name}", str(refused)))
                    continue
                if checked or checked == 0:
                    split[place][name] = checked
                    continue
            if required:
                errors.append(FieldError(f"/facts/{name}", "required"))
            elif required_if and _demanded(required_if, facts):
                errors.append(FieldError(f"/facts/{name}", "required for these facts"))
        if not facts.keys() <= self._names:
            errors += _unknown(facts.keys() - self._names)
        return CheckedFacts(split[0], split[1], split[2], errors, masked)


def _unknown(names: set[str]) -> list[FieldError]:
    """Refusals of facts the item does not have, by name."""
    return [FieldError(f"/facts/{told(name)}", "not a field of the item") for name in sorted(names)]


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
