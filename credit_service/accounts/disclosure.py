"""The ASGI middleware between routes and the access log: nothing non-public leaves that is not logged."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fastapi import Request
from uuid_utils import uuid7

from credit_service.accounts.purpose import CASE_HEADER, CURRENT, LONGEST_CASE, SEALED_HEADER, Reading
from credit_service.accounts.quotas import DailyQuota
from credit_service.audit.accesses import Access, Journal, JournalUnavailable
from credit_service.audit.models import SYSTEM_SUBJECT
from credit_service.platform.days import day_of, start_of
from credit_service.platform.errors import INVALID_REQUEST, UNAVAILABLE, FieldError, Problem
from credit_service.platform.http import problem_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_CASE = CASE_HEADER.lower().encode()
_SEALED = SEALED_HEADER.lower().encode()
LATER = {"Retry-After": "5"}
_SHOWN = frozenset({200, 206, 304})


class Disclosure:
    """Gives each request a ``Reading`` and writes what it read before the answer leaves."""

    def __init__(self, app: ASGIApp, *, longest_seal_days: int) -> None:
        self.app = app
        self._longest_seal = timedelta(days=longest_seal_days)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        reading = Reading()
        faults = _read_headers(scope, reading, self._longest_seal)
        if faults:
            await problem_response(Request(scope), Problem(INVALID_REQUEST, errors=faults))(scope, receive, send)
            return
        refused = False

        async def send_when_logged(message: Message) -> None:
            nonlocal refused
            if reading.principal is None or (reading.logged and not reading.subjects):
                await send(message)
                return
            if message["type"] == "http.response.start" and message["status"] not in _SHOWN:
                reading.principal = None
            if not refused:
                try:
                    await _log(scope, reading)
                except (JournalUnavailable, Problem) as error:
                    refused = True
                    if message["type"] != "http.response.start":
                        raise  # the answer is under way: it is cut off
                    problem = error if isinstance(error, Problem) else Problem(UNAVAILABLE, headers=LATER)
                    await problem_response(Request(scope), problem)(scope, receive, send)
            if not refused:
                await send(message)

        token = CURRENT.set(reading)
        try:
            await self.app(scope, receive, send_when_logged)
        finally:
            CURRENT.reset(token)


def _read_headers(scope: Scope, reading: Reading, longest_seal: timedelta) -> list[FieldError]:
    faults = []
    for name, value in scope["headers"]:
        if name == _CASE:
            # Percent-encoded UTF-8 where a number has Chinese characters, which no header field may hold.
            reading.case = unquote(value.decode("latin-1")).strip() or None
            if reading.case is not None and (len(reading.case) > LONGEST_CASE or not reading.case.isprintable()):
                faults.append(FieldError(f"header:{CASE_HEADER}", f"at most {LONGEST_CASE} printable characters"))
        elif name == _SEALED:
            try:
                reading.sealed_until = date.fromisoformat(value.decode("latin-1"))
            except ValueError:
                faults.append(FieldError(f"header:{SEALED_HEADER}", "a day, YYYY-MM-DD"))
                continue
            if reading.sealed_until > day_of(scope["app"].state.clock.now()) + longest_seal:
                faults.append(FieldError(f"header:{SEALED_HEADER}", f"at most {longest_seal.days} days ahead"))
    return faults


async def _log(scope: Scope, reading: Reading) -> None:
    """Write what has been read and not yet logged."""
    principal = reading.principal
    if principal is None:
        return
    state = scope["app"].state
    now = state.clock.now()
    disclosed_from = max(now, start_of(reading.sealed_until)) if reading.sealed_until else now
    journal: Journal = state.journal
    quota: DailyQuota = state.daily_quota
    await quota.admit(principal.agency_uscc, len(reading.subjects), now)
    await journal.write(
        Access(
            uuid7(),
            now,
            disclosed_from,
            scope["request_id"],
            principal.id,
            principal.agency_uscc,
            reading.audience.value,
            reading.purpose,
            reading.case,
            getattr(scope.get("route"), "path", "unmatched"),
            reading.subjects or (SYSTEM_SUBJECT,),
        )
    )
    reading.logged = True
    reading.subjects = set()
