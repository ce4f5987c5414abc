"""Values as people type them: dates, amounts in 万元, lists. Each function is pure and remembers what it has seen."""

from __future__ import annotations

import re
import unicodedata
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

EMPTY = frozenset({"", "-", "--", "—", "——", "/", "\\", "无", "NULL", "null", "None", "N/A", "n/a"})
_DATE = re.compile(
    r"(?P<y>\d{4})\s*[-/.年]\s*(?P<m>\d{1,2})\s*[-/.月]\s*(?P<d>\d{1,2})\s*[日号]?(?:[T\s]+[\d:.]+(?:Z|[+-]\d\d:?\d\d)?)?"
)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
_SERIAL = re.compile(r"[1-9]\d{4}(?:\.\d+)?")
_SERIAL_START = date(1899, 12, 30)
_AMOUNT = re.compile(r"\d{1,12}(?:\.\d{1,9})?")
_YUAN = Decimal(1)
_YUAN_OF_WAN = Decimal(10_000)
_CENT = Decimal("0.01")
_SEPARATORS = re.compile(r"[、,，;；|\n\r]+")


_SPOILED = re.compile(r"#(?:N/A|[A-Z0-9/]+[!?]|#+)|\d(?:\.\d+)?E\+\d+")
SPOILED = "a value and not an error or a shortened number of the spreadsheet"


class ValueRefused(Exception):
    """A value breaks the rule named by the message."""


@lru_cache(maxsize=20_000)
def parse_date(text: str) -> date | None:
    """2026-05-06, 2026/5/6, 2026.5.6, 20260506, 2026年5月6日, with or without a time, or an Excel serial number.

    Empty forms give ``None``. Raises ``ValueRefused``.
    """
    folded = unicodedata.normalize("NFKC", text).strip()
    if folded in EMPTY or folded == "长期":
        return None
    try:
        match = _DATE.fullmatch(folded)
        if match:
            return date(int(match["y"]), int(match["m"]), int(match["d"]))
        match = _COMPACT.fullmatch(folded)
        if match:
            return date(*(int(part) for part in match.groups()))
        if _SERIAL.fullmatch(folded):
            return _SERIAL_START + timedelta(days=int(float(folded)))
    except (ValueError, OverflowError) as error:
        raise ValueRefused("date that exists") from error
    raise ValueRefused("date such as 2026-05-06")


@lru_cache(maxsize=20_000)
def parse_ten_thousand_yuan(text: str) -> str | None:
    """An amount in 万元 (six decimals) as yuan with two. Thousands separators and the unit's own name are accepted; one
    that says of itself that it is in 元 is.

    Empty forms give ``None``. Raises ``ValueRefused``.
    """
    folded = unicodedata.normalize("NFKC", text).replace(",", "").replace("￥", "").replace("¥", "").strip()
    unit = _YUAN if folded.endswith("元") and not folded.removesuffix("元").rstrip().endswith("万") else _YUAN_OF_WAN
    folded = folded.removesuffix("元").strip().removesuffix("万").strip()
    if folded in EMPTY:
        return None
    try:
        if not _AMOUNT.fullmatch(folded):
            folded = f"{Decimal(folded):f}"  # spreadsheets write small amounts as 1E-4
        if not _AMOUNT.fullmatch(folded):
            raise ValueRefused("amount in 万元, not negative")
        yuan = Decimal(folded) * unit
        exact = yuan.quantize(_CENT)
    except InvalidOperation as error:
        raise ValueRefused("amount in 万元") from error
    if exact != yuan:
        raise ValueRefused("amount in 万元, at most six decimals, or to the cent in 元")
    return f"{exact:f}"


def is_spoiled(text: str) -> bool:
    """Whether a text is what a spreadsheet shows instead of one: #N/A, #REF!, ########, or a number as 2.02604E+11."""
    return ("E+" in text or text.startswith("#")) and _SPOILED.fullmatch(text) is not None


@lru_cache(maxsize=5_000)
def parse_list(text: str) -> tuple[str, ...]:
    """Several values in one cell, separated by 、 comma, semicolon, bar or line break."""
    parts = (part.strip() for part in _SEPARATORS.split(unicodedata.normalize("NFKC", text)))
    return tuple(dict.fromkeys(part for part in parts if part not in EMPTY))


def typed(kind: str, text: str) -> Any:
    """The value of a column of this type. Raises ``ValueRefused``."""
    if kind == "date":
        day = parse_date(text)
        return day.isoformat() if day else None
    if kind == "list":
        return list(parse_list(text))
    return parse_ten_thousand_yuan(text)
