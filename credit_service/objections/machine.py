"""The objection workflow as data (国办发〔2025〕22号 八; local: 上海 36-38, 深圳 48-51, 山东 38-40, 河南 41-43)."""

from __future__ import annotations

from credit_service.workflows.machine import Machine, Party, Step

_APPLICANT = frozenset({Party.APPLICANT})
_HANDLER = frozenset({Party.HANDLER})
_VERIFYING = frozenset({"verifying", "answered"})

OBJECTION = Machine(
    name="objection",
    states={
        "submitted": "已提交",
        "supplement-requested": "待补正",
        "refused": "不予受理",
        "verifying": "核查中",
        "forwarded": "已转数据来源单位",
        "answered": "来源单位已反馈",
        "corrected": "已更正",
        "removed": "已移除",
        "upheld": "维持",
        "review-requested": "申请复查",
        "reviewed-corrected": "复查后更正",
        "reviewed-removed": "复查后移除",
        "reviewed-upheld": "复查后维持",
        "withdrawn": "已撤回",
    },
    initial="submitted",
    steps=(
        Step(
            "request-supplement",
            "要求补正",
            frozenset({"submitted", "verifying"}),
            "supplement-requested",
            _HANDLER,
            pauses=True,
            notice="objection-supplement-requested",
            reason=True,
        ),
        Step("supplement", "补正", frozenset({"supplement-requested"}), None, _APPLICANT, resumes=True),
        Step(
            "accept",
            "受理并标注",
            frozenset({"submitted"}),
            "verifying",
            _HANDLER,
            meets=("flag",),
            starts=("own-decision",),
            notice="objection-accepted",
        ),
        Step(
            "refuse",
            "不予受理",
            frozenset({"submitted"}),
            "refused",
            _HANDLER,
            meets=("flag",),
            notice="objection-refused",
            ends=True,
            reason=True,
        ),
        Step(
            "forward",
            "转数据来源单位",
            frozenset({"verifying"}),
            "forwarded",
            _HANDLER,
            meets=("own-decision", "forward"),
            starts=("forwarded-decision", "source-decision"),
            notice="objection-forwarded",
        ),
        Step(
            "answer",
            "来源单位反馈",
            frozenset({"forwarded"}),
            "answered",
            frozenset({Party.SOURCE}),
            meets=("source-decision",),
            reason=True,
        ),
        *(
            Step(
                action,
                label,
                _VERIFYING,
                to,
                _HANDLER,
                meets=("own-decision", "forwarded-decision"),
                notice="objection-decided",
                ends=True,
                reason=True,
            )
            for action, label, to in (
                ("correct", "更正", "corrected"),
                ("remove", "移除", "removed"),
                ("uphold", "维持", "upheld"),
            )
        ),
        Step(
            "request-review",
            "申请复查",
            frozenset({"upheld"}),
            "review-requested",
            _APPLICANT,
            starts=("own-decision",),
            reason=True,
        ),
        *(
            Step(
                action,
                label,
                frozenset({"review-requested"}),
                to,
                _HANDLER,
                meets=("own-decision",),
                notice="objection-review-decided",
                ends=True,
                reason=True,
                another_officer=True,
            )
            for action, label, to in (
                ("review-correct", "复查更正", "reviewed-corrected"),
                ("review-remove", "复查移除", "reviewed-removed"),
                ("review-uphold", "复查维持", "reviewed-upheld"),
            )
        ),
        Step(
            "withdraw",
            "撤回申请",
            frozenset({"submitted", "supplement-requested", "verifying", "forwarded", "answered"}),
            "withdrawn",
            _APPLICANT,
            ends=True,
        ),
    ),
)
