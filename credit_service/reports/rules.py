"""What a credit report says and in which order: 法人和非法人组织公共信用信息报告, version V2.0. Pure.

The official layout is known from published reports (secondary source): a number of 22 characters, labels, eight
counters, the sections, how to object and to ask for repair. It edits nothing, and gives no score or grade.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from credit_service.catalogue.wording import SECTIONS
from credit_service.platform.days import SHANGHAI, rfc3339

TITLE = {"zh": "法人和非法人组织公共信用信息报告", "en": "Public credit report of a legal entity"}
VERSION = "V2.0"
NOTHING_FOUND = {"zh": "查询期内无相关信息", "en": "Nothing on file"}
NOTES = (
    {
        "zh": "本报告客观反映登记时点的信息, 不作编辑, 不含评分或者等级。",
        "en": "This report states what is on file at its instant; nothing is edited, scored or graded.",
    },
    {
        "zh": "认为信息有误的, 可以提出异议(/v1/objections); 异议处理期间该信息标注“异议处理中”。",
        "en": "Who finds it wrong may object (/v1/objections); what is objected to is marked until it is decided.",
    },
    {
        "zh": "符合条件的失信信息可以申请信用修复(/v1/repairs), 不收取费用。",
        "en": "Repair may be applied for (/v1/repairs), free of charge.",
    },
    {"zh": "建议秉持诚信理念, 合法有序开展经营活动。", "en": "Act in good faith, lawfully and in good order."},
)
_MARKS = {
    "disputed": {"zh": "异议处理中", "en": "Under objection"},
    "repaired": {"zh": "已修复", "en": "Repaired"},
    "shielded": {"zh": "临时屏蔽", "en": "Temporarily shielded"},
}
_NOT_REGISTRATION = frozenset(
    {
        *("audience", "trust_incentive_subject", "distrust_punishment_subject"),
        *("summary", "records", "declarations", "proof"),
    }
)


def report_number(issued_at: datetime, tail: str) -> str:
    """报告编号: the moment in Asia/Shanghai, yyyyMMddHHmmss, and eight characters that nobody can guess."""
    return f"{issued_at.astimezone(SHANGHAI):%Y%m%d%H%M%S}{tail}"


def marks_of(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """标注: an objection that is not decided yet; to those who are shown such records at all, repair or shielding."""
    marks = []
    if record["disputed_since"] is not None:
        marks.append({"code": "disputed", "since": record["disputed_since"], **_MARKS["disputed"]})
    state = record.get("state")
    if state in _MARKS:
        marks.append({"code": state, "since": record["state_from"], **_MARKS[state]})
    return marks


def compose(
    profile: Mapping[str, Any],
    *,
    number: str,
    issued_at: datetime,
    issuer: str,
    edition: str,
    accesses: Sequence[Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """The report of a profile that holds every record. ``accesses``: who looked, for the subject alone."""
    records = [{**record, "marks": marks_of(record)} for record in profile["records"]]
    return {
        "number": number,
        "title": TITLE,
        "version": VERSION,
        "issued_at": rfc3339(issued_at),
        "issuer": issuer,
        "catalogue_edition": edition,
        "audience": profile["audience"],
        "registration": {name: value for name, value in profile.items() if name not in _NOT_REGISTRATION},
        "trust_incentive_subject": profile["trust_incentive_subject"],
        "distrust_punishment_subject": profile["distrust_punishment_subject"],
        "declarations": profile.get("declarations", []),
        "summary": profile["summary"],
        "complete": len(records) == profile["summary"]["records"],
        "disputed": sum(record["disputed_since"] is not None for record in records),
        "sections": [_section(code, [record for record in records if record["section"] == code]) for code in SECTIONS],
        "accesses": accesses,
        "notes": list(NOTES),
        "proof": profile.get("proof"),
    }


def _section(code: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    title = {"zh": SECTIONS[code].zh, "en": SECTIONS[code].en}
    return {"code": code, "title": title, "records": records, "note": None if records else NOTHING_FOUND}


def answer_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """The profile that a report was composed of: what ``audit.answers.verify_answer`` proves.

    Raises ``KeyError``, ``TypeError``, ``AttributeError`` for what is no report, and ``ValueError`` for one whose
    marks, sections or figures do not follow from its records.
    """
    records = [record for section in report["sections"] for record in section["records"]]
    if any(record["section"] != section["code"] for section in report["sections"] for record in section["records"]):
        raise ValueError("a record stands in another's section")
    counts = Counter(record["section"].replace("-", "_") for record in records)
    counts["records"] = len(records)
    if report["complete"] != (report["summary"]["records"] == len(records)):
        raise ValueError("whether it is complete does not follow from its records")
    if report["complete"] and any(number != counts[name] for name, number in report["summary"].items()):
        raise ValueError("the summary does not follow from the records")
    if any(record["marks"] != marks_of(record) for record in records):
        raise ValueError("a mark does not follow from its record")
    if report["disputed"] != sum(record["disputed_since"] is not None for record in records):
        raise ValueError("the number of disputed records does not follow from them")
    told = [{name: value for name, value in record.items() if name != "marks"} for record in records]
    return {**report["registration"], "audience": report["audience"], "proof": report["proof"], "records": told}


PROVED = frozenset({"registration", "sections", "proof", "disputed"})
"""Members of a report that are, or follow from, what the log holds."""


def unproved(report: Mapping[str, Any]) -> frozenset[str]:
    """Members of a report that nothing but the registry's signature vouches for."""
    return frozenset(report) - PROVED
