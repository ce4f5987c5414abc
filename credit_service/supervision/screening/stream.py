"""NDJSON in and out at once: a block is answered before the next is read, so memory stays where it is.

Nothing is read from a caller that does not read (back-pressure). A stream whose caller stalls, or that outlives its
snapshot's longest life, is ended with a line that says so and no signature.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import orjson
from fastapi import Response
from uuid_utils import uuid7

from credit_service.accounts.keys import SigningKey
from credit_service.audit.events import canonical_json
from credit_service.supervision.screening import signing
from credit_service.supervision.screening.models import Status
from credit_service.supervision.screening.reading import Row, Screening

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

STREAM_PATH = "/v1/screenings/stream"
NDJSON = "application/x-ndjson"
STREAMS = 2
"""Streams of one process: each holds a connection and a snapshot."""
STALLED_SECONDS = 60.0
LONGEST_SECONDS = 900.0
LONGEST_LINE = 4096
BLOCK = 1000


class StreamEnded(Exception):
    """The stream cannot go on; the reason is told in its last line."""


class Exchange(Response):
    """The answer to a streamed screening, written while the request is read."""

    media_type = NDJSON

    def __init__(
        self,
        slots: asyncio.Semaphore,
        opened: AbstractAsyncContextManager[Screening],
        *,
        key: SigningKey,
        issuer: str,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._slots, self._opened, self._key, self._issuer = slots, opened, key, issuer
        self._digest = hashlib.sha256()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._slots:
            try:
                async with asyncio.timeout(LONGEST_SECONDS), self._opened as under_way:
                    await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                    last = await self._answer(under_way, receive, send)
            except StreamEnded as ended:
                last = canonical_json({"error": str(ended)})
            except TimeoutError:
                last = canonical_json({"error": "the stream stalled or outlived its snapshot"})
            await send({"type": "http.response.body", "body": last + b"\n"})

    async def _answer(self, under_way: Screening, receive: Receive, send: Send) -> bytes:
        """Answer every line; gives the signature that ends the stream."""
        await self._write(send, [under_way.head(str(uuid7()))])
        rest, count, more = b"", 0, True
        while more:
            message = await asyncio.wait_for(receive(), STALLED_SECONDS)
            if message["type"] == "http.disconnect":
                raise StreamEnded("the caller is gone")
            more = message.get("more_body", False)
            *lines, rest = (rest + message.get("body", b"")).split(b"\n")
            if not more and rest:
                lines.append(rest)
            elif len(rest) > LONGEST_LINE:
                raise StreamEnded(f"a line of more than {LONGEST_LINE} bytes")
            lines = [line for line in lines if line.strip()]
            for start in range(0, len(lines), BLOCK):
                rows = await _screened(under_way, lines[start : start + BLOCK], count)
                count += len(rows)
                await self._write(send, rows)
        await self._write(send, [under_way.totals()])
        digest = self._digest.hexdigest()
        jws = signing.sign(self._key, issuer=self._issuer, holds_at=under_way.holds_at, count=count, digest=digest)
        return canonical_json({"sha256": digest, "jws": jws})

    async def _write(self, send: Send, rows: list[Row]) -> None:
        body = b"".join(canonical_json(row) + b"\n" for row in rows)
        self._digest.update(body)
        await asyncio.wait_for(send({"type": "http.response.body", "body": body, "more_body": True}), STALLED_SECONDS)


async def _screened(under_way: Screening, lines: list[bytes], first_index: int) -> list[Row]:
    """The rows of a block of lines, in the order of the lines."""
    parsed = [_parsed(line) for line in lines]
    rows: list[Row] = []
    codes = [(place, text) for place, (kind, text) in enumerate(parsed) if kind == "code"]
    named = [(place, text) for place, (kind, text) in enumerate(parsed) if kind == "name"]
    rows += [
        _at(row, place) for row, (place, _) in zip(await under_way.codes([t for _, t in codes]), codes, strict=True)
    ]
    rows += [
        _at(row, place) for row, (place, _) in zip(await under_way.names([t for _, t in named]), named, strict=True)
    ]
    for place, (kind, _) in enumerate(parsed):
        if kind is None:
            under_way.counts[Status.INVALID.value] += 1
            rows.append({"index": place, "status": Status.INVALID.value, "rule": "a JSON object with code or name"})
    rows.sort(key=lambda row: row["index"])
    return [_at(row, first_index + row["index"]) for row in rows]


def _at(row: Row, index: int) -> Row:
    row["index"] = index
    return row


def _parsed(line: bytes) -> tuple[str | None, str]:
    try:
        value: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None, ""
    if isinstance(value, dict) and len(value) == 1 and len(line) <= LONGEST_LINE:
        [(kind, text)] = value.items()
        if kind in ("code", "name") and isinstance(text, str) and "\x00" not in text:
            return kind, text
    return None, ""
