"""Rows about natural persons: recognised, counted, and never kept."""

from __future__ import annotations

import re
from collections.abc import Mapping

from credit_service.identity import batch
from credit_service.identity.uscc import is_resident_identity_number, normalise

_PERSON_MARKS = ("person:certificate_number", "person:certificate_type", "person:sex", "person:age")
_MASKED_NUMBER = re.compile(r"[1-8]\d{2,9}[*＊xX×]{4,}\d{0,3}[\dXx]?")


def is_natural_person(row: Mapping[str, str], verdict: int) -> bool:
    """By its category, a column only persons fill, or an identity number, masked or not, where the code should be."""
    if verdict == batch.NATURAL_PERSON or row.get("person:category", "").startswith("自然人"):
        return True
    if any(row.get(mark) for mark in _PERSON_MARKS):
        return True
    if verdict and _MASKED_NUMBER.fullmatch(row.get("core:uscc", "").strip()):
        return True
    name = row.get("core:entity_name", "")
    return name[:1].isdigit() and is_resident_identity_number(normalise(name))
