"""Every transition by role over HTTP: each legal one is taken, each other one refused."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from credit_service.accounts.models import Grant
from credit_service.accounts.rules import Role
from credit_service.identity.uscc import compose
from credit_service.objections.machine import OBJECTION
from credit_service.platform.days import day_of
from credit_service.repairs.machine import REPAIR
from credit_service.workflows.machine import Machine, Party, Step
from tests.api import CATALOGUE
from tests.workflows.support import COMMITMENT, PROOF, SOURCE, House, Person

SHENZHEN = compose("11", "440305", "00555001")
"""Its rules know every time-limit of an objection, the source's extension too."""
HANDLERS = [Person(name, Role.SUBMITTER, SHENZHEN) for name in ("first", "second")]
SOURCES = [Person("clerk", Role.SUBMITTER, SOURCE), Person("answerer", Role.SUBMITTER, SOURCE)]
OUTSIDERS = [
    Person("other-agency", Role.SUBMITTER, compose("11", "310115", "00245931")),
    Person("other-entity", Role.SUBJECT, entity=compose("91", "440305", "MA099999")),
]
NUMBERS = count(1)
REASON = "经核查作出本项处理"


def body_of(house: House, action: str) -> dict[str, Any]:
    """A good body for an action."""
    today = day_of(house.api.clock.now())
    decision = {"reason": REASON, "document_number": "深修〔2026〕1号"}
    bodies: dict[str, dict[str, Any]] = {
        "revise": {"materials": [PROOF], "commitment": COMMITMENT},
        "request-supplement": {"reason": REASON, "supplement_by": str(today + timedelta(days=5))},
        "grant": decision,
        "reject": decision,
        "revoke": {**decision, "ground": "false-materials", "evidence": "银行回函"},
        "answer": {"reason": REASON, "mistaken": True},
        **{
            name: {"reason": REASON, "correction": {"facts": {"penalty_content": "罚款一千二百元"}}}
            for name in ("correct", "review-correct")
        },
    }
    return bodies.get(action, {"reason": REASON})


async def opened(house: House, machine: Machine) -> tuple[str, Person]:
    """A new case of an entity of its own, in the first state, with its applicant."""
    number = next(NUMBERS)
    company = compose("91", "440305", f"MA1{number:05d}")
    person = Person(f"applicant-{number}", Role.SUBJECT, entity=company)
    record_id = await house.record(uscc=company, authority_uscc=SHENZHEN, document_number=f"深处罚〔2026〕{number}号")
    if machine is REPAIR:
        return await house.repair(record_id, person, submit=False), person
    return await house.objection(record_id, person), person


def actor_of(step: Step, party: Party, applicant: Person) -> Person:
    if party is Party.APPLICANT:
        return applicant
    if party is Party.SOURCE:
        return SOURCES[1]
    return HANDLERS[1 if step.action == "concur" or step.action.startswith("review-") else 0]


def way_to(machine: Machine, state: str) -> list[tuple[Step, Party]]:
    """The shortest way from the first state to a state."""
    ways: dict[str, list[tuple[Step, Party]]] = {machine.initial: []}
    waiting = [machine.initial]
    while state not in ways:
        at = waiting.pop(0)
        for source, step, party in machine.transitions():
            if source == at and step.to is not None and step.to not in ways:
                ways[step.to] = [*ways[at], (step, party)]
                waiting.append(step.to)
    return ways[state]


async def brought_to(house: House, machine: Machine, state: str) -> tuple[str, Person]:
    path, applicant = await opened(house, machine)
    for step, party in way_to(machine, state):
        await house.done(path, step.action, actor_of(step, party, applicant), body_of(house, step.action))
    return path, applicant


@pytest.fixture
async def shenzhen(house: House) -> House:
    every = [Grant(item_code=item, division_prefix="4403") for item in CATALOGUE.items]
    await house.put_agency(SHENZHEN, "深圳市市场监督管理局南山监管局")
    await house.put_agency(SOURCE, "深圳市公共信用平台", grants=every)
    return house


@pytest.mark.parametrize("machine", [REPAIR, OBJECTION], ids=lambda machine: machine.name)
async def test_every_legal_transition_by_role_is_taken(
    shenzhen: House, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    taken: Counter[Party] = Counter()
    for state, step, party in machine.transitions():
        path, applicant = await brought_to(shenzhen, machine, state)
        if step.action in {"lapse", "recall"}:  # the applicant's or the source's time is over
            shenzhen.api.clock.instant += timedelta(days=7)
        if step.gate is not None and state in step.gate.sources:
            unproved = await shenzhen.act(
                path, step.action, actor_of(step, party, applicant), body_of(shenzhen, step.action)
            )
            assert unproved.json()["type"].endswith("notice-not-proved"), (state, step.action)
            await shenzhen.reads(applicant)
        actor = actor_of(step, party, applicant)
        if state == "proposed" and step.action == "grant":
            actor = HANDLERS[1]
        done = await shenzhen.act(path, step.action, actor, body_of(shenzhen, step.action))
        assert done.status_code == 200, (state, step.action, party, done.text)
        came_from = way_to(machine, state)[-2:]
        back = came_from[-1][0].sources if came_from else frozenset()
        expected = {step.to} if step.to else (back if step.resumes else {state})
        assert done.json()["state"] in expected, (state, step.action)
        taken[party] += 1
    legal = Counter(party for _, _, party in machine.transitions())
    assert taken == legal
    with capsys.disabled():
        by_role = ", ".join(f"{number} as {party.value}" for party, number in sorted(taken.items()))
        print(f"\n{machine.name}: {taken.total()} of {legal.total()} legal transitions taken: {by_role}")


@pytest.mark.parametrize("machine", [REPAIR, OBJECTION], ids=lambda machine: machine.name)
async def test_every_other_transition_is_refused_and_changes_nothing(
    shenzhen: House, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    refused: Counter[str] = Counter()
    legal = {(state, step.action, party) for state, step, party in machine.transitions()}
    for state in machine.states:
        path, applicant = await brought_to(shenzhen, machine, state)
        before = await shenzhen.get(path, applicant)
        insiders = {Party.APPLICANT: applicant, Party.HANDLER: HANDLERS[0], Party.SOURCE: SOURCES[1]}
        attempts = [
            (action, party.value, person)
            for action in machine.by_action
            for party, person in insiders.items()
            if (state, action, party) not in legal
        ]
        attempts += [
            (step.action, "outsider", OUTSIDERS[0 if step.by - {Party.APPLICANT} else 1]) for step in machine.steps
        ]
        for action, who, person in attempts:
            answer = await shenzhen.act(path, action, person, body_of(shenzhen, action))
            assert answer.status_code in (401, 403, 404, 409), (state, action, who, answer.text)
            refused[who] += 1
        assert await shenzhen.get(path, applicant) == before
    with capsys.disabled():
        print(f"\n{machine.name}: {refused.total()} illegal attempts refused: {dict(sorted(refused.items()))}")
