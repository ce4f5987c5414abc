"""Judge a file block by block, in a process of its own: what crosses the border is bytes in and COPY text out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from credit_service.platform.errors import UNAVAILABLE, FieldError, Problem
from credit_service.records.imports.judged import Context, Judged
from credit_service.records.imports.readers import (
    MOST_COLUMNS,
    MOST_TITLES,
    Format,
    csv_rows,
    decode,
    ndjson_objects,
    sheet_rows,
    unreadable,
)
from credit_service.records.imports.templates import FEWEST_CELLS, Plan, is_header, recognise
from credit_service.records.imports.validation import judge


@dataclass
class BlockResult:
    """A judged block with what it taught about the file, or the problem that ends the import.

    A problem crosses the process border as data: its kind's slug, detail and errors.
    """

    plan: Plan | None = None
    encoding: str | None = None
    judged: Judged = field(default_factory=Judged)
    problem: tuple[str, str, list[FieldError]] | None = None
    end_of_file: bool = False


@dataclass(frozen=True)
class Position:
    """Where in the file a block begins, and what is known of the file so far."""

    template: str
    plan: Plan | None
    encoding: str | None
    first_row: int
    done: int
    """Data rows merged by an earlier attempt: they are counted and passed over."""


def judge_block(form: Format, block: bytes, position: Position, context: Context) -> BlockResult:
    """Judge a block of a text file that begins and ends at record boundaries."""
    try:
        text, encoding = decode(block, position.encoding)
        if form is Format.NDJSON:
            plan, rows = _objects(text, position)
        else:
            plan, rows = _header(csv_rows(text), position)
        return BlockResult(plan, encoding, _judge_rest(plan, rows, position, context))
    except Problem as problem:
        return BlockResult(problem=(problem.type.slug, problem.detail, list(problem.errors)))


_sheets: dict[str, Iterator[list[str]]] = {}


def judge_sheet(path: str, count: int, position: Position, context: Context) -> BlockResult:
    """Judge the next ``count`` rows of a workbook; this process keeps it open between calls."""
    try:
        if position.plan is None:
            _sheets[path] = sheet_rows(path, partial(is_header, position.template))
        elif path not in _sheets:  # this process took the place of one that had it open
            raise Problem(UNAVAILABLE)
        rows = list(islice(_sheets[path], count))
        end = len(rows) < count
        if end:
            del _sheets[path]
        plan, rest = _header(rows, position)
        return BlockResult(plan, None, _judge_rest(plan, rest, position, context), end_of_file=end)
    except Problem as problem:
        _sheets.pop(path, None)
        return BlockResult(problem=(problem.type.slug, problem.detail, list(problem.errors)))


def forget_sheet(path: str) -> None:
    """Close a workbook whose import ended before its last row."""
    _sheets.pop(path, None)


def _recognised(template: str, cells: list[str], *, columns_required: bool = True) -> Plan:
    if sum(bool(cell.strip()) for cell in cells) > MOST_COLUMNS:
        raise unreadable(f"more than {MOST_COLUMNS} columns")
    return recognise(template, cells, columns_required=columns_required)


def _header(rows: list[list[str]], position: Position) -> tuple[Plan, Sequence[Sequence[str] | None]]:
    """The plan, from the first row that a template knows: titles and groups of columns above it are passed over.

    Where none is, the first row that fills as many cells is refused as a header.
    """
    if position.plan is not None:
        return position.plan, rows
    top = rows[:MOST_TITLES]
    filled = [index for index, row in enumerate(top) if sum(bool(cell.strip()) for cell in row) >= FEWEST_CELLS]
    known = [index for index in filled if is_header(position.template, top[index])]
    for index in known or filled:
        return _recognised(position.template, rows[index]), rows[index + 1 :]
    return recognise(position.template, rows[0] if rows else []), []


def _objects(text: str, position: Position) -> tuple[Plan, Sequence[Sequence[str] | None]]:
    objects = ndjson_objects(text)
    keys = list(dict.fromkeys(key for entry in objects if entry is not None for key in entry))
    if position.plan is None:
        plan = _recognised(position.template, keys)
    else:
        plan = _recognised(position.plan.template, keys, columns_required=False)
    return plan, [[entry.get(key, "") for key in keys] if entry is not None else None for entry in objects]


def _judge_rest(plan: Plan, rows: Sequence[Sequence[str] | None], position: Position, context: Context) -> Judged:
    skipped = min(len(rows), max(0, position.done - position.first_row + 1))
    judged = judge(plan, rows[skipped:], position.first_row + skipped, context)
    judged.rows += skipped
    return judged
