"""Verify answers offline: that what an answer says of a record is what a signed log holds. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from credit_service.audit.merkle import ProofError, leaf_hash, verify_inclusion
from credit_service.audit.notes import NoteError, open_checkpoint, signed_by
from credit_service.audit.openings import committed_by
from credit_service.audit.verification import Report, Trust

DERIVED = frozenset(
    {
        *("id", "version", "recorded_at", "changed_at", "visible_to_public", "proofs", "duties"),
        *("item_name_zh", "item_name_en", "polarity", "list_colour", "section"),
    }
)
"""Members of an answer that follow from the catalogue, the clock or the entry itself; all others must be proved."""
_NAMES = {"public_facts": "facts"}
HEADER = "c2sp.org/tlog-proof@v1"


def verify_answer(answer: Mapping[str, Any], trust: Trust) -> Report:
    """Verify every record in an answer that came with ``?proof=true``; without a proof nothing was checked."""
    report = Report()
    for record in _records(answer):
        _verify_record(record, trust, report)
    if not report.entries and not report.findings:
        report.found("answer-unproved", "no proof in it")
    return report


def _records(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    listed = answer.get("records")
    yield from listed if isinstance(listed, list) else [answer]


def _verify_record(record: Mapping[str, Any], trust: Trust, report: Report) -> None:
    told: dict[str, Any] = {}
    for proof in record.get("proofs") or ():
        try:
            event = verify_tlog_proof(proof["tlog_proof"], proof["event"].encode(), trust, report)
            subject = event["subject"]
            if committed_by(proof["opening"]).hex() != event["after"] or subject["version"] != proof["version"]:
                report.found("answer-altered", f"version {proof['version']}: not what the entry commits to")
            elif subject["id"] != record.get("id"):
                report.found("answer-altered", f"an entry of another record, {subject['id']}")
            else:
                told |= {field["name"]: orjson.loads(field["value"]) for field in proof["opening"] if "value" in field}
        except (ProofError, NoteError, KeyError, TypeError, ValueError) as error:
            report.found("proof-invalid", f"{type(error).__name__}: {error}")
    shown = {_NAMES.get(name, name): value for name, value in told.items()}
    for name in record.keys() - DERIVED:
        if record[name] is None and name not in shown:
            continue
        if name not in shown:
            report.found("answer-unproved", name)
        elif not _same(record[name], shown[name]):
            report.found("answer-altered", name)


def verify_tlog_proof(text: str, entry: bytes, trust: Trust, report: Report) -> dict[str, Any]:
    """Check that an entry is under a signed head; gives what it says. Raises ``ProofError`` or ``NoteError``."""
    proof, _, note_text = text.partition("\n\n")
    header, index, *path = proof.split("\n")
    head, note = open_checkpoint(note_text, trust.keys)
    if header != HEADER or not index.startswith("index "):
        raise ProofError("not a proof")
    report.origin, report.size = head.origin, head.size
    report.signers = [key.name for key in signed_by(note, trust.keys)]
    report.witnesses = [key.name for key in signed_by(note, trust.witnesses)]
    if len(report.witnesses) < trust.quorum:
        report.found("not-witnessed", f"{len(report.witnesses)} of {trust.quorum}")
    try:
        hashes = [base64.b64decode(line, validate=True) for line in path]
    except binascii.Error as error:
        raise ProofError("not a hash") from error
    verify_inclusion(int(index.removeprefix("index ")), head.size, leaf_hash(entry), hashes, head.root)
    report.hashes += 1
    report.entries += 1
    said: dict[str, Any] = orjson.loads(entry)
    return said


def _same(shown: Any, committed: Any) -> bool:
    """Equal, or two spellings of one instant."""
    if shown == committed:
        return True
    try:
        return datetime.fromisoformat(shown) == datetime.fromisoformat(committed)
    except (TypeError, ValueError):
        return False
