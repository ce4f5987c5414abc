"""Verify answers offline: that what an answer says of a record is what a signed log holds. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
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
DERIVED_OF_PROFILE = frozenset(
    {"audience", "proof", "records", "summary", "trust_incentive_subject", "distrust_punishment_subject"}
)
_NAMES = {"public_facts": "facts"}
HEADER = "c2sp.org/tlog-proof@v1"


def verify_answer(answer: Mapping[str, Any], trust: Trust) -> Report:
    """Verify what an answer with ``?proof=true`` says: a record, a page of records, or a profile with its records.

    What no proof covers is a fault, and so is an answer without any. That nothing was left out of a list is not proved.
    """
    report = Report()
    listed = answer.get("records")
    if not isinstance(listed, list):
        _verify_record(answer, trust, report, "")
    else:
        if "audience" in answer:
            _verify_registration(answer, trust, report)
        for record in listed:
            _verify_record(record, trust, report, f"record {record.get('id')}: ")
    if not report.entries and not report.findings:
        report.found("answer-unproved", "no proof in it")
    return report


def _verify_record(record: Mapping[str, Any], trust: Trust, report: Report, place: str) -> None:
    if not record.get("proofs"):
        report.found("answer-unproved", f"{place}no proof")
        return
    told: dict[str, Any] = {}
    for proof in record["proofs"]:
        try:
            event = verify_tlog_proof(proof["tlog_proof"], proof["event"].encode(), trust, report)
            subject = event["subject"]
            if subject["id"] != record.get("id") or subject["type"] != "record":
                report.found("answer-altered", f"{place}an entry of another subject, {subject['id']}")
            elif proof["opening"] is None:
                report.found("answer-unproved", f"{place}version {proof['version']}: lawfully erased")
            elif committed_by(proof["opening"]).hex() != event["after"] or subject["version"] != proof["version"]:
                report.found("answer-altered", f"{place}version {proof['version']}: not what the entry commits to")
            else:
                told |= {field["name"]: orjson.loads(field["value"]) for field in proof["opening"] if "value" in field}
        except (ProofError, NoteError, KeyError, TypeError, ValueError, AttributeError) as error:
            report.found("proof-invalid", f"{place}{type(error).__name__}: {error}")
    shown = {_NAMES.get(name, name): value for name, value in told.items()}
    _compare(record, shown, DERIVED, report, place)


def _verify_registration(profile: Mapping[str, Any], trust: Trust, report: Report) -> None:
    """The registration data of a profile; its records are proved one by one."""
    proof = profile.get("proof")
    if not proof:
        report.found("answer-unproved", "registration data: no proof")
        return
    told: dict[str, Any] = {}
    try:
        event = verify_tlog_proof(proof["tlog_proof"], proof["event"].encode(), trust, report)
        subject, content = event["subject"], proof["content"]
        if (subject["type"], subject["id"]) != ("entity", profile.get("uscc")):
            report.found("answer-altered", f"an entry of another subject, {subject['id']}")
        elif content is not None and sha256(content.encode()).hexdigest() != event["after"]:
            report.found("answer-altered", f"version {proof['version']}: not what the entry commits to")
        elif content is not None:
            told = orjson.loads(content)
            told["former_names"] = [name for name in told["names"] if name["used_until"] is not None]
    except (ProofError, NoteError, KeyError, TypeError, ValueError, AttributeError) as error:
        report.found("proof-invalid", f"registration data: {type(error).__name__}: {error}")
    _compare(profile, told, DERIVED_OF_PROFILE, report, "")


def _compare(
    said: Mapping[str, Any], proved: Mapping[str, Any], derived: frozenset[str], report: Report, place: str
) -> None:
    for name in said.keys() - derived:
        if said[name] is None and name not in proved:
            continue
        if name not in proved:
            report.found("answer-unproved", f"{place}{name}")
        elif not _same(said[name], proved[name]):
            report.found("answer-altered", f"{place}{name}")


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
    fault = trust.sm2.fault(note) if trust.sm2 else None
    if fault is not None:
        report.found(fault, head.origin)
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
