"""Verify answers offline: that what an answer says of a record is what a signed log holds. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
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
OF_EVERY_RECORD = frozenset(
    {
        *("entity_name", "item_code", "document_number", "decided_on", "valid_until", "legal_basis", "facts"),
        *("authority_uscc", "authority_name", "source_name", "severity", "publicity_from", "publicity_until"),
        *("repair_eligible_from", "disputed_since"),
    }
)
"""What everybody is shown of a record. An answer without one of them hides something, such as that it is disputed."""
OF_EVERY_PROFILE = frozenset({"uscc", "name", "registration_status", "deregistered_on"})
_ITSELF = frozenset({"id", "version", "proof", "proofs", "records"})
PAGE = frozenset({"records", "next_cursor"})
"""A page of an entity's records. What holds more says something of the entity itself, and proves it."""
_NAMES = {"public_facts": "facts"}
HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")
_MALFORMED = (ProofError, NoteError, KeyError, TypeError, ValueError, AttributeError)


def read_answer(content: bytes) -> dict[str, Any]:
    """The JSON object of an answer; one that readers could take for different things is none. Raises ``ValueError``."""
    try:
        found = json.loads(content, object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("a member is there twice")
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def verify_answer(answer: Mapping[str, Any], trust: Trust) -> Report:
    """Verify what an answer with ``?proof=true`` says: a record, a page of records, or a profile with its records.

    What no proof covers is a fault, and so is an answer without any. That nothing was left out of a list is not proved.
    """
    report = Report()
    listed = answer.get("records")
    if not isinstance(listed, list):
        _verify_record(answer, answer.get("uscc"), trust, report, "")
    else:
        if answer.keys() - PAGE:
            _verify_registration(answer, trust, report)
        ids = [record.get("id") for record in listed if isinstance(record, dict)]
        if len({str(each) for each in ids}) != len(ids):
            report.found("answer-altered", "a record is there twice")
        for record in listed:
            name = record.get("id") if isinstance(record, dict) else type(record).__name__
            _verify_record(record, _subject(answer, listed), trust, report, f"record {name}: ")
    if not report.entries and not report.findings:
        report.found("answer-unproved", "no proof in it")
    return report


def _subject(answer: Mapping[str, Any], listed: list[Any]) -> Any:
    """The one entity that the records of an answer are of: a profile says so once, a page with each of them."""
    first = listed[0] if isinstance(listed[0], dict) else {}
    return answer.get("uscc", first.get("uscc"))


def _verify_record(record: Any, uscc: Any, trust: Trust, report: Report, place: str) -> None:
    proofs = record.get("proofs") if isinstance(record, dict) else None
    if not isinstance(proofs, list) or not proofs:
        report.found("answer-unproved", f"{place}no proof")
        return
    told: dict[str, Any] = {}
    versions = []
    for proof in proofs:
        try:
            event = verify_tlog_proof(proof["tlog_proof"], proof["event"].encode(), trust, report)
            versions.append(event["subject"]["version"])
            opened = _opened((record.get("id"), uscc), proof, event, report, place)
            if opened.keys() & told.keys():
                report.found("answer-altered", f"{place}version {proof['version']}: says again what another says")
            told |= opened
        except _MALFORMED as error:
            report.found("proof-invalid", f"{place}{type(error).__name__}: {error}")
    if record.get("version") is not None and record["version"] not in versions:
        report.found("answer-altered", f"{place}version")
    shown = {_NAMES.get(name, name): value for name, value in told.items()}
    _compare(record, shown, DERIVED, report, place)
    for name in sorted((shown.keys() | OF_EVERY_RECORD) - record.keys() - {"uscc"}):
        report.found("answer-altered", f"{place}{name} is left out")


def _opened(
    of: tuple[Any, Any], proof: Mapping[str, Any], event: dict[str, Any], report: Report, place: str
) -> dict[str, Any]:
    """What a version of the record and entity says, where its entry in the log commits to it."""
    subject, place = event["subject"], f"{place}version {proof['version']}: "
    if (subject["type"], (subject["id"], subject["uscc"])) != ("record", of):
        report.found("answer-altered", f"{place}an entry of another subject, {subject['id']} of {subject['uscc']}")
    elif proof["opening"] is None:
        report.found("answer-unproved", f"{place}lawfully erased")
    elif committed_by(proof["opening"]).hex() != event["after"] or subject["version"] != proof["version"]:
        report.found("answer-altered", f"{place}not what the entry commits to")
    else:
        return {field["name"]: orjson.loads(field["value"]) for field in proof["opening"] if "value" in field}
    return {}


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
    except _MALFORMED as error:
        report.found("proof-invalid", f"registration data: {type(error).__name__}: {error}")
    _compare(profile, told, DERIVED_OF_PROFILE, report, "")
    for name in sorted(OF_EVERY_PROFILE - profile.keys()):
        report.found("answer-altered", f"{name} is left out")


def _compare(
    said: Mapping[str, Any], proved: Mapping[str, Any], derived: frozenset[str], report: Report, place: str
) -> None:
    report.unproved |= said.keys() & derived - _ITSELF
    for name in said.keys() - derived:
        if name not in proved:
            report.found("answer-unproved", f"{place}{name}")
        elif not _same(said[name], proved[name]):
            report.found("answer-altered", f"{place}{name}")


def verify_tlog_proof(text: str, entry: bytes, trust: Trust, report: Report) -> dict[str, Any]:
    """Check that an entry is under a signed head; gives what it says. Raises ``ProofError`` or ``NoteError``."""
    proof, _, note_text = text.partition("\n\n")
    header, place, *path = proof.split("\n")
    head, note = open_checkpoint(note_text, trust.keys)
    index = _INDEX.fullmatch(place)
    if header != HEADER or index is None:
        raise ProofError("not a proof")
    report.origin, report.size = head.origin, head.size
    report.signers = [key.name for key in signed_by(note, trust.keys)]
    report.witnesses = trust.witnesses_of(note)
    if len(report.witnesses) < trust.quorum:
        report.found("not-witnessed", f"{len(report.witnesses)} of {trust.quorum}")
    fault = trust.sm2.fault(note) if trust.sm2 else None
    if fault is not None:
        report.found(fault, head.origin)
    try:
        hashes = [base64.b64decode(line, validate=True) for line in path]
    except binascii.Error as error:
        raise ProofError("not a hash") from error
    verify_inclusion(int(index[1]), head.size, leaf_hash(entry), hashes, head.root)
    report.hashes += 1
    report.entries += 1
    said: dict[str, Any] = orjson.loads(entry)
    return said


def _same(shown: Any, committed: Any) -> bool:
    """The same JSON, or two spellings of one instant."""
    if json.dumps(shown, sort_keys=True) == json.dumps(committed, sort_keys=True):
        return True
    try:
        instants = [datetime.fromisoformat(each) for each in (shown, committed)]
    except (TypeError, ValueError):
        return False
    return all(each.tzinfo for each in instants) and instants[0] == instants[1]
