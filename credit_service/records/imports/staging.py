"""A draft as a line of PostgreSQL's COPY text format, in the columns of the staging table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from operator import add
from typing import Any

import orjson
from uuid_utils import uuid7

from credit_service.audit import openings
from credit_service.audit.events import canonical_json
from credit_service.records import rules
from credit_service.records.rules import Assessment, Draft
from credit_service.records.standing import standing_of

STAGED = {
    "import_staging": (
        "row_number",
        "wave",
        "uscc",
        "record_id",
        "item_code",
        "entity_name",
        "document_number",
        "authority_uscc",
        "authority_name",
        "decided_on",
        "legal_basis",
        "public_facts",
        "shared_facts",
        "restricted_facts",
        "content_head",
        "event_id",
        "assessment",
        "valid_until",
        "warnings",
        "content_digest",
        "salt",
        "commitment",
    ),
    "import_assessment": (
        "assessment",
        "severity",
        "explanation",
        "rule_version",
        "state",
        "publicity_from",
        "publicity_until",
        "publicity_earliest_stop",
        "publicity_latest_stop",
        "repair_eligible_from",
        "disclosure_until",
        "notices",
        "standing",
    ),
}
"""Columns of the staging tables, in the order of their lines."""


def standing_text(draft: Draft, assessment: Assessment, now: datetime) -> bytes:
    """The standing of a record that is stored at ``now``; the same for every row with the same assessment."""
    values: dict[str, Any] = {name: getattr(assessment, name) for name in Assessment.__dataclass_fields__}
    values |= {"state_from": assessment.publicity_from or now, "state_reason": None, "state_basis": None}
    values["disputed_since"] = None
    for name in ("notices", "consent", "publicity_grounds", "source_uscc", "source_name"):
        values[name] = getattr(draft, name)
    return standing_of(values)


def staged_line(
    number: int,
    wave: int,
    draft: Draft,
    salt: bytes,
    standing: bytes,
    assessment: int,
    warnings: Sequence[str] = (),
) -> str:
    """A draft as a line of COPY text for the staging table; ``assessment`` is the number of its ``assessment_line``."""
    decided_on, ends = draft.decided_on.isoformat(), draft.valid_until.isoformat() if draft.valid_until else None
    facts = tuple(map(canonical_json, (draft.public_facts, draft.restricted_facts, draft.shared_facts)))
    values = (
        _remembered_json(draft.authority_name),
        _remembered_json(draft.authority_uscc),
        _remembered_json(decided_on),
        canonical_json(draft.document_number),
        canonical_json(draft.entity_name),
        _remembered_json(draft.item.code),
        _remembered_json(draft.legal_basis),
        *facts,
        canonical_json(draft.uscc),
        _remembered_json(ends),
    )
    head = _HEAD % values[:_FIRST_FACTS]
    digest = rules.content_digest(head + _REST % values[_FIRST_FACTS:])
    after = openings.commit_messages(salt, (*map(add, _NAMES, values), *openings.remembered_messages_of(standing)))
    public, restricted, shared = map(bytes.decode, facts)
    fields = (
        str(number),
        str(wave),
        draft.uscc,
        str(uuid7()),
        draft.item.code,
        draft.entity_name,
        draft.document_number,
        draft.authority_uscc,
        draft.authority_name,
        decided_on,
        draft.legal_basis,
        public,
        shared,
        restricted,
        head.decode(),
        str(uuid7()),
        str(assessment),
    )
    optional = _line((ends, orjson.dumps(warnings).decode() if warnings else None))
    binary = f"\\\\x{digest.hex()}\t\\\\x{salt.hex()}\t\\\\x{after.hex()}"
    return f"{_line(fields)}\t{optional}\t{binary}\n"


_CONTENT = (
    "authority_name",
    "authority_uscc",
    "decided_on",
    "document_number",
    "entity_name",
    "item_code",
    "legal_basis",
    "public_facts",
    "restricted_facts",
    "shared_facts",
    "uscc",
    "valid_until",
)
"""The fields of ``rules.content_of`` in its order."""
_FIRST_FACTS = _CONTENT.index("public_facts")
_NAMES = tuple(f"{name}=".encode() for name in _CONTENT)
_HEAD = ("{" + "".join(f'"{name}":%b,' for name in _CONTENT[:_FIRST_FACTS]) + '"public_facts":').encode()
_REST = ("%b" + "".join(f',"{name}":%b' for name in _CONTENT[_FIRST_FACTS + 1 :]) + "}").encode()
_remembered_json = lru_cache(maxsize=4096)(canonical_json)
"""For values that the rows of a file repeat."""


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _line(fields: tuple[str | None, ...]) -> str:
    """The fields joined by tabs; looked through once as a whole, since hardly any needs escaping."""
    if None not in fields:
        joined = "\t".join(fields)  # type: ignore[arg-type]
        plain = "\\" not in joined and "\n" not in joined and "\r" not in joined
        if plain and joined.count("\t") == len(fields) - 1:
            return joined
    return "\t".join(map(_escape, fields))


def _escape(value: str | None) -> str:
    """A value in PostgreSQL's COPY text format."""
    if value is None:
        return "\\N"
    if "\\" in value or "\n" in value or "\t" in value or "\r" in value:
        return value.translate(_ESCAPES)
    return value


def assessment_line(number: int, draft: Draft, assessment: Assessment, standing: bytes) -> str:
    """What the law says of some rows, as a line of COPY text that their staged lines name by its number."""

    def text(value: Any) -> str | None:
        return value.isoformat() if value is not None else None

    fields = (
        str(number),
        assessment.severity,
        orjson.dumps(assessment.explanation).decode(),
        assessment.rule_version,
        assessment.state.value,
        text(assessment.publicity_from),
        text(assessment.publicity_until),
        text(assessment.publicity_earliest_stop),
        text(assessment.publicity_latest_stop),
        text(assessment.repair_eligible_from),
        text(assessment.disclosure_until),
        canonical_json(draft.notices).decode(),
        standing.decode(),
    )
    return _line(fields) + "\n"
