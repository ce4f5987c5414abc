"""Ask witnesses for their cosignatures (C2SP tlog-witness): somebody else keeps what the log once said.

A witness signs a head only after a proof that the log it signed last begins it. So a log that was rolled back or
rewritten gets no more cosignatures, whoever holds its key.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import httpx
import structlog

from credit_service.audit.notes import (
    Checkpoint,
    Note,
    NoteError,
    Verifier,
    parse_note,
    parse_signatures,
    signed_by,
)
from credit_service.audit.shards import Shard
from credit_service.audit.tree import Tree
from credit_service.platform.settings import LogWitness

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

logger = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 10.0
"""For a whole answer: who sends it a byte at a time keeps no other witness waiting."""
SIZE_TYPE = "text/x.tlog.size"
MOST_ANSWER_BYTES = 65_536
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")

_SEEN = "SELECT coalesce(max(size), 0) FROM log_cosignature WHERE shard = $1 AND witness = $2"
_STORE = """
INSERT INTO log_cosignature (shard, size, witness, line, created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
"""
_HEAD = "SELECT size, note FROM log_checkpoint WHERE shard = $1 ORDER BY size DESC LIMIT 1"


class WitnessRefusedError(RuntimeError):
    """A witness did not sign. With status 422 it has seen another history than ours: that is an alarm."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status} {detail}".strip())
        self.status = status


def request_body(old: int, proof: Sequence[bytes], note: str) -> bytes:
    """The body of add-checkpoint."""
    lines = [f"old {old}", *(base64.b64encode(found).decode() for found in proof)]
    return ("\n".join(lines) + "\n\n" + note).encode()


async def cosign(
    http: httpx.AsyncClient, connection: AnyConnection, shard: Shard, witness: LogWitness, now: datetime
) -> int | None:
    """Get a witness's cosignature under the newest head and store it; gives the size, ``None`` when it has it already.

    Raises ``WitnessRefusedError`` and ``NoteError`` (an answer that is not a signature of the witness we know).
    """
    key = Verifier.parse(witness.vkey)
    head = await connection.fetchrow(_HEAD, shard.number)
    seen: int = await connection.fetchval(_SEEN, shard.number, str(key))
    if head is None or head["size"] == seen:
        return None
    size, note = head["size"], head["note"]
    answer = await _submit(http, connection, shard, witness, seen, size, note)
    if answer.status_code == 409 and answer.headers.get("content-type", "").startswith(SIZE_TYPE):
        # It knows another size: it missed an answer of ours, or we one of its.
        known = answer.text.strip()
        if not _SIZE.fullmatch(known) or int(known) > size:
            raise WitnessRefusedError(409, f"has signed {known[:200]}, the head is {size}")
        answer = await _submit(http, connection, shard, witness, int(known), size, note)
    if answer.status_code != 200:
        raise WitnessRefusedError(answer.status_code, answer.text[:200])
    signed = Note(parse_note(note).text, parse_signatures(answer.text))
    if not signed_by(signed, [key]):
        raise NoteError("not signed by the witness")
    line = next(signature.line() for signature in signed.signatures if key.made(signature))
    await connection.execute(_STORE, shard.number, size, str(key), line, now)
    return size if Checkpoint.parse(signed.text).size == size else None


async def _submit(
    http: httpx.AsyncClient,
    connection: AnyConnection,
    shard: Shard,
    witness: LogWitness,
    old: int,
    size: int,
    note: str,
) -> httpx.Response:
    proof = await Tree(shard).consistency(connection, old, size)
    body, address = request_body(old, proof, note), f"{witness.url.rstrip('/')}/add-checkpoint"
    plain = {"Accept-Encoding": "identity"}
    async with asyncio.timeout(TIMEOUT_SECONDS), http.stream("POST", address, content=body, headers=plain) as answer:
        told = bytearray()
        async for part in answer.aiter_raw():
            told += part
            if len(told) > MOST_ANSWER_BYTES:
                raise NoteError("an answer without end")
    kind = {"Content-Type": answer.headers.get("Content-Type", "")}
    return httpx.Response(answer.status_code, headers=kind, content=bytes(told))


async def ask_all(
    connection: AnyConnection, shards: Sequence[Shard], witnesses: Sequence[LogWitness], now: datetime
) -> dict[str, str]:
    """Ask every witness about every log; what came of it by witness. None keeps another from being asked."""
    outcomes = {}
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as http:
        for shard in shards:
            for witness in witnesses:
                try:
                    size = await cosign(http, connection, shard, witness, now)
                    outcomes[witness.url] = f"signed {size}" if size else "up to date"
                except WitnessRefusedError as error:
                    level = logger.critical if error.status == 422 else logger.error
                    level("witness refused", witness=witness.url, origin=shard.origin, detail=str(error))
                    outcomes[witness.url] = f"refused {error.status}"
                except (httpx.HTTPError, NoteError, TimeoutError) as error:
                    logger.error("witness failed", witness=witness.url, error_type=type(error).__name__)
                    outcomes[witness.url] = "failed"
    return outcomes
