"""The draw, and what a plan may say: pure functions.

``draw`` is the whole of the algorithm that docs/inspection-draw.md describes and that anybody can write again from
there; whoever verifies a draw needs nothing else of this program.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Any

import orjson

from credit_service.audit.events import canonical_json
from credit_service.platform.errors import FieldError, ProblemType

PLAN_REFUSED = ProblemType("inspection-plan-refused", 422, "抽查计划不符合要求", "The inspection plan is not valid")
PLAN_STATE = ProblemType("inspection-plan-state", 409, "抽查计划当前状态不允许该操作", "The plan's state forbids this")
DRAW_REFUSED = ProblemType("inspection-draw-refused", 422, "抽取不符合要求", "The draw does not meet the rules")

SCHEMA = "inspection-draw/1"
HANDLE_BYTES = 16
CLASSES = "ABCD"


class Result(StrEnum):
    """抽查检查结果: the categories in which results are published."""

    NO_PROBLEM = "未发现问题"
    NOT_PUBLISHED = "未按规定公示应当公示的信息"
    CONCEALED = "公示信息隐瞒真实情况弄虚作假"
    NO_CONTACT = "通过登记的住所(经营场所)无法联系"
    CORRECTION_ORDERED = "发现问题已责令改正"
    OBSTRUCTED = "不配合检查情节严重"
    NOT_OPERATING = "未发现开展本次抽查涉及的经营活动"
    TO_BE_HANDLED = "发现问题待后续处理"


NEGATIVE = frozenset(Result) - {Result.NO_PROBLEM, Result.NOT_OPERATING}


def digest(*parts: bytes) -> bytes:
    """SHA-256 over parts that each follow their length (4 bytes, big-endian)."""
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()


def handle_of(key: bytes, name: str) -> str:
    """The opaque name under which an entity or an inspector is in the published lists; hexadecimal."""
    return digest(key, name.encode())[:HANDLE_BYTES].hex()


def seed_of(secret: bytes, public_value: str) -> bytes:
    return digest(SCHEMA.encode(), secret, public_value.encode())


def _rank(seed: bytes, label: bytes) -> Callable[[str], bytes]:
    """``digest(seed, label, handle)`` for many handles: what does not change is hashed once."""
    begun = hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in (seed, label)))
    size = (2 * HANDLE_BYTES).to_bytes(4, "big")

    def rank(handle: str) -> bytes:
        hasher = begun.copy()
        hasher.update(size + handle.encode())
        return hasher.digest()

    return rank


def draw(
    material: Mapping[str, Any], secret: bytes, public_value: str, excluded: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """The drawn entities with their inspectors, by handle, in the order of the handles.

    Of each stratum, those with the smallest digests of seed and handle; for each of them the inspectors with the
    smallest digests of seed, entity and inspector among those without a conflict.
    """
    seed, left_out = seed_of(secret, public_value), set(excluded)
    conflicts = {(entity, inspector) for entity, inspector in material["conflicts"]}
    rank = _rank(seed, b"entity")
    chosen: list[str] = []
    for stratum in material["strata"]:
        ranked = ((rank(handle), handle) for handle in stratum["entities"] if handle not in left_out)
        chosen += [handle for _, handle in heapq.nsmallest(stratum["quota"], ranked)]
    return [
        {"entity": entity, "inspectors": list(_team(material, seed, entity, conflicts))} for entity in sorted(chosen)
    ]


def _team(material: Mapping[str, Any], seed: bytes, entity: str, conflicts: set[tuple[str, str]]) -> Iterator[str]:
    free = [inspector for inspector in material["inspectors"] if (entity, inspector) not in conflicts]
    ranked = ((digest(seed, b"inspector", entity.encode(), inspector.encode()), inspector) for inspector in free)
    yield from (inspector for _, inspector in heapq.nsmallest(material["inspectors_each"], ranked))


def commitment_of(
    material: bytes, openings: bytes, secret: bytes, beacon: Mapping[str, str], committed_at: str
) -> dict[str, Any]:
    """What is published before the draw. ``digest`` is SHA-256 of the canonical JSON of the other members."""
    members = {
        "beacon": dict(beacon),
        "committed_at": committed_at,
        "material_sha256": hashlib.sha256(material).hexdigest(),
        "openings_sha256": hashlib.sha256(openings).hexdigest(),
        "schema": SCHEMA,
        "secret_sha256": hashlib.sha256(secret).hexdigest(),
    }
    return members | {"digest": hashlib.sha256(canonical_json(members)).hexdigest()}


def faults_of(document: Mapping[str, Any], openings: bytes | None = None) -> list[str]:
    """What is wrong with a published draw; empty: nothing. ``openings`` also checks which handle is whom."""
    material, commitment = document["material"], document["commitment"]
    found = []
    members = {name: value for name, value in commitment.items() if name != "digest"}
    if hashlib.sha256(canonical_json(members)).hexdigest() != commitment["digest"]:
        found.append("the commitment's digest is not that of its members")
    if hashlib.sha256(canonical_json(material)).hexdigest() != commitment["material_sha256"]:
        found.append("the material is not what was committed to")
    reveal = document.get("reveal")
    if reveal is None:
        return [*found, "the draw has not been made yet"]
    if hashlib.sha256(bytes.fromhex(reveal["secret"])).hexdigest() != commitment["secret_sha256"]:
        found.append("the secret is not what was committed to")
    due = datetime.fromisoformat(commitment["beacon"]["due_at"])
    if datetime.fromisoformat(commitment["committed_at"]) >= due:
        found.append("the public value was known when the lists were committed to")
    if datetime.fromisoformat(reveal["entered_at"]) < due:
        found.append("the public value was entered before it was known")
    if draw(material, bytes.fromhex(reveal["secret"]), reveal["public_value"], reveal["excluded"]) != document["drawn"]:
        found.append("the draw does not repeat")
    return found + (opening_faults(document, openings) if openings is not None else [])


def opening_faults(document: Mapping[str, Any], openings: bytes) -> list[str]:
    """Whether the openings are what was committed to, and make the handles of the material."""
    if hashlib.sha256(openings).hexdigest() != document["commitment"]["openings_sha256"]:
        return ["the openings are not what was committed to"]
    content = orjson.loads(openings)
    key = bytes.fromhex(content["key"])
    for stratum, opened in zip(document["material"]["strata"], content["strata"], strict=True):
        if [handle_of(key, uscc) for uscc in opened["entities"]] != stratum["entities"]:
            return [f"the handles of stratum {stratum['label']} are not those of the entities named"]
    if sorted(handle_of(key, each) for each in content["inspectors"]) != document["material"]["inspectors"]:
        return ["the handles of the inspectors are not those of the inspectors named"]
    return []


def quota_of(ratio: str, size: int) -> int:
    """How many of a stratum are drawn: the share, rounded up."""
    return min(size, int((Decimal(ratio) * size).to_integral_value(ROUND_CEILING)))


def check_quotas(quotas: Mapping[str, Mapping[str, Any]], class_a_reason: str | None) -> list[FieldError]:
    """Shares grow with the risk, and class A is left in peace unless a reason is stated (国市监信发〔2022〕6号)."""
    ratios = [Decimal(quotas[each]["ratio"]) if each in quotas else Decimal(0) for each in CLASSES]
    errors = [
        FieldError(f"/quotas/{CLASSES[index + 1]}/ratio", f"not less than that of class {CLASSES[index]}")
        for index in range(len(CLASSES) - 1)
        if ratios[index + 1] < ratios[index]
    ]
    if not any(ratios):
        errors.append(FieldError("/quotas", "a share above zero"))
    if ratios[0] and not class_a_reason:
        errors.append(FieldError("/class_a_reason", "无事不扰: required where class A is drawn"))
    return errors


def is_used_up(visits: int, limits: Mapping[str, Any]) -> bool:
    """Whether an entity has had the most visits of a year, by whomever they were drawn."""
    most = limits.get("max_per_year")
    return most is not None and visits >= most


def strata_of(candidates: Sequence[tuple[str, str]], quotas: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Candidates (code, class) put into strata whose labels name no class."""
    found: list[dict[str, Any]] = []
    for risk_class in CLASSES:
        entities = [uscc for uscc, own in candidates if own == risk_class]
        if entities:
            limits = quotas[risk_class]
            found.append(
                {
                    "label": str(len(found) + 1),
                    "risk_class": risk_class,
                    "quota": quota_of(limits["ratio"], len(entities)),
                    "ratio": limits["ratio"],
                    "max_per_year": limits.get("max_per_year"),
                    "entities": entities,
                }
            )
    return found
