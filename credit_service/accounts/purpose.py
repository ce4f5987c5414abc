"""Why a non-public file is read: stated with each query and logged (design: HTTP; 深圳 art. 45 keeps query logs)."""

from __future__ import annotations

from enum import StrEnum

import structlog

from credit_service.accounts.rules import Audience, Principal
from credit_service.platform.errors import FieldError, Problem, ProblemType

PURPOSE_REQUIRED = ProblemType(
    "purpose-required", 422, "须说明查询目的", "A query of non-public data must state its purpose"
)
HEADER = "Credit-Purpose"

logger = structlog.get_logger(__name__)


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


_VALUES = frozenset(purpose.value for purpose in Purpose)


def require_purpose(principal: Principal, audience: Audience, stated: str | None, uscc: str | None) -> None:
    """Check and log the purpose of a query. A subject reading its own file and the public owe none.

    Raises ``PURPOSE_REQUIRED``.
    """
    if audience in (Audience.PUBLIC, Audience.SUBJECT):
        return
    if stated is None or stated not in _VALUES:
        raise Problem(PURPOSE_REQUIRED, errors=[FieldError(f"header:{HEADER}", "one of " + ", ".join(sorted(_VALUES)))])
    logger.info("non-public read", principal=principal.id, audience=audience.value, purpose=stated, uscc=uscc)
