"""The objection workflow as data (国办发〔2025〕22号 八; local: 上海 36-38, 深圳 48-51, 山东 38-40, 河南 41-43).

The record is marked on every surface from acceptance until the decision, and again while a review is pending: until
then the objection has not been decided for good.
"""

from __future__ import annotations

from credit_service.workflows.machine import Gate, Machine, Party, Step

_APPLICANT = frozenset({Party.APPLICANT})
_HANDLER = frozenset({Party.HANDLER})
_SOURCE = frozenset({Party.SOURCE})
_VERIFYING = frozenset({"verifying", "answered"})
_HANDLED = _VERIFYING | {"submitted", "forwarded", "supplement-requested", "review-requested"}
_UNDECIDED = _VERIFYING | {"submitted", "supplement-requested", "forwarded"}
_DECISIONS = (
    ("correct", "更正", "corrected", ("correct-record", "unflag", "tell-subject")),
    ("remove", "移除", "removed", ("remove-record", "unflag", "tell-subject")),
    ("uphold", "维持", "upheld", ("unflag",)),
)
_SUPPLEMENT_TOLD = Gate(
    "objection-supplement-requested",
    frozenset({"supplement-requested"}),
    "国办发〔2025〕22号 八 (补正应当告知申请人)",
    "inference",
)


def _guards(action: str, *others: str) -> tuple[str, ...]:
    """What ends a serious listing takes a second officer besides."""
    return ("separate-officer", *others, *(("four-eyes",) if action == "remove" else ()))


def _decision(action: str, label: str, to: str, effects: tuple[str, ...]) -> Step:
    return Step(
        action,
        label,
        _VERIFYING,
        to,
        _HANDLER,
        meets=("own-decision", "forwarded-decision"),
        guards=_guards(action),
        effects=(*effects, "offer-review"),
        notice="objection-decided",
        ends=True,
        reason=True,
    )


def _review(action: str, label: str, to: str, effects: tuple[str, ...]) -> Step:
    return Step(
        f"review-{action}",
        f"复查{label}",
        frozenset({"review-requested"}),
        f"reviewed-{to}",
        _HANDLER,
        meets=("own-decision",),
        guards=_guards(action, "another-officer"),
        effects=effects,
        notice="objection-review-decided",
        ends=True,
        reason=True,
    )


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
    opening=Step(
        "open",
        "提交",
        frozenset(),
        "submitted",
        _APPLICANT,
        events=frozenset({"received"}),
        starts=("flag", "own-decision", "forward"),
        guards=("known-ground", "only-one"),
        effects=("tell-agency",),
    ),
    steps=(
        Step("claim", "认领", _HANDLED, None, _HANDLER, effects=("assign",)),
        Step(
            "request-supplement",
            "要求补正",
            frozenset({"submitted", "verifying"}),
            "supplement-requested",
            _HANDLER,
            pauses=True,
            effects=("await-supplement",),
            notice="objection-supplement-requested",
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
            effects=("unflag",),
            ends=True,
            reason=True,
        ),
        Step(
            "accept",
            "受理并标注",
            frozenset({"submitted"}),
            "verifying",
            _HANDLER,
            events=frozenset({"accepted"}),
            meets=("flag",),
            starts=("own-decision",),
            effects=("flag",),
            notice="objection-accepted",
        ),
        Step(
            "refuse",
            "不予受理",
            frozenset({"submitted"}),
            "refused",
            _HANDLER,
            meets=("flag", "own-decision", "forward"),
            guards=("separate-officer",),
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
            events=frozenset({"forwarded"}),
            meets=("own-decision", "forward"),
            starts=("forwarded-decision", "source-decision"),
            guards=("data-of-another",),
            effects=("tell-source",),
            notice="objection-forwarded",
        ),
        Step(
            "extend",
            "来源单位延期",
            frozenset({"forwarded"}),
            None,
            _SOURCE,
            extends="source-decision",
            guards=("extendable",),
            reason=True,
        ),
        Step(
            "answer",
            "来源单位反馈",
            frozenset({"forwarded"}),
            "answered",
            _SOURCE,
            meets=("source-decision",),
            reason=True,
        ),
        Step(
            "concur",
            "会签, 同意移出",
            _VERIFYING | {"review-requested"},
            None,
            _HANDLER,
            guards=("separate-officer",),
            reason=True,
        ),
        *(_decision(*decision) for decision in _DECISIONS),
        Step(
            "request-review",
            "申请复查",
            frozenset({"corrected", "removed", "upheld"}),
            "review-requested",
            _APPLICANT,
            events=frozenset({"received", "accepted"}),
            starts=("own-decision",),
            guards=("review-in-time",),
            effects=("flag", "tell-agency", "forget-concurrence"),
            reason=True,
        ),
        *(_review(*decision) for decision in _DECISIONS),
        Step("withdraw", "撤回申请", _UNDECIDED, "withdrawn", _APPLICANT, effects=("unflag",), ends=True),
    ),
    decisive=frozenset({"refuse", "correct", "remove", "uphold", "review-correct", "review-remove", "review-uphold"}),
    flagged=frozenset({"verifying", "forwarded", "answered", "review-requested"}),
)
