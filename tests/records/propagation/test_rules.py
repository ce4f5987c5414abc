"""Who is told what until when, without a database."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_service.platform.calendar import PACKAGE
from credit_service.platform.days import start_of
from credit_service.records.commands import CORRECTED, EXCLUDED, STORED
from credit_service.records.life import NOTICE_SERVED
from credit_service.records.models import State
from credit_service.records.propagation import rules
from credit_service.records.propagation.rules import Instruction, PropagationState, Receiver
from credit_service.records.standing import TRANSITIONS, Action
from tests.api import CATALOGUE


def test_every_action_says_what_its_receivers_do() -> None:
    for action in Action:
        instruction, to = rules.instruction_of(f"record.{action.value}"), TRANSITIONS[action].to
        if action is Action.ARCHIVE:
            assert instruction is None
        else:  # what leaves the states that are shown stops; what returns to them is restored
            shown = to is None or to is State.PUBLISHED
            assert instruction is (Instruction.RESTORE if shown else Instruction.STOP)
    assert rules.instruction_of(CORRECTED) is Instruction.CORRECT
    assert rules.instruction_of(EXCLUDED) is Instruction.STOP
    assert rules.instruction_of(STORED) is rules.instruction_of(NOTICE_SERVED) is None
    with pytest.raises(KeyError):
        rules.instruction_of("record.unthought-of")


@pytest.mark.parametrize(
    ("change", "receiver", "version", "status"),
    [
        ("record.repair", Receiver.REGISTRATION_PLACE, "samr-order-107-push", "secondary"),
        ("record.repair", Receiver.CREDIT_CHINA, "samr-order-107-push", "inference"),
        ("record.corrected", Receiver.REGISTRATION_PLACE, "samr-order-107-push", "inference"),
        ("record.annul", Receiver.CREDIT_CHINA, "penalty-law-48", "verified"),
        ("record.annul", Receiver.ENTERPRISE_PUBLICITY, "samr-order-45-11", "verified"),
    ],
)
def test_the_rule_and_how_well_it_is_known(change: str, receiver: Receiver, version: str, status: str) -> None:
    # 2026-05-06 is a Wednesday after the holidays; the third working day after it: Thursday, Friday, then Saturday the
    # 9th, which the notice of 2026 makes a working day.
    now = datetime(2026, 5, 6, 2, tzinfo=UTC)
    term = rules.term(CATALOGUE, PACKAGE, receiver, change, now)
    assert (term.rule_version, term.status, term.provisional) == (version, status, False)
    last = sorted(day for day in (date(2026, 5, n) for n in range(7, 20)) if PACKAGE.is_working(day))[2]
    assert term.due_at == start_of(date.fromordinal(last.toordinal() + 1))


@pytest.mark.parametrize(
    ("prefix", "change", "receiver", "version", "working_days"),
    [
        ("41", "record.annul", Receiver.CREDIT_CHINA, "henan-annulled-removal", 1),
        ("41", "record.repair", Receiver.AGENCY, "henan-repair-removal", 1),
        ("31", "record.annul", Receiver.AGENCY, "shanghai-annulled-removal", 3),
        ("31", "record.repair", Receiver.CREDIT_CHINA, "shanghai-repair-removal", 3),
        ("37", "record.annul", Receiver.CREDIT_CHINA, "shandong-annulled-push", 3),
        ("37", "record.repair", Receiver.CREDIT_CHINA, "samr-order-107-push", 3),
        ("4403", "record.annul", Receiver.CREDIT_CHINA, "penalty-law-48", 3),
        ("41", "record.annul", Receiver.ENTERPRISE_PUBLICITY, "samr-order-45-11", 3),
        ("41", "record.repair", Receiver.REGISTRATION_PLACE, "samr-order-107-push", 3),
        ("41", "record.corrected", Receiver.CREDIT_CHINA, "samr-order-107-push", 3),
    ],
)
def test_a_jurisdiction_s_own_rule_comes_first(
    prefix: str, change: str, receiver: Receiver, version: str, working_days: int
) -> None:
    now = datetime(2026, 5, 6, 2, tzinfo=UTC)
    term = rules.term(CATALOGUE, PACKAGE, receiver, change, now, prefix)
    last = sorted(day for day in (date(2026, 5, n) for n in range(7, 20)) if PACKAGE.is_working(day))[working_days - 1]
    assert (term.rule_version, term.amount) == (version, working_days)
    assert term.due_at == start_of(date.fromordinal(last.toordinal() + 1))


def test_items_of_the_publicity_system() -> None:
    found = rules.enterprise_publicity_items(CATALOGUE)
    assert {"administrative-penalty", "abnormal-operation-list", "serious-dishonesty-market-regulation"} <= set(found)
    assert "taxpayer-grade-a" not in found


@pytest.mark.parametrize(
    ("division", "prefix"),
    [("500103", "500103"), ("500100", "5001"), ("500000", "50"), ("100000", ""), ("100103", "")],
)
def test_the_place_an_agency_stands_for(division: str, prefix: str) -> None:
    assert rules.place_prefix(division) == prefix


instants = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))


@given(instants, st.none() | instants, st.none() | instants, instants)
def test_a_row_is_in_one_state(
    due: datetime, acknowledged: datetime | None, superseded: datetime | None, now: datetime
) -> None:
    state = rules.state_of(due, acknowledged, superseded, now)
    assert (state is PropagationState.ACKNOWLEDGED) == (acknowledged is not None)
    if state in (PropagationState.DUE, PropagationState.OVERDUE):
        assert acknowledged is superseded is None
        assert (state is PropagationState.OVERDUE) == (now >= due)
