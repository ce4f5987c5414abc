"""Files of rows for people and programs: CSV, XLSX and NDJSON, no cell of which is a formula."""

from __future__ import annotations

import asyncio
import csv
import io
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from credit_service.platform.days import SHANGHAI

MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "ndjson": "application/x-ndjson",
}
CHUNK_BYTES = 1 << 16
MOST_SHEET_ROWS = 1_048_575
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the file: its header, and where its value stands in a row: a member, or a fact within it."""

    header: str
    member: str
    fact: str | None = None

    def value(self, row: dict[str, Any]) -> Any:
        found = row.get(self.member)
        return found.get(self.fact) if self.fact is not None and found is not None else found


def _text(value: Any) -> str:
    """As a reader expects it: instants in the time of Asia/Shanghai, in which the law's days end."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value.astimezone(SHANGHAI):%Y-%m-%d %H:%M:%S}"
    return "、".join(map(str, value)) if isinstance(value, list) else str(value)


def spreadsheet_text(value: Any) -> str:
    """Text that no spreadsheet program takes for a formula (CSV injection): a leading sign is quoted."""
    text = _text(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


async def write_csv(columns: list[Column], rows: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    """UTF-8 with a byte-order mark, which Excel asks for."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    buffer.write("\ufeff")
    writer.writerow([column.header for column in columns])
    async for row in rows:
        writer.writerow([spreadsheet_text(column.value(row)) for column in columns])
        if buffer.tell() > CHUNK_BYTES:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


async def write_ndjson(columns: list[Column], rows: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    """One JSON object a line, with the same names."""
    async for row in rows:
        line = {column.header: column.value(row) for column in columns}
        yield orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE)


async def write_xlsx(columns: list[Column], rows: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    """A workbook, every cell text: codes keep their zeros and nothing is a formula. Long lists go on on new sheets."""
    from openpyxl import Workbook

    workbook = Workbook(write_only=True)
    sheet, written = None, 0

    async for row in rows:
        if sheet is None or written % MOST_SHEET_ROWS == 0:
            sheet = workbook.create_sheet()
            sheet.append([column.header for column in columns])
        sheet.append([_cell(sheet, column.value(row)) for column in columns])
        written += 1
    if sheet is None:
        workbook.create_sheet().append([column.header for column in columns])
    with tempfile.TemporaryFile() as file:
        await asyncio.to_thread(workbook.save, file)
        file.seek(0)
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _cell(sheet: Any, value: Any) -> Any:
    """A text cell, whatever the text looks like."""
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    cell = WriteOnlyCell(sheet, value=ILLEGAL_CHARACTERS_RE.sub("", _text(value)))
    cell.data_type = "s"
    return cell


Writer = Callable[[list[Column], AsyncIterator[dict[str, Any]]], AsyncIterator[bytes]]
WRITERS: dict[str, Writer] = {"csv": write_csv, "ndjson": write_ndjson, "xlsx": write_xlsx}
