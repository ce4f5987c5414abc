"""Administrative divisions 行政区划 (GB/T 2260), provinces to counties."""

from __future__ import annotations

import csv
from functools import cache

from credit_service.platform.resources import schemas_dir


@cache
def _table() -> dict[str, str]:
    with (schemas_dir() / "codes" / "division.csv").open(encoding="utf-8", newline="") as file:
        return {row["code"]: row["name"] for row in csv.DictReader(file)}


def codes() -> tuple[str, ...]:
    """Every code of the table, in order."""
    return tuple(_table())


def is_known(code: str) -> bool:
    """Whether the code is in the present table; codes issued in divisions abolished since are not."""
    return code in _table()


def name_of(code: str) -> str | None:
    """The division's own name, ``渝中区`` for ``500103``."""
    return _table().get(code)


def full_name_of(code: str) -> str | None:
    """The name with those of the divisions above, ``重庆市渝中区`` for ``500103``."""
    if code not in _table():
        return None
    levels = dict.fromkeys((code[:2] + "0000", code[:4] + "00", code))
    return "".join(_table()[level] for level in levels if level in _table())


def within(code: str, prefix: str) -> bool:
    """Whether the division lies in the one that ``prefix`` (2 to 6 digits, trailing zero pairs ignored) stands for."""
    return code.startswith(significant(prefix))


def significant(code: str) -> str:
    """A code without its trailing zero pairs: ``500000`` is all of ``50``."""
    while len(code) > 2 and len(code) % 2 == 0 and code.endswith("00"):
        code = code[:-2]
    return code
