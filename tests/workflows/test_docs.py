"""The drawings in the guide are those of the machines. To renew them: ``python -m tests.workflows.test_docs``."""

from __future__ import annotations

import re

import pytest

from credit_service.objections.commands import WORKFLOW as OBJECTION
from credit_service.repairs.commands import WORKFLOW as REPAIR
from credit_service.workflows.commands import Workflow
from tests.support import ROOT

PAGE = ROOT / "docs" / "workflows.md"


def renewed(text: str) -> str:
    """The page with the drawing and the table of each machine between its marks."""
    for workflow in (REPAIR, OBJECTION):
        machine = workflow.machine
        body = f"\n```mermaid\n{machine.drawing()}\n```\n\n{machine.table()}\n"
        marks = rf"(<!-- {machine.name} -->).*?(<!-- end -->)"
        text, found = re.subn(marks, lambda m, body=body: m[1] + body + m[2], text, flags=re.DOTALL)
        assert found == 1, machine.name
    return text


def test_the_guide_draws_the_machines_as_they_are() -> None:
    assert renewed(PAGE.read_text(encoding="utf-8")) == PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("workflow", [REPAIR, OBJECTION], ids=lambda workflow: workflow.machine.name)
def test_every_state_is_reached_and_left_or_final(workflow: Workflow) -> None:
    machine = workflow.machine
    reached = {machine.initial}
    while True:
        more = {step.to for step in machine.steps if step.to and step.sources & reached} - reached
        if not more:
            break
        reached |= more
    assert reached == set(machine.states)
    left = {state for step in machine.steps for state in step.sources if step.target(state, None) != state}
    assert set(machine.states) - left <= machine.closed, "what cannot be left is closed"
    assert machine.flagged.isdisjoint(machine.closed)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
