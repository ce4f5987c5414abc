"""From an upload to judged blocks: read while it arrives, judged while their predecessors are merged."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import BrokenExecutor, Executor
from contextlib import aclosing, asynccontextmanager, suppress

from credit_service.platform.errors import PAYLOAD_TOO_LARGE, UNAVAILABLE, Problem, ProblemType
from credit_service.records.imports import readers
from credit_service.records.imports.blocks import BlockResult, Position, forget_sheet, judge_block, judge_sheet
from credit_service.records.imports.judged import Context
from credit_service.records.imports.readers import Format

ROWS_A_SHEET_BLOCK = 2500


async def limited(stream: AsyncIterator[bytes], most_bytes: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size > most_bytes:
            raise Problem(PAYLOAD_TOO_LARGE, detail=f"at most {most_bytes} bytes")
        if chunk:
            yield chunk


async def _blocks(form: Format, head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The file in blocks of about a mebibyte that end at record boundaries."""
    parts, size, due = [head], len(head), readers.BLOCK_BYTES
    async for chunk in rest:
        parts.append(chunk)
        size += len(chunk)
        if size < due:
            continue
        buffer = b"".join(parts)
        end = readers.cut(buffer, form)
        if end:
            yield buffer[:end]
        parts, size = [buffer[end:]], len(buffer) - end
        due = readers.BLOCK_BYTES if end else 2 * size  # not looked through again for each chunk
    if size:
        yield b"".join(parts)


@asynccontextmanager
async def judged_blocks(
    executor: Executor, form: Format, head: bytes, rest: AsyncIterator[bytes], start: Position, context: Context
) -> AsyncIterator[AsyncIterator[BlockResult]]:
    """Judged blocks in order; while one is merged, another may wait and a third is being judged."""
    if form is not Format.XLSX:
        async with aclosing(_ahead(_judged_text(executor, form, _blocks(form, head, rest), start, context))) as results:
            yield results
        return
    # A workbook needs random access: it lies in a file without lasting name that is gone with this block.
    with tempfile.NamedTemporaryFile(prefix="import-", suffix=".xlsx") as file:
        file.write(head)
        async for chunk in rest:
            file.write(chunk)
        file.flush()
        try:
            async with aclosing(_ahead(_judged_sheet(executor, file.name, start, context))) as results:
                yield results
        finally:
            with suppress(BrokenExecutor):
                executor.submit(forget_sheet, file.name)


async def _ahead(results: AsyncGenerator[BlockResult]) -> AsyncGenerator[BlockResult]:
    """The same results, each fetched before it is asked for: judging and merging take turns at being the slower one."""

    async def fetch() -> BlockResult | None:
        return await anext(results, None)

    following = asyncio.create_task(fetch())
    try:
        while (result := await following) is not None:
            following = asyncio.create_task(fetch())
            yield result
    finally:
        following.cancel()
        await asyncio.wait((following,))
        await results.aclose()


async def _judged_text(
    executor: Executor, form: Format, blocks: AsyncIterator[bytes], position: Position, context: Context
) -> AsyncGenerator[BlockResult]:
    loop = asyncio.get_running_loop()
    block = await anext(blocks)
    working: asyncio.Future[BlockResult] | None = loop.run_in_executor(
        executor, judge_block, form, block, position, context
    )
    while working is not None:
        following = await anext(blocks, None)
        result = await _checked(working)
        position = _after(position, result)
        working = None
        if following is not None:
            working = loop.run_in_executor(executor, judge_block, form, following, position, context)
        yield result


async def _judged_sheet(
    executor: Executor, path: str, position: Position, context: Context
) -> AsyncGenerator[BlockResult]:
    loop = asyncio.get_running_loop()
    working: asyncio.Future[BlockResult] | None = loop.run_in_executor(
        executor, judge_sheet, path, ROWS_A_SHEET_BLOCK, position, context
    )
    while working is not None:
        result = await _checked(working)
        position = _after(position, result)
        working = None
        if not result.end_of_file:
            working = loop.run_in_executor(executor, judge_sheet, path, ROWS_A_SHEET_BLOCK, position, context)
        yield result


def _after(position: Position, result: BlockResult) -> Position:
    return Position(
        position.template, result.plan, result.encoding, position.first_row + result.judged.rows, position.done
    )


async def _checked(working: asyncio.Future[BlockResult]) -> BlockResult:
    try:
        result = await working
    except BrokenExecutor as error:
        raise Problem(UNAVAILABLE, detail="send it again with the same key", headers={"Retry-After": "5"}) from error
    if result.problem is not None:
        slug, detail, errors = result.problem
        raise Problem(ProblemType.registry[slug], detail=detail, errors=errors)
    return result
