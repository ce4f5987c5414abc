"""How a time-limit runs: every day is counted once or not at all, whatever is paused, resumed and extended."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from credit_service.catalogue.rule_models import ObjectionRule, RepairRule
from credit_service.deadlines import rules
from credit_service.deadlines.rules import Run
from credit_service.platform.calendar import PACKAGE, Unit
from credit_service.platform.days import SHANGHAI, day_of
from tests.api import CATALOGUE
from tests.platform.test_calendar import WORKED


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).astimezone(UTC)


def due_of(since: str, amount: int, unit: str = "working-days", cut_off: time | None = None) -> rules.Due:
    return rules.due(PACKAGE, Run(at(since), amount, unit, cut_off))


@pytest.mark.parametrize(
    ("since", "amount", "unit", "first_too_late"),
    [
        ("2026-04-30 00:00:00", 3, "working-days", "2026-05-09 00:00:00"),
        ("2026-04-30 23:59:59", 4, "working-days", "2026-05-10 00:00:00"),
        ("2026-05-08 12:00:00", 1, "working-days", "2026-05-10 00:00:00"),  # Saturday 9 May is worked
        ("2026-02-13 12:00:00", 2, "working-days", "2026-02-25 00:00:00"),
        ("2026-05-06 09:00:00", 0, "working-days", "2026-05-07 00:00:00"),  # at once: within the day
        ("2026-05-02 09:00:00", 0, "working-days", "2026-05-07 00:00:00"),
        ("2026-09-30 09:00:00", 1, "calendar-days", "2026-10-09 00:00:00"),
        ("2026-01-31 09:00:00", 1, "months", "2026-03-01 00:00:00"),
    ],
)
def test_the_first_instant_too_late(since: str, amount: int, unit: str, first_too_late: str) -> None:
    assert due_of(since, amount, unit) == (at(first_too_late), False)


def test_the_cut_off_costs_a_day_to_the_second() -> None:
    before, after = (due_of(f"2026-05-06 {clock}", 3, cut_off=time(17, 30)).at for clock in ("17:29:59", "17:30:00"))
    assert (before, after) == (at("2026-05-10 00:00:00"), at("2026-05-12 00:00:00"))


# what happens in a life: waits in hours, in turn the wait before a pause and the length of the pause
lives = st.lists(st.tuples(st.integers(0, 90), st.integers(0, 400)), max_size=4)
starts = st.datetimes(datetime(2024, 1, 2), datetime(2025, 6, 1)).map(lambda local: local.replace(tzinfo=SHANGHAI))


def played(
    start: datetime, amount: int, life: list[tuple[int, int]], unit: str
) -> tuple[datetime, list[tuple[date, date]]]:
    """The due instant after a life of pauses, and the spans of days (after the first, with the last) not counted."""
    run, now, paused = Run(start.astimezone(UTC), amount, unit, None), start.astimezone(UTC), []
    for wait, length in life:
        now += timedelta(hours=wait)
        if now >= rules.due(PACKAGE, run).at:
            break
        left, left_unit = rules.remaining(PACKAGE, run, now)
        resumed = now + timedelta(hours=length)
        paused.append((day_of(now), day_of(resumed)))
        run, now = Run(resumed, left, left_unit, None), resumed
    return rules.due(PACKAGE, run).at, paused


@given(starts, st.integers(1, 30), lives)
@example(datetime(2025, 1, 6, tzinfo=SHANGHAI), 1, [(24, 264), (48, 0)])
@example(datetime(2024, 12, 11, 20, tzinfo=SHANGHAI), 1, [(4, 216), (48, 24)])
def test_pauses_preserve_the_number_of_counted_working_days(
    start: datetime, amount: int, life: list[tuple[int, int]]
) -> None:
    due_at, paused = played(start, amount, life, "working-days")
    last = due_at.astimezone(SHANGHAI).date() - timedelta(days=1)

    def counted(until: date) -> int:
        within = [day for day in WORKED if start.date() < day <= until]
        return sum(not any(first < day <= resumed for first, resumed in paused) for day in within)

    if any(counted(first) >= amount for first, _ in paused):
        # Paused on its last day, a run has only the day of the last resumption left, or the next working day.
        assert last == min(day for day in WORKED if day >= paused[-1][1])
    else:
        assert counted(last) == amount


@given(starts, st.integers(1, 60), lives)
def test_pauses_preserve_calendar_days_but_for_the_roll_to_a_working_day(
    start: datetime, amount: int, life: list[tuple[int, int]]
) -> None:
    due_at, paused = played(start, amount, life, "calendar-days")
    last = start.date() + timedelta(days=amount + sum((until - first).days for first, until in paused))
    rolled = min(day for day in WORKED if day >= last)
    ended = due_at.astimezone(SHANGHAI).date() - timedelta(days=1)
    # A pause in the days after the last one, while the term waits for a working day, leaves nothing but that.
    assert ended == rolled or (bool(paused) and ended == min(day for day in WORKED if day >= paused[-1][1]))


@given(starts, st.integers(1, 30), st.integers(0, 1500), st.sampled_from([None, time(17, 30)]))
def test_a_pause_of_no_time_changes_nothing(start: datetime, amount: int, hours: int, cut_off: time | None) -> None:
    run = Run(start.astimezone(UTC), amount, "working-days", cut_off)
    now = run.since + timedelta(hours=hours)
    before = rules.due(PACKAGE, run)
    office = cut_off is None or now.astimezone(SHANGHAI).time() < cut_off
    if now < before.at and office:
        left, unit = rules.remaining(PACKAGE, run, now)
        assert rules.due(PACKAGE, Run(now, left, unit, cut_off)) == before


@given(starts, st.integers(1, 20), st.integers(1, 10), st.integers(0, 90), st.integers(0, 400))
def test_an_extension_counts_alike_before_and_after_a_pause(
    start: datetime, amount: int, more: int, wait: int, length: int
) -> None:
    run = Run(start.astimezone(UTC), amount, "working-days", None)
    paused_at = run.since + timedelta(hours=wait)
    resumed_at = paused_at + timedelta(hours=length)

    def over_the_pause(run: Run) -> Run:
        left, unit = rules.remaining(PACKAGE, run, paused_at)
        return Run(resumed_at, left, unit, None)

    if paused_at < rules.due(PACKAGE, run).at:
        first = over_the_pause(rules.extended(PACKAGE, run, more, "working-days"))
        assert first == rules.extended(PACKAGE, over_the_pause(run), more, "working-days")


def test_months_paused_go_on_as_days_and_are_extended_as_months() -> None:
    run = Run(at("2026-01-31 10:00:00"), 2, "months", None)
    left, unit = rules.remaining(PACKAGE, run, at("2026-03-21 10:00:00"))
    assert (left, unit) == (10, "calendar-days")
    resumed = Run(at("2026-04-01 10:00:00"), left, unit, None)
    assert rules.due(PACKAGE, resumed).last_day == date(2026, 4, 13)  # 11 April is a Saturday
    assert rules.extended(PACKAGE, resumed, 1, "months").amount == (date(2026, 5, 11) - date(2026, 4, 1)).days


def test_warnings_come_at_the_points_and_each_once() -> None:
    due_at = at("2026-05-13 00:00:00")  # last day Tuesday 12 May; 9 May is worked
    assert rules.next_warning(PACKAGE, due_at, (3, 1), None) == (3, at("2026-05-08 00:00:00"))
    assert rules.next_warning(PACKAGE, due_at, (3, 1), 3) == (1, at("2026-05-11 00:00:00"))
    assert rules.next_warning(PACKAGE, due_at, (3, 1), 1) is None
    assert rules.next_warning(PACKAGE, due_at, (0,), None) == (0, at("2026-05-12 00:00:00"))


@pytest.mark.parametrize(("now", "expected"), [("2026-05-02", 1), ("2026-05-06", 1), ("2026-05-07", 2)])
def test_days_overdue_are_working_days_begun(now: str, expected: int) -> None:
    assert rules.days_overdue(PACKAGE, at("2026-05-01 00:00:00"), at(f"{now} 00:01:00")) == expected


def objection(name: str = "default") -> ObjectionRule:
    found = CATALOGUE.rules["objection", name][-1]
    assert isinstance(found, ObjectionRule)
    return found


def repair(name: str = "ndrc") -> RepairRule:
    found = CATALOGUE.rules["repair", name][-1]
    assert isinstance(found, RepairRule)
    return found


@pytest.mark.parametrize(
    ("division", "stage", "days"),
    [
        ("110000", "own-decision", 3),
        ("310115", "own-decision", 5),
        ("310115", "forward", 2),
        ("310115", "flag", 1),
        ("440305", "own-decision", 1),
        ("440305", "source-decision", 2),
        ("440305", "flag", 0),
        ("440104", "own-decision", 3),  # Guangzhou is not Shenzhen
        ("370102", "forwarded-decision", 7),
        ("410105", "source-decision", 3),
        ("500103", "forwarded-decision", 7),
        ("500103", "source-decision", None),
    ],
)
def test_an_objection_is_limited_by_its_jurisdiction(division: str, stage: str, days: int | None) -> None:
    rule = rules.stage_rule(CATALOGUE, objection(), stage, division, date(2026, 5, 6))
    assert (rule and (rule.amount, rule.unit)) == (days if days is None else (days, "working-days"))


def test_a_repair_is_decided_by_local_terms_only_where_the_general_procedure_holds() -> None:
    day = date(2026, 5, 6)
    shenzhen = rules.stage_rules(CATALOGUE, repair(), "440305", day)
    assert (shenzhen["decide"].version, shenzhen["decide"].extension) == ("shenzhen-repair", 3)
    assert shenzhen["accept"].version == "state-council-2025-22-accept"
    assert rules.stage_rules(CATALOGUE, repair(), "310115", day)["decide"].version == "ndrc-order-36-decide"
    market = rules.stage_rules(CATALOGUE, repair("market-regulation"), "440305", day)
    assert market["decide"].version == "samr-order-107-decide"


def test_a_profile_binds_from_its_first_day() -> None:
    before, after = (
        rules.stage_rules(CATALOGUE, objection(), "440305", day) for day in (date(2023, 2, 28), date(2023, 3, 1))
    )
    assert before["own-decision"].version == "default-objection-own"
    assert after["own-decision"].version == "shenzhen-objection-own"


def test_terms_carry_their_source_and_how_well_it_is_known() -> None:
    rule = rules.stage_rule(CATALOGUE, repair(), "decide", "500103", date(2026, 5, 6))
    assert rule is not None
    terms = rules.terms_of(rule, cut_off=time(17, 30), warn_before=(1, 3, 1))
    assert (terms.amount, terms.unit, terms.extension) == (7, Unit.WORKING_DAYS, 10)
    assert (terms.legal_basis, terms.status, terms.warn_before) == ("ndrc-order-36", "memory", (3, 1))
    shortest = CATALOGUE.rules["deadline", "shenzhen-query-log"][0]
    with pytest.raises(ValueError, match="shortest"):
        rules.terms_of(shortest)  # type: ignore[arg-type]
