"""The objection workflow as data (国办发〔2025〕22号 八; local: 上海 36-38, 深圳 48-51, 山东 38-40, 河南 41-43).

The record is marked on every surface from acceptance until the decision, and again while a review is pending: until
then the objection has not been decided for good.
"""

from __future__ import annotations

from credit_service.catalogue.models import Words
from credit_service.workflows.machine import Gate, Machine, Party, Step

_APPLICANT = frozenset({Party.APPLICANT})
_HANDLER = frozenset({Party.HANDLER})
_SOURCE = frozenset({Party.SOURCE})
_VERIFYING = frozenset({"verifying", "answered"})
_HANDLED = _VERIFYING | {"submitted", "forwarded", "supplement-requested", "review-requested"}
_UNDECIDED = _VERIFYING | {"submitted", "supplement-requested", "forwarded"}
_DECISIONS = (
    ("correct", Words("更正", "correction"), "corrected", ("correct-record", "unflag", "tell-subject")),
    ("remove", Words("移除", "removal"), "removed", ("remove-record", "unflag", "tell-subject")),
    ("uphold", Words("维持", "record upheld"), "upheld", ("unflag",)),
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


def _decision(action: str, label: Words, to: str, effects: tuple[str, ...]) -> Step:
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


def _review(action: str, label: Words, to: str, effects: tuple[str, ...]) -> Step:
    return Step(
        f"review-{action}",
        Words(f"复查{label.zh}", f"{label.en} on review"),
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
    label=Words("异议", "Objection"),
    states={
        "submitted": Words("已提交", "submitted"),
        "supplement-requested": Words("待补正", "waiting for a supplement"),
        "refused": Words("不予受理", "not accepted"),
        "verifying": Words("核查中", "under verification"),
        "forwarded": Words("已转数据来源单位", "forwarded to the source"),
        "answered": Words("来源单位已反馈", "answered by the source"),
        "corrected": Words("已更正", "corrected"),
        "removed": Words("已移除", "removed"),
        "upheld": Words("维持", "record upheld"),
        "review-requested": Words("申请复查", "review requested"),
        "reviewed-corrected": Words("复查后更正", "corrected on review"),
        "reviewed-removed": Words("复查后移除", "removed on review"),
        "reviewed-upheld": Words("复查后维持", "record upheld on review"),
        "withdrawn": Words("已撤回", "withdrawn"),
    },
    opening=Step(
        "open",
        Words("提交", "submission"),
        frozenset(),
        "submitted",
        _APPLICANT,
        events=frozenset({"received"}),
        starts=("flag", "own-decision", "forward"),
        guards=("known-ground", "only-one"),
        effects=("tell-agency",),
    ),
    steps=(
        Step("claim", Words("认领", "taking over"), _HANDLED, None, _HANDLER, effects=("assign",)),
        Step(
            "request-supplement",
            Words("要求补正", "request for a supplement"),
            frozenset({"submitted", "verifying"}),
            "supplement-requested",
            _HANDLER,
            pauses=True,
            effects=("await-supplement",),
            notice="objection-supplement-requested",
            reason=True,
        ),
        Step(
            "supplement",
            Words("补正", "supplement"),
            frozenset({"supplement-requested"}),
            None,
            _APPLICANT,
            resumes=True,
        ),
        Step(
            "lapse",
            Words("逾期未补正, 视为撤回", "lapse for want of a supplement"),
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
            Words("受理并标注", "acceptance"),
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
            Words("不予受理", "refusal"),
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
            Words("转数据来源单位", "verification by the source of the data"),
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
            Words("来源单位延期", "extension for the source"),
            frozenset({"forwarded"}),
            None,
            _SOURCE,
            extends="source-decision",
            guards=("extendable",),
            reason=True,
        ),
        Step(
            "answer",
            Words("来源单位反馈", "answer of the source"),
            frozenset({"forwarded"}),
            "answered",
            _SOURCE,
            meets=("source-decision",),
            reason=True,
        ),
        Step(
            "recall",
            Words("收回自行核查", "taking the verification back from the source"),
            frozenset({"forwarded"}),
            "verifying",
            _HANDLER,
            guards=("source-silent",),
            reason=True,
        ),
        Step(
            "concur",
            Words("会签, 同意移出", "concurrence in a removal"),
            _VERIFYING | {"review-requested"},
            None,
            _HANDLER,
            guards=("separate-officer",),
            reason=True,
        ),
        *(_decision(*decision) for decision in _DECISIONS),
        Step(
            "request-review",
            Words("申请复查", "request for a review"),
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
        Step(
            "withdraw",
            Words("撤回申请", "withdrawal"),
            _UNDECIDED,
            "withdrawn",
            _APPLICANT,
            effects=("unflag",),
            ends=True,
        ),
    ),
    decisive=frozenset({"refuse", "correct", "remove", "uphold", "review-correct", "review-remove", "review-uphold"}),
    flagged=frozenset({"verifying", "forwarded", "answered", "review-requested"}),
)
