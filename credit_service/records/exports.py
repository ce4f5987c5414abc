"""Files of list entries: CSV, XLSX and NDJSON with the catalogue's Chinese headers."""

from __future__ import annotations

import asyncio
import csv
import io
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from credit_service.accounts.rules import Audience
from credit_service.catalogue.models import Item

MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "ndjson": "application/x-ndjson",
}
ROWS_A_CHUNK = 200
CHUNK_BYTES = 1 << 16
MOST_SHEET_ROWS = 1_048_575
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_CORE = (
    ("entity_name", "主体名称"),
    ("uscc", "统一社会信用代码"),
    ("document_number", "决定文书号"),
    ("legal_basis", "依据"),
    ("authority_name", "决定机关"),
    ("authority_uscc", "决定机关统一社会信用代码"),
    ("entered_on", "列入日期"),
    ("valid_until", "有效期至"),
    ("publicity_until", "公示截止"),
    ("removed_on", "移出日期"),
    ("removal_reason", "移出理由"),
    ("source_name", "数据来源单位"),
    ("disputed_since", "异议处理中"),
)
_RANGES = {
    Audience.PUBLIC: {"public": "facts"},
    Audience.AGENCY: {"public": "facts", "shared": "shared_facts"},
    Audience.REGULATOR: {"public": "facts", "shared": "shared_facts", "restricted": "restricted_facts"},
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the file: its header, and where its value stands in a list entry."""

    header: str
    member: str
    fact: str | None = None

    def value(self, row: dict[str, Any]) -> Any:
        found = row.get(self.member)
        return found.get(self.fact) if self.fact is not None and found is not None else found


def columns_of(item: Item, audience: Audience) -> list[Column]:
    """The columns of a list for an audience: the core, then the item's own fields that it may see."""
    ranges = _RANGES[audience]
    said = {header for _, header in _CORE}  # the item's own word for the same thing would be a second column of it
    own = [
        Column(field.label_zh, ranges[field.publication], field.name)
        for field in item.fields
        if field.publication in ranges and field.label_zh not in said
    ]
    return [*(Column(header, member) for member, header in _CORE), *own]


def _text(value: Any) -> str:
    if value is None:
        return ""
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
    """One JSON object a line, with the same Chinese names."""
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
