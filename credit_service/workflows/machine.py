"""A workflow declared once as data: state, action, actor, guard, effect, deadline, notice. Code and docs read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from credit_service.catalogue.models import Words


class Party(StrEnum):
    """Who acts in a case."""

    APPLICANT = "applicant"  # 申请人
    HANDLER = "handler"  # 办理单位经办人
    SOURCE = "source"  # 数据来源单位


@dataclass(frozen=True, slots=True)
class Gate:
    """A step that waits for proof that an earlier notice of the case reached its applicant.

    ``notice`` is the template of that notice, ``sources`` the states in which the law asks for it, ``legal_basis`` the
    rule that does and ``status`` how well that is verified.
    """

    notice: str
    sources: frozenset[str]
    legal_basis: str
    status: str


@dataclass(frozen=True, slots=True)
class Step:
    """One action: from which states, by whom, to where.

    ``to`` empty: the state the case came from where the step ``resumes``, otherwise it stays. ``events`` are what
    happens in law with this step; a time-limit of ``starts`` begins with it, if the event that its rule counts from has
    happened. ``meets`` are kept by the step, ``extends`` names the one it prolongs; ``pauses`` and ``resumes`` mean all
    open ones. ``guards`` must let it pass, ``effects`` are what it does besides, both by the names that the workflow
    implements; ``notice`` is the template of what the applicant is told, ``gate`` what it must have been told before.
    ``ends``: the case is closed.
    """

    action: str
    label: Words
    sources: frozenset[str]
    to: str | None
    by: frozenset[Party]
    events: frozenset[str] = frozenset()
    starts: tuple[str, ...] = ()
    meets: tuple[str, ...] = ()
    pauses: bool = False
    resumes: bool = False
    extends: str | None = None
    guards: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()
    notice: str | None = None
    gate: Gate | None = None
    ends: bool = False
    reason: bool = False

    def target(self, state: str, returns_to: str | None) -> str:
        """Where the step leads from a state."""
        if self.to is not None:
            return self.to
        return returns_to if self.resumes and returns_to is not None else state


@dataclass(frozen=True)
class Machine:
    """A workflow: its states in words, the step that opens a case, and the others.

    ``flagged`` are the states in which the record is marked as objected to; ``decisive`` the actions that decide.
    """

    name: str
    label: Words
    states: Mapping[str, Words]
    opening: Step
    steps: tuple[Step, ...]
    decisive: frozenset[str]
    flagged: frozenset[str] = frozenset()
    by_action: Mapping[str, Step] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_action", {step.action: step for step in self.steps})
        assert len(self.by_action) == len(self.steps), "an action is declared once"
        assert self.decisive <= set(self.by_action), "what decides is an action"
        for step in (self.opening, *self.steps):
            assert step.sources | ({step.to} if step.to else set()) <= set(self.states), step
            if step.gate is not None:
                assert step.gate.sources <= step.sources, step
                assert step.gate.notice in {other.notice for other in self.steps}, "a gate waits for a notice we owe"

    @property
    def initial(self) -> str:
        """Where a case begins."""
        assert self.opening.to is not None
        return self.opening.to

    @property
    def closed(self) -> frozenset[str]:
        """States of a case that is decided or withdrawn: nothing but the exceptional goes on from there."""
        return frozenset(step.to for step in self.steps if step.ends and step.to)

    def steps_for(self, state: str, party: Party) -> Iterator[Step]:
        """What a party may do in a state."""
        return (step for step in self.steps if state in step.sources and party in step.by)

    def transitions(self) -> Iterator[tuple[str, Step, Party]]:
        """Every (state, step, party) that is legal."""
        for step in self.steps:
            for state in sorted(step.sources):
                for party in sorted(step.by):
                    yield state, step, party

    def drawing(self) -> str:
        """The machine as a Mermaid state diagram."""
        lines = ["stateDiagram-v2", f"    [*] --> {_id(self.initial)}: {self.opening.label.zh}"]
        lines += [f"    {_id(state)}: {label.zh} {state}" for state, label in self.states.items()]
        for step in self.steps:
            for state in sorted(step.sources):
                for target in self._targets(step, state):
                    if target != state:
                        lines.append(f"    {_id(state)} --> {_id(target)}: {step.label.zh} {step.action}")
        lines += [f"    {_id(state)} --> [*]" for state in sorted(self.closed)]
        return "\n".join(lines)

    def _targets(self, step: Step, state: str) -> list[str]:
        if step.to is None and step.resumes:
            return sorted({source for other in self.steps if other.to == state for source in other.sources})
        return [step.target(state, None)]

    def table(self) -> str:
        """Every step in Markdown: who, from where to where, on what conditions, with what effect."""
        lines = [
            "| action | by | from | to | guards | effects | time-limits | notice |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += [_row(step) for step in (self.opening, *self.steps)]
        return "\n".join(lines)


def _row(step: Step) -> str:
    limits = [f"starts {name}" for name in step.starts] + [f"meets {name}" for name in step.meets]
    limits += [f"extends {step.extends}"] if step.extends else []
    limits += ["pauses all"] * step.pauses + ["resumes all"] * step.resumes
    to = step.to or ("back" if step.resumes else "(stays)")
    cells = (
        f"{step.label.zh} `{step.action}`",
        ", ".join(sorted(step.by)),
        ", ".join(sorted(step.sources)) or "-",
        to,
        ", ".join((*step.guards, *_gate(step))),
        ", ".join(step.effects),
        ", ".join(limits),
        step.notice or "",
    )
    return "| " + " | ".join(cells) + " |"


def _gate(step: Step) -> tuple[str, ...]:
    if step.gate is None:
        return ()
    when = "" if step.gate.sources == step.sources else f" when {', '.join(sorted(step.gate.sources))}"
    return (f"proof of {step.gate.notice}{when} ({step.gate.legal_basis}, {step.gate.status})",)


def _id(state: str) -> str:
    return state.replace("-", "_")
