"""Codes with a structure of their own that a field can ask for by name. Pure: text in, the broken rule out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from credit_service.identity import divisions
from credit_service.identity.uscc import Uscc, normalise
from credit_service.platform.errors import Problem


class FormatBroken(Exception):
    """A code breaks the rule that the message names; the message never repeats the code."""


@dataclass(frozen=True, slots=True)
class Format:
    """A named format: how its text is normalised (raising ``FormatBroken``), and a pattern that it implies."""

    normalise: Callable[[str], str]
    pattern: str


_COMMITMENT = re.compile(r"(\d{6})(\d{4})(\d{2})(\d{2})(\d{6})", re.ASCII)


def _commitment_code(text: str) -> str:
    """承诺编码: division of the place of acceptance (6), day (8), serial number (6); 32010020230217000011."""
    code = normalise(text)
    match = _COMMITMENT.fullmatch(code)
    if match is None:
        raise FormatBroken("commitment code: 20 digits, division 6, yyyymmdd 8, serial number 6")
    division, year, month, day, _ = match.groups()
    # Divisions below the province change, and codes issued before keep theirs.
    if not divisions.is_known(division[:2] + "0000"):
        raise FormatBroken("commitment code: positions 1-6 are a division (GB/T 2260)")
    try:
        date(int(year), int(month), int(day))
    except ValueError as error:
        raise FormatBroken("commitment code: positions 7-14 are a day") from error
    return code


def _uscc(text: str) -> str:
    try:
        return Uscc.parse(text).value
    except Problem as problem:
        raise FormatBroken(problem.errors[0].rule) from problem


FORMATS: Mapping[str, Format] = {
    "commitment-code": Format(_commitment_code, r"^\d{20}$"),
    "uscc": Format(_uscc, r"^[0-9A-HJ-NP-RT-UW-Y]{18}$"),
}
