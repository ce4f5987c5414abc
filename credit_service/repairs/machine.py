"""The repair workflow as data (Order 36; 国办发〔2025〕22号 四; Order 107)."""

from __future__ import annotations

from credit_service.workflows.machine import Machine, Party, Step

_APPLICANT = frozenset({Party.APPLICANT})
_HANDLER = frozenset({Party.HANDLER})
_REVIEWED = frozenset({"under-review", "extended"})
_OPEN = _REVIEWED | {"submitted", "supplement-requested", "accepted", "proposed"}

REPAIR = Machine(
    name="repair",
    states={
        "draft": "草稿",
        "submitted": "已提交",
        "supplement-requested": "待补正",
        "accepted": "已受理",
        "refused": "不予受理",
        "under-review": "审查中",
        "extended": "已延期",
        "proposed": "待复核",
        "granted": "准予修复",
        "rejected": "不予修复",
        "withdrawn": "已撤回",
        "revoked": "已撤销",
    },
    initial="draft",
    steps=(
        Step("submit", "提交", frozenset({"draft"}), "submitted", _APPLICANT, starts=("accept", "total")),
        Step(
            "request-supplement",
            "要求补正",
            frozenset({"submitted", "accepted"}) | _REVIEWED,
            "supplement-requested",
            _HANDLER,
            pauses=True,
            notice="repair-supplement-requested",
            reason=True,
        ),
        Step("supplement", "补正", frozenset({"supplement-requested"}), None, _APPLICANT, resumes=True),
        Step(
            "accept",
            "受理",
            frozenset({"submitted"}),
            "accepted",
            _HANDLER,
            meets=("accept",),
            starts=("decide",),
            notice="repair-accepted",
        ),
        Step(
            "refuse",
            "不予受理",
            frozenset({"submitted"}),
            "refused",
            _HANDLER,
            meets=("accept", "total"),
            notice="repair-refused",
            ends=True,
            reason=True,
        ),
        Step("review", "开始审查", frozenset({"accepted"}), "under-review", _HANDLER),
        Step(
            "extend",
            "延期",
            frozenset({"under-review"}),
            "extended",
            _HANDLER,
            extends=True,
            notice="repair-extended",
            reason=True,
        ),
        Step(
            "propose",
            "拟准予, 报复核",
            _REVIEWED,
            "proposed",
            _HANDLER,
        ),
        Step(
            "grant",
            "准予修复",
            _REVIEWED | {"proposed"},
            "granted",
            _HANDLER,
            meets=("decide", "total"),
            notice="repair-granted",
            ends=True,
        ),
        Step(
            "reject",
            "不予修复",
            _REVIEWED | {"proposed"},
            "rejected",
            _HANDLER,
            meets=("decide", "total"),
            notice="repair-rejected",
            ends=True,
            reason=True,
        ),
        Step("withdraw", "撤回申请", _OPEN | {"draft"}, "withdrawn", _APPLICANT, ends=True),
        Step(
            "revoke",
            "撤销修复",
            frozenset({"granted"}),
            "revoked",
            _HANDLER,
            notice="repair-revoked",
            ends=True,
            reason=True,
        ),
    ),
)
