"""The log as it runs: events are given their place, the year's log is opened and closed, heads are signed."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from credit_service.audit import checkpoints, sequencer
from credit_service.audit.notes import Checkpoint, NoteError
from credit_service.audit.sequencer import Before
from credit_service.audit.shards import LogCorruptError, Shard, alone, open_shard, size_of
from credit_service.audit.signing import LogKeys
from credit_service.audit.sm2 import Sm2Signer
from credit_service.platform.days import day_of
from credit_service.platform.settings import Settings

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

PATH = "/v1/log"


def keys_of(settings: Settings) -> LogKeys:
    """Raises ``Sm2UnavailableError`` when an SM2 key is set and cannot sign."""
    sm2 = Sm2Signer.load(settings.log_sm2_key_file) if settings.log_sm2_key_file else None
    return LogKeys(settings.keys_directory / "log", sm2)


def origin_of(base_url: str, number: int) -> str:
    """The name of a year's log: its address without the scheme (C2SP tlog-tiles)."""
    return f"{base_url.partition('://')[2]}{PATH}/{number}"


class Log:
    """What extends and signs the log, for one caller at a time over all processes."""

    def __init__(self, keys: LogKeys, base_url: str) -> None:
        self._keys = keys
        self._base_url = base_url

    async def sequence(self, connection: AnyConnection, now: datetime, *, wait: bool = False) -> int:
        """Give every visible event its place; gives how many. Nothing happens while another does it, unless ``wait``.

        With the new year a new log begins, once the head of the old one is signed. Raises ``LogCorruptError`` when the
        log is shorter than what was signed: another entry in a place that was signed already could never be proved.
        """
        async with alone(connection, wait=wait) as held:
            if not held:
                return 0
            shard = await self._current(connection, now)
            lost = await self._lost(connection, shard)
            if lost is not None:
                raise LogCorruptError(
                    "log-rolled-back", f"{shard.origin}: {lost.size} entries were signed, not all there"
                )
            return await sequencer.sequence(connection, shard)

    async def checkpoint(self, connection: AnyConnection, now: datetime, *, wait: bool = False) -> Checkpoint | None:
        """Sign the head of the open log. Raises ``LogCorruptError``, and then nothing was signed."""
        async with alone(connection, wait=wait) as held:
            if not held:
                return None
            return await checkpoints.sign(connection, await self._current(connection, now), self._keys, now)

    async def reopen(self, connection: AnyConnection, now: datetime) -> Shard:
        """Go on in a new log after the tail of the open one was lost, by a restore to an earlier point.

        Its first entry commits to the last head that was signed of the old log and to the one that is left, so the
        loss stays provable, and any further one is found.
        """
        async with alone(connection, wait=True):
            shard = await open_shard(connection)
            lost = await self._lost(connection, shard) if shard is not None else None
            if shard is None or lost is None:
                raise LogCorruptError("log-missing", "no log whose tail was lost")
            left = await checkpoints.close(connection, shard, self._keys, now)
            number, before = shard.number + 1, Before(lost, lossy=True, left=left)
            return await sequencer.open_log(connection, number, origin_of(self._base_url, number), now, before)

    async def _lost(self, connection: AnyConnection, shard: Shard) -> Checkpoint | None:
        """The head that was signed last, when the log no longer reaches it."""
        try:
            head = self._keys.remembered(shard.origin)
        except NoteError as error:
            raise LogCorruptError("checkpoint-forged", f"{shard.origin}: {error}") from error
        return head if head is not None and head.size > await size_of(connection, shard) else None

    async def _current(self, connection: AnyConnection, now: datetime) -> Shard:
        shard, year = await open_shard(connection), day_of(now).year
        if shard is not None and shard.number >= year:
            return shard
        before = Before(await checkpoints.sign(connection, shard, self._keys, now)) if shard is not None else None
        return await sequencer.open_log(connection, year, origin_of(self._base_url, year), now, before)
