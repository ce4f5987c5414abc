"""The repair workflow as data (Order 36; 国办发〔2025〕22号 四; Order 107)."""

from __future__ import annotations

from credit_service.workflows.machine import Gate, Machine, Party, Step

_APPLICANT = frozenset({Party.APPLICANT})
_HANDLER = frozenset({Party.HANDLER})
_REVIEWED = frozenset({"under-review", "extended"})
_WORKED_ON = _REVIEWED | {"submitted", "accepted", "proposed"}

_EXTENSION_TOLD = Gate(
    "repair-extended", frozenset({"extended"}), "信用修复管理办法 (延期应当事先告知申请人)", "partial"
)
"""Order 36: who extends the review tells the applicant beforehand. What the applicant asked for is never held up."""
_SUPPLEMENT_TOLD = Gate(
    "repair-supplement-requested",
    frozenset({"supplement-requested"}),
    "信用修复管理办法 (补正应当告知申请人)",
    "inference",
)

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
    opening=Step("open", "起草", frozenset(), "draft", _APPLICANT, guards=("repairable",)),
    steps=(
        Step(
            "submit",
            "提交",
            frozenset({"draft"}),
            "submitted",
            _APPLICANT,
            events=frozenset({"received"}),
            starts=("accept", "decide", "total"),
            guards=("repairable", "not-barred", "only-one"),
            effects=("tell-agency",),
        ),
        Step("revise", "修改草稿", frozenset({"draft"}), None, _APPLICANT, effects=("replace-content",)),
        Step("claim", "认领", _WORKED_ON | {"supplement-requested"}, None, _HANDLER, effects=("assign",)),
        Step(
            "request-supplement",
            "要求补正",
            frozenset({"submitted", "accepted"}) | _REVIEWED,
            "supplement-requested",
            _HANDLER,
            pauses=True,
            effects=("await-supplement",),
            notice="repair-supplement-requested",
            reason=True,
        ),
        Step("supplement", "补正", frozenset({"supplement-requested"}), None, _APPLICANT, resumes=True),
        Step(
            "lapse",
            "逾期未补正, 视为撤回",
            frozenset({"supplement-requested"}),
            "withdrawn",
            _HANDLER,
            guards=("supplement-overdue",),
            gate=_SUPPLEMENT_TOLD,
            ends=True,
            reason=True,
        ),
        Step(
            "accept",
            "受理",
            frozenset({"submitted"}),
            "accepted",
            _HANDLER,
            events=frozenset({"accepted"}),
            meets=("accept",),
            starts=("decide",),
            guards=("not-barred", "eligible"),
            notice="repair-accepted",
        ),
        Step(
            "refuse",
            "不予受理",
            frozenset({"submitted"}),
            "refused",
            _HANDLER,
            meets=("accept", "decide", "total"),
            guards=("separate-officer",),
            effects=("explain",),
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
            extends="decide",
            guards=("extendable",),
            notice="repair-extended",
            reason=True,
        ),
        Step("propose", "拟准予, 报复核", _REVIEWED, "proposed", _HANDLER, guards=("separate-officer", "eligible")),
        Step(
            "grant",
            "准予修复",
            _REVIEWED | {"proposed"},
            "granted",
            _HANDLER,
            events=frozenset({"repair-decision"}),
            meets=("decide", "total"),
            starts=("cross-province-push",),
            guards=("separate-officer", "four-eyes", "eligible"),
            effects=("repair-record", "repair-linked", "record-commitment"),
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
            guards=("separate-officer",),
            effects=("explain",),
            gate=_EXTENSION_TOLD,
            notice="repair-rejected",
            ends=True,
            reason=True,
        ),
        Step(
            "confirm-push",
            "登记跨省推送",
            frozenset({"granted"}),
            None,
            _HANDLER,
            meets=("cross-province-push",),
            reason=True,
        ),
        Step(
            "withdraw", "撤回申请", _WORKED_ON | {"draft", "supplement-requested"}, "withdrawn", _APPLICANT, ends=True
        ),
        Step(
            "revoke",
            "撤销修复",
            frozenset({"granted"}),
            "revoked",
            _HANDLER,
            guards=("separate-officer",),
            effects=("bar", "restore-record", "restore-linked", "record-breach"),
            notice="repair-revoked",
            ends=True,
            reason=True,
        ),
    ),
    decisive=frozenset({"refuse", "propose", "grant", "reject", "revoke"}),
)
