"""Names of entities: when two spellings are the same name."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from credit_service.platform.errors import ProblemType

ENTITY_CONFLICT = ProblemType("entity-conflict", 409, "主体信息冲突", "The entity's data conflict")


def comparable_name(name: str) -> str:
    """A name reduced to what tells entities apart: width, brackets' form, spaces and letter case do not."""
    folded = unicodedata.normalize("NFKC", name)
    return "".join(folded.split()).casefold()


def is_known_as(name: str, known: Iterable[str]) -> bool:
    """Whether ``name`` is one of the present or former names, however it is typed."""
    wanted = comparable_name(name)
    return any(comparable_name(other) == wanted for other in known)
