"""HTTP of the transparency log: signed heads and tiles for everybody, entries for those who audit."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel
from pydantic import Field as ApiField

from credit_service.accounts.dependencies import requires
from credit_service.accounts.rules import Permission, Principal
from credit_service.audit.checkpoints import public_keys
from credit_service.audit.log import PATH
from credit_service.audit.merkle import ProofError
from credit_service.audit.reader import Head, LogReader, tlog_proof, within
from credit_service.audit.tiles import ENTRIES, tile_of
from credit_service.platform.errors import INVALID_REQUEST, NOT_FOUND, FieldError, Problem

router = APIRouter(tags=["log 透明日志"])

Reads = Annotated[Principal, Depends(requires(Permission.READ_LOG))]
Audits = Annotated[Principal, Depends(requires(Permission.READ_AUDIT))]
Year = Annotated[int, Path(ge=0, le=9999, description="日志年份 The log of this year")]
Index = Annotated[int, Path(ge=0, lt=1 << 62, description="条目序号 Place of the entry in its log")]
Size = Annotated[int | None, Query(ge=1, lt=1 << 62, description="树大小 Size of the tree; default: the signed head")]
IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}


class LogSummary(BaseModel):
    """A year's log."""

    number: int = ApiField(description="年份 Year")
    origin: str = ApiField(description="日志名 Origin, as in its checkpoints")
    size: int = ApiField(description="已签名条目数 Entries under the newest signed head")
    closed: bool = ApiField(description="已关闭 The year is over; the log grows no more")
    first_sequence: int = ApiField(description="首条全局序号 Place of its first entry in the order of all logs")


class LogIndex(BaseModel):
    """The logs and the keys that have signed their heads. Take keys from a source you trust, not only from here."""

    logs: list[LogSummary] = ApiField(description="日志 The oldest first")
    keys: list[str] = ApiField(description="公钥 Verifier keys (C2SP signed-note)")


class InclusionProof(BaseModel):
    """Proof that a leaf is in the tree."""

    index: int = ApiField(description="条目序号")
    size: int = ApiField(description="树大小")
    path: list[str] = ApiField(description="路径 Sibling hashes from the leaf upwards, base64")
    checkpoint: str | None = ApiField(description="检查点 The signed head of this size, if one was signed")


class ConsistencyProof(BaseModel):
    """Proof that the larger tree extends the smaller."""

    first: int = ApiField(description="较小的树")
    second: int = ApiField(description="较大的树")
    path: list[str] = ApiField(description="路径 RFC 6962 section 2.1.2, base64")


class EntryView(BaseModel):
    """An entry of the log with who did it and why, for those who audit."""

    index: int = ApiField(description="条目序号")
    sequence: int = ApiField(description="全局序号")
    entry: str = ApiField(description="条目原文 The canonical bytes, as UTF-8")
    recorded_at: datetime = ApiField(description="发生时间 (UTC)")
    attribution: dict[str, Any] | None = ApiField(description="操作人、单位、请求 Who, for which agency, which request")
    attribution_salt: str | None = ApiField(description="操作人承诺的盐 Hexadecimal")
    reason: str | None = ApiField(description="理由; empty when none was given or it was lawfully erased")
    reason_salt: str | None = ApiField(description="理由承诺的盐 Hexadecimal")
    tlog_proof: str = ApiField(description="离线可验证的证明 C2SP tlog-proof")


def reader_of(request: Request) -> LogReader:
    found: LogReader = request.app.state.log_reader
    return found


async def head_of(request: Request, number: int) -> Head:
    """The newest signed head of a year's log. Raises ``NOT_FOUND``."""
    head = await reader_of(request).head(number)
    if head is None:
        raise Problem(NOT_FOUND)
    return head


@router.get(PATH, response_model=LogIndex)
async def list_logs(request: Request, principal: Reads) -> LogIndex:
    """日志目录 The logs and their public keys."""
    reader = reader_of(request)
    logs = []
    for shard in await reader.shards():
        head = await reader.head(shard.number)
        logs.append(
            LogSummary(
                number=shard.number,
                origin=shard.origin,
                size=head.size if head else 0,
                closed=shard.end_sequence is not None,
                first_sequence=shard.first_sequence,
            )
        )
    return LogIndex(logs=logs, keys=[str(key) for key in await public_keys(await reader.connection())])


@router.get(f"{PATH}/{{year}}/checkpoint", response_class=Response)
async def read_checkpoint(request: Request, year: Year, principal: Reads) -> Response:
    """检查点 The newest signed head with its cosignatures: a signed note (C2SP tlog-checkpoint)."""
    head = await head_of(request, year)
    return Response(head.note, media_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-cache"})


@router.get(f"{PATH}/{{year}}/tile/entries/{{place:path}}", response_class=Response)
async def read_bundle(
    request: Request,
    year: Year,
    place: Annotated[str, Path(max_length=100, description="条目包 N[.p/W] (C2SP tlog-tiles)")],
    principal: Audits,
) -> Response:
    """条目包 256 entries of the log."""
    return await _tile(request, year, f"tile/entries/{place}")


@router.get(f"{PATH}/{{year}}/tile/{{place:path}}", response_class=Response)
async def read_tile(
    request: Request,
    year: Year,
    place: Annotated[str, Path(max_length=100, description="数据块 L/N[.p/W] (C2SP tlog-tiles)")],
    principal: Reads,
) -> Response:
    """数据块 256 hashes of the log's tree."""
    return await _tile(request, year, f"tile/{place}")


async def _tile(request: Request, year: int, path: str) -> Response:
    tile, head = tile_of(path), await head_of(request, year)
    if tile is None or not within(tile, head.size):
        raise Problem(NOT_FOUND)
    connection = await reader_of(request).connection()
    content = await (head.tree.bundle(connection, tile) if tile.level == ENTRIES else head.tree.tile(connection, tile))
    return Response(content, media_type="application/octet-stream", headers=IMMUTABLE)


@router.get(f"{PATH}/{{year}}/inclusion/{{index}}", response_model=InclusionProof)
async def prove_inclusion(request: Request, year: Year, index: Index, principal: Reads, size: Size = None) -> Response:
    """包含证明 That entry ``index`` is in the tree of ``size`` (RFC 6962 section 2.1.1)."""
    head = await head_of(request, year)
    wanted = _signed_size(size, head)
    if index >= wanted:
        raise Problem(INVALID_REQUEST, errors=[FieldError("path:index", "below the size of the tree")])
    path = await head.tree.inclusion(await reader_of(request).connection(), index, wanted)
    checkpoint = head if wanted == head.size else await reader_of(request).head_with(year, wanted)
    note = checkpoint.note if checkpoint is not None and checkpoint.size == wanted else None
    content = {"index": index, "size": wanted, "path": _base64(path), "checkpoint": note}
    return Response(orjson.dumps(content), media_type="application/json")


@router.get(f"{PATH}/{{year}}/consistency", response_model=ConsistencyProof)
async def prove_consistency(
    request: Request,
    year: Year,
    principal: Reads,
    first: Annotated[int, Query(ge=0, lt=1 << 62, description="较小的树 Size of the tree seen before")],
    second: Size = None,
) -> ConsistencyProof:
    """一致性证明 That the tree of ``second`` begins with the tree of ``first`` (RFC 6962 section 2.1.2)."""
    head = await head_of(request, year)
    wanted = _signed_size(second, head)
    try:
        path = await head.tree.consistency(await reader_of(request).connection(), first, wanted)
    except ProofError as error:
        raise Problem(INVALID_REQUEST, errors=[FieldError("query:first", "at most second")]) from error
    return ConsistencyProof(first=first, second=wanted, path=_base64(path))


@router.get(f"{PATH}/{{year}}/entries/{{index}}", response_model=EntryView)
async def read_entry(request: Request, year: Year, index: Index, principal: Audits) -> EntryView:
    """日志条目 An entry with its proof."""
    head = await head_of(request, year)
    if index >= head.size:
        raise Problem(NOT_FOUND)
    connection = await reader_of(request).connection()
    sequence = head.tree.shard.first_sequence + index
    row = await connection.fetchrow(_ENTRY, sequence)
    assert row is not None
    path = await head.tree.inclusion(connection, index, head.size)
    return EntryView(
        index=index,
        sequence=sequence,
        entry=row["canonical"].decode(),
        recorded_at=row["occurred_at"],
        attribution=orjson.loads(row["attribution"]) if row["attribution"] else None,
        attribution_salt=row["salt"].hex() if row["salt"] else None,
        reason=row["reason"],
        reason_salt=row["reason_salt"].hex() if row["reason_salt"] else None,
        tlog_proof=tlog_proof(index, path, head.note),
    )


_ENTRY = """
SELECT e.* FROM log_entry l JOIN audit_event e ON e.uscc = l.uscc AND e.id = l.id WHERE l.sequence = $1
"""


def _signed_size(size: int | None, head: Head) -> int:
    """Nothing is proved of entries that no head has been signed over."""
    if size is not None and size > head.size:
        raise Problem(INVALID_REQUEST, errors=[FieldError("query:size", "at most the size of the signed head")])
    return size or head.size


def _base64(path: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(found).decode() for found in path]
