"""How a time-limit runs, pauses, goes on and is extended; which rule limits a stage. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from typing import NamedTuple

from credit_service.catalogue.models import Catalogue, Words
from credit_service.catalogue.rule_models import DeadlineRule, ObjectionRule, RepairRule
from credit_service.catalogue.rules import rule_for
from credit_service.platform.calendar import Unit, WorkingCalendar, add_calendar
from credit_service.platform.days import day_of, start_of
from credit_service.platform.errors import ProblemType

DEADLINE_RUNNING = ProblemType("deadline-running", 409, "该环节时限已在计算", "The stage's time-limit already runs")
DEADLINE_NOT_OPEN = ProblemType("deadline-not-open", 409, "该环节没有未结时限", "The stage has no open time-limit")
DEADLINE_PAUSED = ProblemType("deadline-paused", 409, "时限处于中止", "The time-limit is paused")
DEADLINE_NOT_PAUSED = ProblemType("deadline-not-paused", 409, "时限未中止", "The time-limit is not paused")
DEADLINE_OVER = ProblemType("deadline-over", 409, "时限已届满", "The time-limit is over")
DEADLINE_NOT_EXTENDABLE = ProblemType(
    "deadline-not-extendable", 409, "时限不可延长", "The rule knows no such extension, or it has been used"
)

MET = "met"
CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Terms:
    """A time-limit before it starts. ``warn_before``: working days before its last day, the largest first.

    ``extension`` is the most that it may be extended by, once, in ``unit``. ``status`` says how well the figure is
    verified; ``legal_basis`` is where it stands.
    """

    amount: int
    unit: str
    rule_version: str
    legal_basis: str
    status: str
    extension: int | None = None
    cut_off: time | None = None
    warn_before: tuple[int, ...] = ()


def terms_of(rule: DeadlineRule, *, cut_off: time | None = None, warn_before: tuple[int, ...] = ()) -> Terms:
    """The terms of a rule. Raises ValueError for a shortest term, which is nobody's time-limit."""
    if rule.at_least:
        raise ValueError(f"{rule.version} is a shortest term")
    basis = "; ".join(f"{b.document} {b.article or ''}".strip() for b in rule.legal_basis)
    points = tuple(sorted(set(warn_before), reverse=True))
    return Terms(rule.amount, rule.unit, rule.version, basis, rule.status, rule.extension, cut_off, points)


class Run(NamedTuple):
    """A stretch of counting: ``amount`` of ``unit`` from the event at ``since``."""

    since: datetime
    amount: int
    unit: str
    cut_off: time | None


class Due(NamedTuple):
    """When a run ends: the first instant too late, and whether that rests on an unannounced day."""

    at: datetime
    provisional: bool

    @property
    def last_day(self) -> date:
        return last_day_of(self.at)


def last_day_of(due_at: datetime) -> date:
    """The last day in time of a ``due_at``, which is the midnight after it."""
    return date.fromordinal(day_of(due_at).toordinal() - 1)


def due(calendar: WorkingCalendar, run: Run) -> Due:
    """When a run ends."""
    counted = calendar.counted_day(run.since, run.cut_off)
    last = calendar.last_day(counted.day, run.amount, run.unit)
    return Due(last.ends_at, counted.provisional or last.provisional)


def remaining(calendar: WorkingCalendar, run: Run, paused_at: datetime) -> tuple[int, str]:
    """What is left of a run at a pause: whole days after the day of the pause, which is counted itself.

    Together with counting on after the day of the resumption, each day is counted once or not at all, so that a pause
    of no day changes nothing. Months and years leave calendar days.
    """
    since = calendar.counted_day(run.since, run.cut_off).day
    paused_on = max(since, calendar.counted_day(paused_at, run.cut_off).day)
    if run.unit == Unit.WORKING_DAYS:
        return max(0, run.amount - calendar.working_days_between(since, paused_on)), run.unit
    last = add_calendar(since, run.amount, run.unit)
    return max(0, (last - paused_on).days), Unit.CALENDAR_DAYS.value


def extended(calendar: WorkingCalendar, run: Run, amount: int, unit: str) -> Run:
    """The run with ``amount`` of the rule's own ``unit`` more."""
    if unit == run.unit:
        return run._replace(amount=run.amount + amount)
    since = calendar.counted_day(run.since, run.cut_off).day
    last = add_calendar(add_calendar(since, run.amount, run.unit), amount, unit)
    return run._replace(amount=(last - since).days)


def next_warning(
    calendar: WorkingCalendar, due_at: datetime, points: tuple[int, ...], warned: int | None
) -> tuple[int, datetime] | None:
    """The next warning still to be given, and from when: the beginning of the day so many before the last one."""
    last = last_day_of(due_at)
    for point in sorted(points, reverse=True):
        if warned is None or point < warned:
            return point, start_of(calendar.add_working_days(last, -point).day if point else last)
    return None


def passed(calendar: WorkingCalendar, due_at: datetime, points: tuple[int, ...], now: datetime) -> int | None:
    """The last warning point that is not to come any more; ``None`` while all are."""
    found = None
    while (warning := next_warning(calendar, due_at, points, found)) is not None and warning[1] <= now:
        found = warning[0]
    return found


def days_overdue(calendar: WorkingCalendar, due_at: datetime, now: datetime) -> int:
    """Working days that have begun since the last day in time; on a day of rest the coming one is counted."""
    return calendar.working_days_between(last_day_of(due_at), calendar.working_on_or_after(day_of(now)).day)


class Course(NamedTuple):
    """How a time-limit went so far: the first instant too late (empty while paused), and how and when it was closed."""

    due_at: datetime | None
    closed_as: str | None
    closed_at: datetime | None


class Period(NamedTuple):
    """A period of figures, ``until`` not included, as it looks at ``now``."""

    since: datetime
    until: datetime
    now: datetime


class Punctuality(StrEnum):
    """How a time-limit counts in a period."""

    IN_TIME = "in-time"  # 按时办结
    OVERDUE = "overdue"  # 超期


def became_overdue(course: Course, now: datetime) -> datetime | None:
    """From when a time-limit was over: its first instant too late, unless it was closed or paused before."""
    end = now if course.closed_at is None else course.closed_at
    return course.due_at if course.due_at is not None and course.due_at <= end else None


def punctuality(course: Course, period: Period) -> Punctuality | None:
    """How a time-limit counts in a period; ``None``: not at all. The share on time is in time / (in time + overdue).

    What is met in time counts when it is met. What is over counts from the day on which it became overdue, in that
    period and in each later one until it is closed, so that who never decides does not look punctual, now or a year
    later. What still runs or is paused does not count yet, what was cancelled before it was over never does.
    """
    since = became_overdue(course, period.now)
    if since is not None:
        lasted = period.now if course.closed_at is None else course.closed_at
        return Punctuality.OVERDUE if since < period.until and lasted >= period.since else None
    met = course.closed_as == MET and course.closed_at is not None and period.since <= course.closed_at < period.until
    return Punctuality.IN_TIME if met else None


_PROFILES = {"31": "shanghai", "4403": "shenzhen", "37": "shandong", "41": "henan"}
_LOCAL_REPAIR = {"decide": "repair"}


def jurisdiction_of(division: str) -> str:
    """The profile of local time-limits for a division (GB/T 2260): the longest prefix, else ``default``."""
    found = [prefix for prefix in _PROFILES if division.startswith(prefix)]
    return _PROFILES[max(found, key=len)] if found else "default"


JURISDICTIONS = tuple(_PROFILES)
"""The divisions with time-limits of their own, as prefixes (GB/T 2260)."""


def local_rule(catalogue: Catalogue, prefix: str, stage: str, on: date) -> DeadlineRule | None:
    """A jurisdiction's own time-limit for a stage on a day; ``None`` where the national one holds."""
    local = rule_for(catalogue, "objection", _PROFILES[prefix], on, on)
    if local is None or local.effective_from > on or stage not in local.deadlines:
        return None
    return rule_for(catalogue, "deadline", local.deadlines[stage], on, on)


def stage_rules(
    catalogue: Catalogue, procedure: RepairRule | ObjectionRule, division: str, on: date
) -> Mapping[str, DeadlineRule]:
    """Which deadline rule limits each stage of a repair or an objection, in a jurisdiction, on a day.

    ``procedure`` is the rule of the record's item. Where it is the general one, the profile of the jurisdiction comes
    first and the national one fills what it leaves open; lists with a procedure of their own keep it everywhere. A
    shortest term limits nothing.
    """
    names = dict(procedure.deadlines)
    local = rule_for(catalogue, "objection", jurisdiction_of(division), on, on)
    if local is not None and local.effective_from <= on:
        if isinstance(procedure, ObjectionRule) and procedure.name == "default":
            names |= local.deadlines
        elif isinstance(procedure, RepairRule) and procedure.name == "ndrc":
            names |= {stage: local.deadlines[name] for stage, name in _LOCAL_REPAIR.items() if name in local.deadlines}
    found = {stage: rule_for(catalogue, "deadline", name, on, on) for stage, name in names.items()}
    return {stage: rule for stage, rule in found.items() if rule is not None and not rule.at_least}


def stage_rule(
    catalogue: Catalogue, procedure: RepairRule | ObjectionRule, stage: str, division: str, on: date
) -> DeadlineRule | None:
    """The one rule for a stage; ``None`` where nothing limits it."""
    return stage_rules(catalogue, procedure, division, on).get(stage)


_LABELS = {
    "accept": Words("受理", "acceptance"),
    "decide": Words("作出决定", "decision"),
    "total": Words("办结反馈", "answer to the applicant"),
    "flag": Words("异议标注", "mark of the objection"),
    "own-decision": Words("异议处理", "decision on the objection"),
    "forward": Words("转送核查", "forwarding for verification"),
    "forwarded-decision": Words("转办异议处理", "decision on the forwarded objection"),
    "source-decision": Words("数据来源单位核查", "verification by the source of the data"),
    "review": Words("复核", "review"),
    "cross-province-push": Words("跨省推送", "push to another province"),
    "stop": Words("停止公示", "end of publication"),
    "withdraw": Words("撤回公示", "withdrawal of what was published"),
    "publish": Words("公示", "publication"),
}


def label_of(stage: str) -> Words:
    """A stage in the words of a notice; its own name where the house has none for it."""
    return _LABELS.get(stage, Words(stage, stage))
