"""The rules of repair and of cases, alone: what holds for every record, application and officer."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_service.catalogue.rule_models import ObjectionRule, RepairRule
from credit_service.objections.machine import OBJECTION
from credit_service.objections.rules import Ground, is_ground, objection_rule
from credit_service.platform.errors import Problem
from credit_service.records.models import State
from credit_service.repairs import rules
from credit_service.repairs.machine import REPAIR
from credit_service.repairs.rules import Application
from credit_service.workflows import rules as cases
from credit_service.workflows.machine import Party
from tests.api import CATALOGUE

REPAIR_RULES = [
    rule
    for (kind, _), found in CATALOGUE.rules.items()
    if kind == "repair"
    for rule in found
    if isinstance(rule, RepairRule)
]
days = st.dates(date(2022, 1, 1), date(2030, 12, 31))
principals = st.sampled_from(["client:a", "client:b", "client:c"])
proofs = st.lists(st.none() | days, max_size=3).map(tuple)


@given(st.sampled_from(REPAIR_RULES), days, st.none() | days, proofs, st.booleans(), st.booleans(), days)
def test_time_alone_never_takes_eligibility_away_and_the_day_named_is_the_first(
    rule: RepairRule,
    decided_on: date,
    window: date | None,
    given_proofs: tuple[date | None, ...],
    committed: bool,
    heavier: bool,
    today: date,
) -> None:
    first = rules.eligible_from(rule, decided_on, window)
    application = Application(given_proofs, committed)

    def judged(day: date) -> list[rules.Condition]:
        return list(rules.conditions(rule, first, application, heavier_since=heavier, today=day))

    found = judged(today)
    assert {condition.name for condition in found} >= set(rule.conditions)
    assert all(condition.why for condition in found)
    met = {condition.name for condition in found if condition.met}
    assert met <= {condition.name for condition in judged(today + timedelta(days=1)) if condition.met}
    again = rules.apply_again_from(found)
    if again is not None:
        assert again > today or any(c.met is False and c.from_on is not None and c.from_on <= today for c in found)
        late = {c.name for c in judged(again) if c.met is False}
        timed = {c.name for c in found if c.met is False and c.from_on is not None and c.name not in rules.PROVED}
        assert not late & timed, "on the day named no term stands in the way any more"
        before = judged(max(again - timedelta(days=1), today))
        assert again <= today or any(c.met is False and c.from_on == again for c in before)


@given(days, st.none() | days, st.sampled_from(sorted(State)))
def test_only_what_stands_is_repaired(decided_on: date, window: date | None, state: str) -> None:
    for rule in (None, *REPAIR_RULES):
        first = rules.eligible_from(rule, decided_on, window) if rule is not None else None
        possible = not rules.check_record(state, rule, first)
        assert possible == (rule is not None and first is not None and state in ("published", "withheld", "shielded"))


def test_a_supplement_brings_what_was_missing() -> None:
    content = {"materials": [], "commitment": None, "statements": [{"action": "supplement", "on": "2026-05-06"}]}
    assert rules.application_of(content) == Application((), committed=False)
    proof = {"kind": "proof-of-performance", "dated_on": "2026-05-01"}
    content["statements"].append({"action": "supplement", "materials": [proof, {"kind": "evidence"}]})
    assert rules.application_of(content) == Application((date(2026, 5, 1),), committed=False)


def test_wages_are_repaired_six_months_after_the_correction_not_after_the_listing() -> None:
    (rule,) = [rule for rule in REPAIR_RULES if rule.name == "wage-arrears-list"]
    first = rules.eligible_from(rule, date(2026, 1, 1), None)
    paid = Application((date(2026, 5, 31),), committed=True)
    found = rules.conditions(rule, first, paid, heavier_since=False, today=date(2026, 11, 29))
    assert rules.apply_again_from(found) == date(2026, 11, 30)
    assert all(
        condition.met
        for condition in rules.conditions(rule, first, paid, heavier_since=False, today=date(2026, 11, 30))
    )


@given(
    principals,
    principals,
    st.frozensets(principals),
    st.dictionaries(st.sampled_from(sorted(OBJECTION.decisive)), principals),
)
def test_nobody_judges_in_their_own_matter(
    principal: str, applicant: str, recorded_by: frozenset[str], officers: dict[str, str]
) -> None:
    def refuses(check: object, *arguments: object) -> bool:
        try:
            check(*arguments)  # type: ignore[operator]
        except Problem as problem:
            assert problem.type is cases.CONFLICT_OF_INTEREST
            return True
        return False

    assert refuses(cases.check_separate, principal, applicant, recorded_by) == (
        principal == applicant or principal in recorded_by
    )
    assert refuses(cases.check_another, OBJECTION, principal, officers) == (principal in officers.values())
    for needed in (True, False):
        proposed = {"propose": applicant}
        assert refuses(cases.check_four_eyes, needed, "proposed", principal, proposed) == (principal == applicant)
        assert refuses(cases.check_four_eyes, needed, "under-review", principal, {}) == needed


@given(st.sampled_from([REPAIR, OBJECTION]), st.data())
def test_any_way_through_a_machine_stays_in_it_and_a_supplement_returns(machine, data) -> None:
    state, returns_to = machine.initial, None
    for _ in range(12):
        possible = sorted(cases.possible(machine, state, list(Party)))
        if not possible:
            assert state in machine.closed
            return
        step = machine.by_action[data.draw(st.sampled_from(possible))]
        before = (state, returns_to)
        state, returns_to = cases.next_state(step, state, returns_to)
        assert state in machine.states
        assert (returns_to is None) or state == "supplement-requested"
        if step.resumes:
            assert state == before[1], "back to where it was, not to where it began"
        if cases.is_flagged(machine, *before) and not cases.is_flagged(machine, state, returns_to):
            assert "unflag" in step.effects
        if not cases.is_flagged(machine, *before) and cases.is_flagged(machine, state, returns_to):
            assert "flag" in step.effects


@pytest.mark.parametrize("ground", sorted(Ground))
def test_grounds_are_those_of_the_rule(ground: Ground) -> None:
    general = objection_rule(CATALOGUE, "administrative-penalty", date(2026, 4, 20), date(2026, 5, 6))
    abnormal = objection_rule(CATALOGUE, "abnormal-operation-list", date(2026, 4, 20), date(2026, 5, 6))
    assert is_ground(general, ground) == (ground is not Ground.OTHER)
    assert is_ground(abnormal, ground) == (ground.value in (*abnormal.grounds, "wrong-subject"))
    (shanghai,) = [rule for rule in CATALOGUE.rules["objection", "shanghai"] if isinstance(rule, ObjectionRule)]
    assert is_ground(shanghai, ground), "a rule that lists none knows all"
