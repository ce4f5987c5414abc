"""A draft as a line of PostgreSQL's COPY text format, in the columns of the staging table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from uuid_utils import uuid7

from credit_service.audit import openings
from credit_service.audit.events import canonical_json
from credit_service.records import rules
from credit_service.records.rules import Assessment, Draft
from credit_service.records.standing import standing_of

_FACTS = b',"public_facts":'
"""Where the canonical content goes on with the facts; no field before it can hold these bytes unescaped."""

STAGED = {
    "import_staging": (
        "row_number",
        "wave",
        "warnings",
        "uscc",
        "record_id",
        "item_code",
        "entity_name",
        "document_number",
        "authority_uscc",
        "authority_name",
        "decided_on",
        "valid_until",
        "legal_basis",
        "public_facts",
        "shared_facts",
        "restricted_facts",
        "content_head",
        "event_id",
        "assessment",
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
    fields_stated = _stated(draft)
    content = b"{" + b",".join([b'"' + name + b'":' + value for name, value in fields_stated]) + b"}"
    messages = openings.messages_of(fields_stated) + openings.remembered_messages_of(standing)
    after = openings.commit_messages(salt, messages)
    (_, public), (_, restricted), (_, shared) = fields_stated[_FIRST_FACTS : _FIRST_FACTS + 3]
    fields = (
        str(number),
        str(wave),
        orjson.dumps(warnings).decode() if warnings else None,
        draft.uscc,
        str(uuid7()),
        draft.item.code,
        draft.entity_name,
        draft.document_number,
        draft.authority_uscc,
        draft.authority_name,
        draft.decided_on.isoformat(),
        draft.valid_until.isoformat() if draft.valid_until else None,
        draft.legal_basis,
        public.decode(),
        shared.decode(),
        restricted.decode(),
        content[: content.index(_FACTS) + len(_FACTS)].decode(),
        str(uuid7()),
        str(assessment),
    )
    binary = f"\\\\x{rules.content_digest(content).hex()}\t\\\\x{salt.hex()}\t\\\\x{after.hex()}"
    return f"{_line(fields)}\t{binary}\n"


_FIRST_FACTS = 7


def _stated(draft: Draft) -> openings.Fields:
    """The fields of ``rules.content_of`` in its order, each written once: for content, staging and commitment."""
    valid_until = draft.valid_until
    return (
        (b"authority_name", canonical_json(draft.authority_name)),
        (b"authority_uscc", canonical_json(draft.authority_uscc)),
        (b"decided_on", canonical_json(draft.decided_on.isoformat())),
        (b"document_number", canonical_json(draft.document_number)),
        (b"entity_name", canonical_json(draft.entity_name)),
        (b"item_code", canonical_json(draft.item.code)),
        (b"legal_basis", canonical_json(draft.legal_basis)),
        (b"public_facts", canonical_json(draft.public_facts)),
        (b"restricted_facts", canonical_json(draft.restricted_facts)),
        (b"shared_facts", canonical_json(draft.shared_facts)),
        (b"uscc", canonical_json(draft.uscc)),
        (b"valid_until", canonical_json(valid_until.isoformat() if valid_until else None)),
    )


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
