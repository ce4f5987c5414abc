"""HTTP of attachments, for the routes of whatever they are given to: that domain says who may, and to which case."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from email.message import Message
from typing import Any
from uuid import UUID

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import ClientDisconnect

from credit_service.accounts.rules import Principal
from credit_service.evidence import commands, rules
from credit_service.evidence.commands import Subject
from credit_service.evidence.models import Attachment, AttachmentList, AttachmentRead
from credit_service.evidence.vault import Received, Vault
from credit_service.platform.http import actor_of, change, json_answer, matches
from credit_service.platform.idempotency import StoredAnswer

SubjectOf = Callable[[AsyncSession], Awaitable[Subject]]
"""The case, if the caller may do this with its files. Raises ``NOT_FOUND`` and whatever else keeps it from it."""

FILE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "文件 The file itself, declared as what it is; its name in Content-Disposition",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in rules.EXTENSIONS},
    }
}
FILE_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in rules.EXTENSIONS}},
    206: {"description": "部分内容 The range that was asked for"},
    304: {"description": "未变化 Not modified"},
}


def _vault(request: Request) -> Vault:
    vault: Vault = request.app.state.evidence
    return vault


def _etag(attachment: Attachment) -> str:
    return f'"{attachment.digest.hex()}"'


def _view(attachment: Attachment) -> AttachmentRead:
    return AttachmentRead.model_validate(attachment)


def _given_name(header: str | None) -> str | None:
    """The file name of a Content-Disposition header, percent-encoded (RFC 8187) or in UTF-8 as browsers send it."""
    if header is None:
        return None
    message = Message()
    message["content-disposition"] = header.encode("latin-1").decode("utf-8", "replace")
    return message.get_filename()


async def upload(request: Request, principal: Principal, subject_of: SubjectOf) -> Response:
    """Take the request's body in as a file of the case. The caller's right is checked before and after it arrives."""
    vault, state = _vault(request), request.app.state
    declared_length = request.headers.get("content-length", "")
    if declared_length.isdecimal() and int(declared_length) > vault.max_bytes:
        raise vault.too_large()
    async with state.database.transaction() as session:
        await subject_of(session)
    try:
        async with vault.receive(request.stream(), request.headers.get("content-type", "")) as received:
            return await _keep(request, principal, subject_of, received)
    except ClientDisconnect:
        return Response(status_code=499)


async def _keep(request: Request, principal: Principal, subject_of: SubjectOf, received: Received) -> Response:
    vault, now, actor = _vault(request), request.app.state.clock.now(), actor_of(request, principal)
    name = _given_name(request.headers.get("content-disposition"))
    await vault.keep(received)

    async def run(session: AsyncSession) -> StoredAnswer:
        subject = await subject_of(session)
        attachment, new = await commands.add(session, vault, actor, now, subject, received, name)
        location = f"{request.url.path}/{attachment.id}"
        headers = {"Location": location, "ETag": _etag(attachment)}
        return json_answer(_view(attachment).model_dump(mode="json"), 201 if new else 200, headers)

    said = b"\0".join((received.digest, received.media_type.encode(), (name or "").encode()))
    return await change(request, principal, run, body=said)


async def listing(request: Request, subject_of: SubjectOf) -> AttachmentList:
    """The files of a case."""
    async with request.app.state.database.transaction() as session:
        rows = await commands.listed(session, await subject_of(session))
    return AttachmentList(attachments=[_view(row) for row in rows])


async def download(request: Request, subject_of: SubjectOf, attachment_id: UUID) -> Response:
    """One file, or the part that Range asks for (RFC 9110 sections 13 and 14)."""
    async with request.app.state.database.transaction() as session:
        attachment = await commands.found(session, await subject_of(session), attachment_id)
    etag = _etag(attachment)
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization",
    }
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    valid = request.headers.get("if-range", etag).strip() == etag
    span = rules.span_of(request.headers.get("range") if valid else None, attachment.size)
    headers |= {
        "Content-Disposition": rules.disposition(attachment.file_name),
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Content-Type": attachment.media_type,
        "X-Content-Type-Options": "nosniff",
    }
    if span is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{attachment.size}"
    headers["Content-Length"] = str(span.stop - span.start if span else attachment.size)
    parts = await _begun(_vault(request).content(attachment, span))
    return StreamingResponse(parts, status_code=206 if span else 200, headers=headers)


async def _begun(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same parts with the first one read: what is missing altogether is a failure, not a short answer."""
    first = await anext(parts)

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for part in parts:
            yield part

    return rest()


async def removal(request: Request, principal: Principal, subject_of: SubjectOf, attachment_id: UUID) -> Response:
    """Take a file from its case."""
    now, actor = request.app.state.clock.now(), actor_of(request, principal)

    async def run(session: AsyncSession) -> StoredAnswer:
        await commands.remove(session, actor, now, await subject_of(session), attachment_id)
        return StoredAnswer(204, {}, b"")

    return await change(request, principal, run)
