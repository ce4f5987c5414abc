"""A draft as a line of PostgreSQL's COPY text format, in the columns of the staging table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from uuid_utils.compat import uuid7

from credit_service.audit.events import canonical_json
from credit_service.records import rules
from credit_service.records.rules import Assessment, Draft
from credit_service.records.standing import commitment, standing_of

_FACTS = b',"public_facts":'
"""Where the canonical content goes on with the facts; no field before it can hold these bytes unescaped."""

STAGED_COLUMNS = (
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
    "content_digest",
    "salt",
    "commitment",
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
    "standing",
)


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
    assessed: str,
    warnings: Sequence[str] = (),
) -> str:
    """A draft as a line of COPY text for the staging table; ``assessed`` is ``assessment_text`` of its assessment."""
    content = rules.content_of(draft)
    after = commitment(salt, content, standing)
    fields = (
        str(number),
        str(wave),
        orjson.dumps(warnings).decode() if warnings else "[]",
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
        canonical_json(draft.public_facts).decode(),
        canonical_json(draft.shared_facts).decode(),
        canonical_json(draft.restricted_facts).decode(),
        content[: content.index(_FACTS) + len(_FACTS)].decode(),
        str(uuid7()),
    )
    binary = f"\\\\x{rules.content_digest(content).hex()}\t\\\\x{salt.hex()}\t\\\\x{after.hex()}"
    return f"{_line(fields)}\t{binary}\t{assessed}\n"


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


def assessment_text(assessment: Assessment, standing: bytes) -> str:
    """The last columns of a staged line: what the law says of the row."""

    def text(value: Any) -> str | None:
        return value.isoformat() if value is not None else None

    return "\t".join(
        map(
            _escape,
            (
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
                standing.decode(),
            ),
        )
    )
