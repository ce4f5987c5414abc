"""What is turned away before any route sees it: too much, too large, too deep."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastapi import Request
from starlette.exceptions import HTTPException

from credit_service.platform import errors
from credit_service.platform.http import problem_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_LEVELS = 64
"""Levels of JSON: no body of the contract has more than eight."""
_BRACKETS = re.compile(rb'["\\\[\]{}]')


class Depth:
    """How deep a JSON text nests, as it arrives: parsers recurse, and a few thousand brackets would end them."""

    def __init__(self) -> None:
        self.deepest = 0
        self._level = 0
        self._in_string = False
        self._skip_until = 0

    def feed(self, chunk: bytes) -> int:
        """Read on; gives the deepest level so far."""
        skip = self._skip_until
        for found in _BRACKETS.finditer(chunk):
            at = found.start()
            if at < skip:
                continue
            character = found.group()
            if character == b"\\":
                skip = at + 2 if self._in_string else 0
            elif character == b'"':
                self._in_string = not self._in_string
            elif not self._in_string:
                self._level += 1 if character in b"[{" else -1
                self.deepest = max(self.deepest, self._level)
        self._skip_until = max(0, skip - len(chunk))
        return self.deepest


def _may_be_json(scope: Scope) -> bool:
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    return not kinds or b"json" in kinds[0].lower()


class BodyLimit:
    """Refuses request bodies beyond a size or a depth, counted as they arrive: a declared length may lie.

    ``larger`` gives the limit of paths that have one of their own; ``exempt`` paths count their bytes themselves.
    """

    def __init__(
        self, app: ASGIApp, *, most_bytes: int, exempt: re.Pattern[str], larger: Mapping[str, int] | None = None
    ) -> None:
        self.app = app
        self.most_bytes = most_bytes
        self.exempt = exempt
        self.larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD") or self.exempt.fullmatch(scope["path"]):
            await self.app(scope, receive, send)
            return
        size, most = 0, self.larger.get(scope["path"], self.most_bytes)
        depth = Depth() if _may_be_json(scope) else None

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > most:
                raise HTTPException(413)
            if depth is not None and depth.feed(message.get("body", b"")) > MOST_LEVELS:
                raise HTTPException(400, "nested too deeply")
            return message

        await self.app(scope, counted, send)


class Patience:
    """Ends the wait for a body that does not come: each part of it must arrive within some seconds (408).

    A caller who sends on, however much, is never cut off; one who stops does not keep a place among those under way.
    """

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self.app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        complete = False

        async def received() -> Message:
            nonlocal complete
            if complete:
                return await receive()  # from here on this is only the wait for the caller to hang up
            try:
                async with asyncio.timeout(self._seconds):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408) from error
            complete = not message.get("more_body", False)
            return message

        await self.app(scope, received, send)


class Admission:
    """Sheds load: beyond a number of requests under way, others are told at once to come back (503, Retry-After).

    Probes and metrics are always answered: a busy process is not a dead one.
    """

    def __init__(self, app: ASGIApp, *, most_in_flight: int, exempt: frozenset[str]) -> None:
        self.app = app
        self._free = most_in_flight
        self._exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._exempt:
            await self.app(scope, receive, send)
            return
        if self._free <= 0:
            busy = errors.Problem(errors.OVERLOADED, headers={"Retry-After": "1"})
            await problem_response(Request(scope), busy)(scope, receive, send)
            return
        self._free -= 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._free += 1
