"""Taking files in and giving them out, a part at a time: memory stays flat whatever the size."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO

from uuid_utils.compat import uuid7

from credit_service.evidence import rules, sealing
from credit_service.evidence.blobs import blobs_of, read_file
from credit_service.evidence.models import Attachment
from credit_service.evidence.rules import Sniffer, Span, blob_name
from credit_service.evidence.scanning import scanner_of
from credit_service.evidence.sealing import Key, Sealer
from credit_service.platform.errors import PAYLOAD_TOO_LARGE, FieldError, Problem
from credit_service.platform.settings import Settings

_GATHERED = 1 << 18


class ContentDamaged(Exception):
    """What is stored under a digest has another digest."""


@dataclass(frozen=True, slots=True)
class Received:
    """A file that has arrived whole and is what it says: in the spool folder, sealed if there are keys."""

    file: Path
    digest: bytes
    size: int
    media_type: str
    key_id: str | None

    @property
    def blob(self) -> str:
        return blob_name(self.digest, self.key_id)


class Vault:
    """The attachments' content. Raises ``ValueError`` when made from settings that cannot be."""

    def __init__(self, settings: Settings) -> None:
        self.blobs = blobs_of(settings)
        self.spool = settings.evidence_directory / "incoming"
        self.max_bytes = settings.evidence_max_bytes
        self.max_files = settings.evidence_max_files
        self.accepted = frozenset(settings.evidence_media_types or rules.EXTENSIONS)
        if unknown := self.accepted - rules.EXTENSIONS.keys():
            raise ValueError(f"evidence media types that cannot be recognised: {', '.join(sorted(unknown))}")
        self._scanner = scanner_of(settings.evidence_scanner)
        keys = sealing.load_keys(settings.evidence_key_file)
        self._sealing_key = keys[0] if keys else None
        self._keys = {key.id: key for key in keys}

    @asynccontextmanager
    async def receive(self, stream: AsyncIterator[bytes], declared: str) -> AsyncIterator[Received]:
        """Take a file in. At the end of the block nothing is left of it but what was kept.

        Raises ``PAYLOAD_TOO_LARGE``, ``MEDIA_TYPE_*``, ``MALWARE_FOUND`` and ``SCANNER_UNAVAILABLE``.
        """
        media_type = declared.partition(";")[0].strip().lower()
        rules.check_type(media_type, media_type, self.accepted)
        await asyncio.to_thread(self.spool.mkdir, parents=True, exist_ok=True, mode=0o700)
        file = self.spool / uuid7().hex
        try:
            arrival = await asyncio.to_thread(_Arrival, file, self._sealing_key)
            try:
                await self._write(arrival, stream)
            finally:
                await asyncio.to_thread(arrival.close)
            rules.check_type(media_type, arrival.sniffer.media_type(), self.accepted)
            received = Received(
                file,
                arrival.digest.digest(),
                arrival.size,
                media_type,
                self._sealing_key.id if self._sealing_key else None,
            )
            if self._scanner is not None:
                whole = Span(0, received.size)
                await self._scanner.scan(self._plain(partial(read_file, file), self._sealing_key, received.size, whole))
            yield received
        finally:
            await asyncio.to_thread(file.unlink, missing_ok=True)

    async def _write(self, arrival: _Arrival, stream: AsyncIterator[bytes]) -> None:
        gathered = bytearray()
        async for part in stream:
            gathered += part
            if arrival.size + len(gathered) > self.max_bytes:
                raise self.too_large()
            if len(gathered) >= _GATHERED:
                await asyncio.to_thread(arrival.write, bytes(gathered))
                gathered.clear()
        await asyncio.to_thread(arrival.write, bytes(gathered))
        await asyncio.to_thread(arrival.finish)

    async def keep(self, received: Received) -> None:
        """Store what was received. No row names it before, so a row never names what is not there."""
        await self.blobs.put(received.blob, received.file)

    def clear_spool(self, before: datetime) -> int:
        """Delete what killed uploads left behind before an instant; gives how many files."""
        left = [file for file in self.spool.glob("*") if file.stat().st_mtime <= before.timestamp()]
        for file in left:
            file.unlink(missing_ok=True)
        return len(left)

    def too_large(self) -> Problem:
        return Problem(PAYLOAD_TOO_LARGE, errors=[FieldError("", f"at most {self.max_bytes} bytes")])

    async def content(self, attachment: Attachment, span: Span | None) -> AsyncIterator[bytes]:
        """A file's bytes, or a part of them. The last ones of a whole file are given only when its digest is right.

        Raises ``FileNotFoundError``, ``SealError`` and ``ContentDamaged``.
        """
        read = partial(self.blobs.read, blob_name(attachment.digest, attachment.key_id))
        key = self._keys[attachment.key_id] if attachment.key_id else None
        wanted = span or Span(0, attachment.size)
        digest, given, held = hashlib.sha256(), 0, b""
        async for part in self._plain(read, key, attachment.size, wanted):
            digest.update(part)
            given += len(part)
            if held:
                yield held
            held = part
        if given != wanted.stop - wanted.start:
            raise ContentDamaged("cut off")
        if wanted == Span(0, attachment.size) and digest.digest() != attachment.digest:
            raise ContentDamaged("another digest")
        yield held

    def _plain(self, read: sealing.Read, key: Key | None, size: int, span: Span) -> AsyncIterator[bytes]:
        return sealing.opened(read, key, size, *span) if key is not None else read(*span)


class _Arrival:
    """A file being written: its digest, its type, its seal. Lives in threads, one call at a time."""

    def __init__(self, file: Path, key: Key | None) -> None:
        self._handle: IO[bytes] = os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._sealer = Sealer(key) if key is not None else None
        self.digest = hashlib.sha256()
        self.sniffer = Sniffer()
        self.size = 0

    def write(self, part: bytes) -> None:
        self.digest.update(part)
        self.sniffer.feed(part)
        self.size += len(part)
        self._handle.write(self._sealer.update(part) if self._sealer is not None else part)

    def finish(self) -> None:
        if self._sealer is not None:
            self._handle.write(self._sealer.finish())
        self._handle.flush()
        os.fsync(self._handle.fileno())

    def close(self) -> None:
        self._handle.close()
