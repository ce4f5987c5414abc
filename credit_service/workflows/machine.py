"""A workflow declared once as data: state, action, actor, deadline, notice. Code, docs and tests read this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Party(StrEnum):
    """Who acts in a case."""

    APPLICANT = "applicant"  # 申请人
    HANDLER = "handler"  # 办理单位经办人
    SOURCE = "source"  # 数据来源单位


@dataclass(frozen=True, slots=True)
class Step:
    """One action: from which states, by whom, to where.

    ``to`` empty: back to the state the case came from. ``starts`` and ``meets`` name deadlines of the catalogue's rule
    (``deadlines`` of the repair or objection rule); ``pauses`` and ``resumes`` all open ones. ``notice`` is the
    template of the notification that the applicant is owed. ``ends``: the case is closed.
    """

    action: str
    label_zh: str
    sources: frozenset[str]
    to: str | None
    by: frozenset[Party]
    starts: tuple[str, ...] = ()
    meets: tuple[str, ...] = ()
    pauses: bool = False
    resumes: bool = False
    extends: bool = False
    notice: str | None = None
    ends: bool = False
    reason: bool = False
    another_officer: bool = False


@dataclass(frozen=True)
class Machine:
    """A workflow: its states with their Chinese labels, where it begins, and its steps."""

    name: str
    states: Mapping[str, str]
    initial: str
    steps: tuple[Step, ...]
    by_action: Mapping[str, Step] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_action", {step.action: step for step in self.steps})
        assert len(self.by_action) == len(self.steps), "an action is declared once"
        for step in self.steps:
            assert step.sources | {step.to or self.initial} <= set(self.states), step

    @property
    def closed(self) -> frozenset[str]:
        """States from which nothing but the exceptional goes on: the case is decided or withdrawn."""
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
        """The machine as a Mermaid state diagram, for the docs."""
        lines = ["stateDiagram-v2", f"    [*] --> {_id(self.initial)}"]
        lines += [f"    {_id(state)}: {label} {state}" for state, label in self.states.items()]
        for step in self.steps:
            who = "、".join(sorted(party.value for party in step.by))
            for state in sorted(step.sources):
                target = _id(step.to) if step.to else _id(state)
                lines.append(f"    {_id(state)} --> {target}: {step.label_zh} {step.action} ({who})")
        lines += [f"    {_id(state)} --> [*]" for state in sorted(self.closed)]
        return "\n".join(lines)


def _id(state: str) -> str:
    return state.replace("-", "_")
