"""Asking a malware scanner: clamd's INSTREAM, or ICAP (RFC 3507). Only a clear "clean" lets a file in."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from credit_service.evidence.rules import MALWARE_FOUND, SCANNER_UNAVAILABLE
from credit_service.platform.errors import Problem

CONNECT_SECONDS = 5
ANSWER_SECONDS = 120
_READ_AT_ONCE = 1 << 18


class Scanner(Protocol):
    """Whoever tells whether content holds malware."""

    async def scan(self, content: AsyncIterator[bytes]) -> None:
        """Returns when the content is clean. Raises ``MALWARE_FOUND``, and ``SCANNER_UNAVAILABLE`` in any doubt."""


def scanner_of(address: str | None) -> Scanner | None:
    """``clamd://host:port``, ``clamd:///path/of/socket`` or ``icap://host:port/service``. Raises ``ValueError``."""
    if address is None:
        return None
    parts = urlsplit(address)
    if parts.scheme == "clamd" and (parts.hostname or parts.path):
        return Clamd(parts)
    if parts.scheme == "icap" and parts.hostname:
        return Icap(parts)
    raise ValueError("evidence scanner: clamd://host:port, clamd:///socket or icap://host:port/service")


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def _conversation(parts: SplitResult, default_port: int) -> AsyncIterator[Streams]:
    """A connection to the scanner; whatever goes wrong on it means that the scanner cannot be asked."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            if parts.hostname:
                reader, writer = await asyncio.open_connection(parts.hostname, parts.port or default_port)
            else:
                reader, writer = await asyncio.open_unix_connection(unquote(parts.path))
        async with asyncio.timeout(ANSWER_SECONDS):
            yield reader, writer
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise Problem(SCANNER_UNAVAILABLE, headers={"Retry-After": "60"}) from error
    finally:
        if writer is not None:
            writer.close()


class Clamd:
    """ClamAV's daemon."""

    def __init__(self, parts: SplitResult) -> None:
        self._parts = parts

    async def scan(self, content: AsyncIterator[bytes]) -> None:
        async with _conversation(self._parts, 3310) as (reader, writer):
            writer.write(b"zINSTREAM\0")
            async for part in content:
                writer.write(len(part).to_bytes(4, "big") + part)
                await writer.drain()
            writer.write(bytes(4))
            await writer.drain()
            answer = (await reader.readuntil(b"\0"))[:-1].decode("utf-8", "replace")
        if answer.endswith(" FOUND"):
            raise Problem(MALWARE_FOUND, detail=_signature(answer.removeprefix("stream: ").removesuffix(" FOUND")))
        if answer != "stream: OK":
            raise Problem(SCANNER_UNAVAILABLE, headers={"Retry-After": "60"})


def _signature(text: str) -> str:
    return re.sub(r"[^\w.:/ -]", "", text)[:100]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """An ICAP answer: its status, the threat it names, and the SHA-256 of the body that it returned with 200."""

    status: int
    threat: str
    returned: bytes | None = None


class Icap:
    """A scanner behind ICAP: the file is shown to it as the body of an answer (RESPMOD).

    It has nothing against the file when it says so (204), or returns it with 200 as it was; a server may do that
    although we allow 204. With 200 and anything else it put something in the file's place.
    """

    def __init__(self, parts: SplitResult) -> None:
        self._parts = parts

    async def scan(self, content: AsyncIterator[bytes]) -> None:
        async with _conversation(self._parts, 1344) as (reader, writer):
            answer = asyncio.create_task(_verdict(reader))  # it may answer while we are still sending
            try:
                sent = await self._send(writer, content)
                verdict = await answer
            finally:
                answer.cancel()
                await asyncio.wait([answer])
        if verdict.status not in (200, 204):
            raise Problem(SCANNER_UNAVAILABLE, headers={"Retry-After": "60"})
        if verdict.threat or (verdict.status == 200 and verdict.returned != sent):
            raise Problem(MALWARE_FOUND, detail=_signature(verdict.threat))

    async def _send(self, writer: asyncio.StreamWriter, content: AsyncIterator[bytes]) -> bytes:
        digest = hashlib.sha256()
        writer.write(self._head())
        async for part in content:
            digest.update(part)
            writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return digest.digest()

    def _head(self) -> bytes:
        host = f"{self._parts.hostname}:{self._parts.port or 1344}"
        request = b"GET /attachment HTTP/1.1\r\nHost: credit-service\r\n\r\n"
        response = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        encapsulated = f"req-hdr=0, res-hdr={len(request)}, res-body={len(request) + len(response)}"
        lines = (
            f"RESPMOD icap://{host}{self._parts.path or '/'} ICAP/1.0",
            f"Host: {host}",
            "User-Agent: credit-service",
            "Allow: 204",
            "Connection: close",
            f"Encapsulated: {encapsulated}",
        )
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + request + response


async def _verdict(reader: asyncio.StreamReader) -> _Verdict:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    found = re.match(r"ICAP/1\.0 (\d{3})", head)
    status = int(found[1]) if found else 0
    named = re.search(r"(?im)^X-(?:Infection-Found|Virus-ID|Violations-Found):(.*)$", head)
    threat = re.sub(r".*\bThreat=([^;]*).*", r"\1", named[1]).strip() or "unnamed" if named else ""
    body = re.search(r"(?im)^Encapsulated:.*\bres-body=(\d+)", head)
    if status != 200 or threat or body is None:
        return _Verdict(status, threat)
    await reader.readexactly(int(body[1]))
    digest = hashlib.sha256()
    while length := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        while length:
            part = await reader.read(min(length, _READ_AT_ONCE))
            if not part:
                raise asyncio.IncompleteReadError(b"", length)
            digest.update(part)
            length -= len(part)
        await reader.readexactly(2)
    return _Verdict(status, threat, digest.digest())
