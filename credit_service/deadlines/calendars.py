"""The calendar in use: the package's, with the notices entered since."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from credit_service.audit import events
from credit_service.audit.models import SYSTEM_SUBJECT
from credit_service.deadlines import commands, store
from credit_service.deadlines.models import CalendarDay, CalendarNotice, NoticeRead, NoticeWrite
from credit_service.platform.calendar import PACKAGE, WorkingCalendar, version_of
from credit_service.platform.context import Actor
from credit_service.platform.errors import INVALID_REQUEST, FieldError, Problem

RECOMPUTED_AT_ONCE = 500

_cached: dict[UUID, WorkingCalendar] = {}
"""The calendar by its newest notice: a process keeps one, and one query tells whether it is still the newest."""


async def load_calendar(session: AsyncSession) -> WorkingCalendar:
    """The calendar as the caller's transaction sees it."""
    newest = await store.newest_notice(session)
    if newest is None:
        return PACKAGE
    found = _cached.get(newest[1])
    if found is None:
        found = PACKAGE
        for notice in await store.notices(session):
            found = found.with_notice(
                version_of(notice.number), rest=notice.rest, worked=notice.worked, announces=notice.announces
            )
        _cached.clear()
        _cached[newest[1]] = found
    return found


async def enter_notice(
    session: AsyncSession, actor: Actor, now: datetime, body: NoticeWrite
) -> tuple[CalendarNotice, int]:
    """Enter a notice and compute the open time-limits anew; gives it and how many changed.

    What is left after the first few hundred is the job's. Raises ``INVALID_REQUEST``.
    """
    _check(body)
    await store.hold_notices(session)
    before = await load_calendar(session)
    newest = await store.newest_notice(session)
    notice = CalendarNotice(
        number=newest[0] + 1 if newest is not None else 1,
        id=uuid7(),
        document=body.document,
        announces=body.year,
        rest=sorted(set(body.rest)),
        worked=sorted(set(body.worked)),
        entered_by=actor.id,
        entered_at=now,
    )
    session.add(notice)
    content = {"number": notice.number, **body.model_dump(mode="json")}
    event = events.new_event(
        actor,
        now,
        "calendar.notice-entered",
        uscc=SYSTEM_SUBJECT,
        subject_type="calendar",
        subject_id=str(notice.id),
        version=notice.number,
        after=events.commitment(b"", events.canonical_json(content)),
        reason=body.document,
    )
    events.append(session, [event])
    await session.flush()
    calendar = before.with_notice(
        version_of(notice.number), rest=notice.rest, worked=notice.worked, announces=notice.announces
    )
    _, changed = await commands.recompute(session, calendar, actor, now, RECOMPUTED_AT_ONCE)
    return notice, changed


def _check(body: NoticeWrite) -> None:
    errors = []
    if body.year is None and not body.rest and not body.worked:
        errors.append(FieldError("/rest", "some day"))
    if set(body.rest) & set(body.worked):
        errors.append(FieldError("/worked", "no day both of rest and worked"))
    if body.year is not None:
        first, last = date(body.year - 1, 12, 1), date(body.year, 12, 31)
        for name in ("rest", "worked"):
            if any(not first <= day <= last for day in getattr(body, name)):
                errors.append(FieldError(f"/{name}", "days of the notice's year, or of the December before it"))
        if date(body.year, 10, 1) not in body.rest:
            errors.append(FieldError("/rest", "全国年节及纪念日放假办法: a year's notice has its National Day"))
    if errors:
        raise Problem(INVALID_REQUEST, errors=errors)


def notice_read(notice: CalendarNotice) -> NoticeRead:
    return NoticeRead(year=notice.announces, **notice.model_dump(exclude={"id", "announces"}))


async def days(session: AsyncSession, first: date, last: date) -> list[CalendarDay]:
    """Each day from ``first`` to ``last`` with the notice that says what it is."""
    calendar = await load_calendar(session)
    said = {day: notice.document for notice in await store.notices(session) for day in (*notice.rest, *notice.worked)}
    span = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return [
        CalendarDay(
            day=day, working=calendar.is_working(day), provisional=not calendar.is_announced(day), notice=said.get(day)
        )
        for day in span
    ]
