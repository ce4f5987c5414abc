"""``credit-service calendar``: the working-day calendar, and the notices that change it."""

from __future__ import annotations

import calendar as months
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from credit_service.cli.database import DataDir, fail, run_as_operator

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession

    from credit_service.deadlines.models import CalendarDay
    from credit_service.platform.context import Actor

app = typer.Typer(help="工作日历 The working-day calendar.", no_args_is_help=True)


@app.command()
def show(year: Annotated[int, typer.Argument(min=2000, max=2200, help="年份 Year.")], data: DataDir = None) -> None:
    """查看 A year's months: working days, days of rest beside the weekends, make-up working days."""
    from credit_service.deadlines import calendars

    async def read(session: AsyncSession, actor: Actor, now: datetime) -> list[CalendarDay]:
        return await calendars.days(session, date(year, 1, 1), date(year, 12, 31))

    found = run_as_operator(data, read)
    for month in range(1, 13):
        days = [day for day in found if day.day.month == month]
        rest = _span([day for day in days if not day.working and day.day.weekday() < months.SATURDAY])
        made_up = _span([day for day in days if day.working and day.day.weekday() >= months.SATURDAY])
        working = sum(day.working for day in days)
        typer.echo(f"{year}-{month:02} {working:2} working  rest: {rest or '-'}  make-up: {made_up or '-'}")
    provisional = [day.day for day in found if day.provisional]
    total = sum(day.working for day in found)
    typer.echo(f"{year}: {total} working days" + (f"; provisional from {provisional[0]}" if provisional else ""))


def _span(days: list[CalendarDay]) -> str:
    return " ".join(f"{day.day.day:02}" + ("*" if day.notice else "") for day in days)


@app.command("set")
def set_days(
    document: Annotated[str, typer.Option(help="通知文号 Number and title of the notice.")],
    year: Annotated[int | None, typer.Option(help="年份 The year that it arranges in full.")] = None,
    rest: Annotated[list[str] | None, typer.Option(help="放假 YYYY-MM-DD or YYYY-MM-DD..YYYY-MM-DD.")] = None,
    worked: Annotated[list[str] | None, typer.Option(help="调休上班 YYYY-MM-DD, repeatable.")] = None,
    data: DataDir = None,
) -> None:
    """录入通知 Enter a year's notice, or a change of single days; open time-limits are computed anew."""
    from pydantic import ValidationError

    from credit_service.deadlines import calendars
    from credit_service.deadlines.models import NoticeWrite

    try:
        body = NoticeWrite(document=document, year=year, rest=_days(rest or []), worked=_days(worked or []))
    except (ValidationError, ValueError) as error:
        raise fail(str(error)) from error
    notice, changed = run_as_operator(
        data, lambda session, actor, now: calendars.enter_notice(session, actor, now, body)
    )
    typer.echo(f"notice {notice.number}: {len(notice.rest)} of rest, {len(notice.worked)} worked; recomputed {changed}")


def _days(spans: list[str]) -> list[date]:
    """The days of spans such as ``2027-01-01..2027-01-03``. Raises ValueError."""
    found = []
    for span in spans:
        first, _, last = span.partition("..")
        day, until = date.fromisoformat(first), date.fromisoformat(last or first)
        if not day <= until < day + timedelta(days=100):
            raise ValueError(f"not a span of days: {span}")
        found += [day + timedelta(days=n) for n in range((until - day).days + 1)]
    return found
