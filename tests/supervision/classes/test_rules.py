"""What a class is made of, and that no record counts which the law has taken back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_service.platform.days import day_of
from credit_service.platform.errors import Problem
from credit_service.records.models import State
from credit_service.supervision.classes import documents
from credit_service.supervision.classes.rules import Facts, RecordFact, RuleSet, bar, boundaries, evaluate, outlook
from tests.conftest import NOW
from tests.supervision.classes.support import (
    CATALOGUE,
    EXAMPLE,
    SHIPPED,
    company,
    entities,
    penalty_fact,
    records,
    rule_sets,
)

GONE = (State.REPAIRED, State.ANNULLED, State.WITHDRAWN, State.REMOVED, State.SHIELDED, State.ARCHIVED)
CLOSED = [*GONE, State.AWAITING_NOTICE]


@given(facts=entities, rule_set=rule_sets() | st.just(EXAMPLE), added=st.lists(records, min_size=1, max_size=4))
def test_closed_and_expired_records_change_nothing(facts: Facts, rule_set: RuleSet, added: list[RecordFact]) -> None:
    """Whatever is repaired, annulled, withdrawn, removed, shielded, archived or over is as if it had never been."""
    without = evaluate(facts, rule_set, NOW)
    day = timedelta(days=1)
    for state in CLOSED:
        closed = tuple(replace(record, state=state) for record in added)
        assert evaluate(replace(facts, records=facts.records + closed), rule_set, NOW) == without
    for over in (
        {"publicity_until": NOW},
        {"disclosure_until": NOW},
        {"state": State.WITHHELD, "valid_until": day_of(NOW) - day},
        {"state": State.PUBLISHED, "publicity_from": NOW + day},
    ):
        ended = tuple(replace(record, **over) for record in added)
        assert evaluate(replace(facts, records=facts.records + ended), rule_set, NOW) == without


@given(facts=entities, rule_set=rule_sets() | st.just(EXAMPLE), hours=st.integers(0, 20_000))
def test_nothing_changes_between_the_boundaries(facts: Facts, rule_set: RuleSet, hours: int) -> None:
    ahead = boundaries(facts, rule_set, NOW)
    later = NOW + timedelta(hours=hours)
    if not ahead or later < ahead[0]:
        assert evaluate(facts, rule_set, later) == evaluate(facts, rule_set, NOW)
    assert all(moment > NOW for moment in ahead)


@given(facts=entities, rule_set=rule_sets() | st.just(EXAMPLE))
def test_the_outlook_is_true(facts: Facts, rule_set: RuleSet) -> None:
    """Repairing what it names gives the class it names, each record of it is needed, and time does what it says."""
    now, found = evaluate(facts, rule_set, NOW), outlook(facts, rule_set, NOW)

    def repaired(gone: tuple[RecordFact, ...]) -> str:
        ids = {record.id for record in gone}
        left = tuple(replace(r, state=State.REPAIRED) if r.id in ids else r for r in facts.records)
        return evaluate(replace(facts, records=left), rule_set, NOW).risk_class

    if found.together:
        assert repaired(found.together) == found.together_class
        assert found.together_class is not None
        assert found.together_class < now.risk_class
        for needed in found.together:
            assert repaired(tuple(r for r in found.together if r != needed)) == now.risk_class
    for change in (found.better_at, found.next_at):
        if change is not None:
            assert evaluate(facts, rule_set, change[0]).risk_class == change[1] != now.risk_class
    if found.next_at is not None:
        before = found.next_at[0] - timedelta(microseconds=1)
        assert evaluate(facts, rule_set, before).risk_class == now.risk_class


@pytest.mark.parametrize(
    ("found", "risk_class", "points"),
    [
        ([], "A", 0),
        ([penalty_fact(severity="minor")], "A", 2),
        ([penalty_fact(severity="general")], "B", 10),
        ([penalty_fact()], "C", 30),
        ([penalty_fact(), penalty_fact()], "C", 45),
        ([penalty_fact(severity="minor") for _ in range(3)], "B", 21),
        ([penalty_fact(severity="general", decided_on=day_of(NOW) - timedelta(days=730))], "A", 0),
        ([penalty_fact(severity="general", decided_on=day_of(NOW) - timedelta(days=729))], "B", 10),
        ([penalty_fact(item_code="abnormal-operation-list", severity=None)], "C", 30),
        ([penalty_fact(item_code="serious-dishonesty-tax", severity="serious")], "D", 60),
        ([penalty_fact(item_code="inspection-result", values={"result": "未发现问题"})], "A", 0),
        ([penalty_fact(item_code="commitment", values={"fulfilment": "部分履行"})], "B", 12),
    ],
)
def test_the_example_by_hand(found: list[RecordFact], risk_class: str, points: int) -> None:
    evaluation = evaluate(company(*found), EXAMPLE, NOW)
    assert (evaluation.risk_class, evaluation.points) == (risk_class, points)
    assert evaluation.points == max(0, sum(each.points for each in evaluation.contributions))


def test_why_class_c_and_what_would_make_it_b() -> None:
    severe, light = penalty_fact(), penalty_fact(severity="general")
    found = outlook(company(severe, light), EXAMPLE, NOW)
    assert [record.id for record in found.together] == [severe.id]
    assert found.together_class == "B"
    assert {record.id: each.points for record, each in found.without} == {severe.id: 10, light.id: 30}
    assert found.better_at is not None
    assert found.better_at[1] == "A"
    assert found.better_at[0] == NOW + timedelta(days=300)


def refused(**changes: Any) -> list[str]:
    with pytest.raises(Problem) as problem:
        documents.build({**SHIPPED, **changes}, CATALOGUE)
    assert problem.value.type.slug == "rule-set-refused"
    return [error.pointer for error in problem.value.errors]


def with_rule(**rule: Any) -> list[dict[str, Any]]:
    return [{"id": "rule", "label_zh": "规则", "label_en": "rule", "points": 5} | rule]


def test_a_faulty_rule_set_is_refused_with_its_place() -> None:
    assert refused(bands={"B": 10, "C": 10, "D": 60}) == ["/document/bands"]
    assert refused(unknown=1) == ["/document/"]
    assert refused(rules=with_rule(records={"items": ["no-such-item"]})) == [
        "/document/rules/0/records/items",
        "/document/rules/0/records",
    ]
    assert refused(rules=with_rule(records={"kinds": ["penalty"], "facts": {"no_such_field": ["x"]}})) == [
        "/document/rules/0/records/facts/no_such_field"
    ]
    assert refused(rules=with_rule(records={"kinds": ["penalty"]}, each_further=-1)) == [
        "/document/rules/0/each_further"
    ]
    assert refused(rules=with_rule(records={"kinds": ["penalty"]}, most=3)) == ["/document/rules/0/most"]
    assert refused(rules=with_rule(records={"kinds": ["penalty"]}) * 2) == ["/document/rules/1/id"]
    assert refused(rules=with_rule()) == ["/document/rules/0"]


def test_uploaded_text_is_read_safely() -> None:
    for text in ("a: &x [1]\nb: *x", "!!python/object/apply:os.system ['true']", "[1, 2]", "{", "x" * (1 << 19)):
        with pytest.raises(Problem):
            documents.parse(text)
    assert documents.parse('{"name": "a"}') == {"name": "a"}


def test_the_shipped_rule_set_says_that_it_is_an_example() -> None:
    assert {document["status"] for document in documents.shipped().values()} == {"example"}


def test_every_state_is_judged() -> None:
    at: datetime = NOW
    counted = {state for state in State if bar(penalty_fact(state=state), at) is None}
    assert counted == {State.PUBLISHED, State.WITHHELD}
