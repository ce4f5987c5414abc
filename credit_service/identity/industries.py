"""Industries 国民经济行业 (GB/T 4754-2017): sections A to T and divisions 01 to 97; finer digits are taken as given."""

from __future__ import annotations

import csv
import re
from functools import cache
from typing import NamedTuple

from credit_service.platform.resources import schemas_dir

_SHAPE = re.compile(r"([A-T]?)(\d{2,4})|([A-T])")


class Industry(NamedTuple):
    """A section or division of the classification."""

    code: str
    name_zh: str
    name_en: str


@cache
def _table() -> dict[str, Industry]:
    with (schemas_dir() / "codes" / "industry.csv").open(encoding="utf-8", newline="") as file:
        return {row["code"]: Industry(**row) for row in csv.DictReader(file)}


@cache
def _sections() -> dict[str, str]:
    return {code[1:]: code[0] for code in _table() if len(code) > 1}


def codes() -> tuple[str, ...]:
    """Sections and divisions, in order."""
    return tuple(_table())


def section_of(code: str) -> str | None:
    """The section letter of ``C``, ``13``, ``C13``, ``C1311`` or ``1311``; ``None`` when it is no industry code."""
    match = _SHAPE.fullmatch(code)
    if match is None:
        return None
    if match[3]:
        return match[3]
    section = _sections().get(match[2][:2])
    return section if section is not None and match[1] in ("", section) else None


def is_known(code: str) -> bool:
    """Whether the section exists, the division exists, and the two belong together."""
    return section_of(code) is not None


def industry_of(code: str) -> Industry | None:
    """The division (or section) that ``code`` lies in."""
    section = section_of(code)
    if section is None:
        return None
    digits = code.removeprefix(section)[:2]
    return _table()[section + digits]
