"""Why a non-public file is read: stated with each query and logged (design: HTTP; 深圳 art. 45 keeps query logs)."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from credit_service.accounts.rules import Audience, Principal
from credit_service.platform.errors import FieldError, Problem, ProblemType

PURPOSE_REQUIRED = ProblemType(
    "purpose-required", 422, "须说明查询目的", "A query of non-public data must state its purpose"
)
HEADER = "Credit-Purpose"
CASE_HEADER = "Credit-Case"
SEALED_HEADER = "Credit-Sealed-Until"
LONGEST_CASE = 100


class Purpose(StrEnum):
    """查询目的."""

    SUPERVISION = "supervision"  # 日常监管
    INSPECTION = "inspection"  # 监督检查
    LICENSING = "licensing"  # 行政许可
    PROCUREMENT = "procurement"  # 政府采购
    BIDDING = "bidding"  # 招标投标
    SUBSIDY = "subsidy"  # 财政资金
    HONOURS = "honours"  # 评先评优
    REPAIR = "repair"  # 信用修复
    OBJECTION = "objection"  # 异议处理
    AUDIT = "audit"  # 审计
    OWN_SUBMISSION = "own-submission"  # 核对本单位报送的信息


WITHOUT_CASE = frozenset({Purpose.SUPERVISION, Purpose.AUDIT, Purpose.OWN_SUBMISSION})
"""Standing duties. Every other purpose belongs to a matter that has a number (案号, 项目编号), and states it."""
SEALABLE = frozenset({Purpose.INSPECTION})
"""Investigations whose subject may be told of them later."""


@dataclass(slots=True)
class Reading:
    """What the request under way reads: filled by ``require_purpose``, logged when its answer leaves.

    ``case`` and ``sealed_until`` are as the caller stated them. ``subjects`` are the entities whose non-public files
    the answer shows; an answer about nobody in particular is logged as one access without a subject.
    """

    case: str | None = None
    sealed_until: date | None = None
    principal: Principal | None = None
    audience: Audience = Audience.PUBLIC
    purpose: str = ""
    subjects: set[str] = field(default_factory=set)
    logged: bool = False


CURRENT: ContextVar[Reading | None] = ContextVar("reading", default=None)

_VALUES = frozenset(purpose.value for purpose in Purpose)


def require_purpose(principal: Principal, audience: Audience, stated: str | None, uscc: str | None) -> None:
    """Check the purpose of a query, and have it logged with the answer. Subjects and the public owe none.

    ``uscc`` is the subject; pages about several name them with ``note_subjects``. Raises ``PURPOSE_REQUIRED``.
    """
    if audience in (Audience.PUBLIC, Audience.SUBJECT):
        return
    if stated is None or stated not in _VALUES:
        raise Problem(PURPOSE_REQUIRED, errors=[FieldError(f"header:{HEADER}", "one of " + ", ".join(sorted(_VALUES)))])
    reading = CURRENT.get()
    if reading is None:
        raise RuntimeError("a non-public read outside the access log")
    if reading.case is None and stated not in WITHOUT_CASE:
        raise Problem(PURPOSE_REQUIRED, errors=[FieldError(f"header:{CASE_HEADER}", f"required for {stated}")])
    if reading.sealed_until is not None and stated not in SEALABLE:
        raise Problem(PURPOSE_REQUIRED, errors=[FieldError(f"header:{SEALED_HEADER}", "only for an inspection")])
    reading.principal, reading.audience, reading.purpose = principal, audience, stated
    if uscc is not None:
        reading.subjects.add(uscc)


def note_subjects(codes: Iterable[str]) -> None:
    """Name the entities that an answer of several shows; nothing happens where no purpose was owed."""
    reading = CURRENT.get()
    if reading is not None and reading.principal is not None:
        reading.subjects.update(codes)
