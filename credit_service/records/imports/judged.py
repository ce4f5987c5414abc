"""A block of rows: what its judgment depends on, and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from credit_service.platform.context import Actor


@dataclass(frozen=True)
class Context:
    """Everything the judgment of a row depends on besides the row."""

    actor: Actor
    source_uscc: str
    source_name: str
    source_level: str
    notice_attestation: str | None
    """The agency's word that every notice the law asks for was served, where it gave one with the file."""
    grants: tuple[tuple[str, str], ...]
    now: datetime
    admitted: frozenset[str]
    """Codes with a wrong check digit that a registrar has admitted."""


@dataclass
class Judged:
    """A block of rows, judged, as COPY text; ``waves`` counts how often one natural key stands in it."""

    rows: int = 0
    staged: bytes = b""
    assessments: bytes = b""
    staged_count: int = 0
    waves: int = 1
    refused: list[tuple[int, list[dict[str, str]]]] = field(default_factory=list)
    natural_persons: int = 0
