"""From bytes to rows of text. Blocks end at record boundaries, so each can be read by itself."""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from enum import StrEnum
from itertools import islice
from typing import Any

import orjson
from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from credit_service.identity.personal import masked
from credit_service.platform.errors import UNSUPPORTED_MEDIA_TYPE, FieldError, Problem, ProblemType

IMPORT_UNREADABLE = ProblemType("import-unreadable", 422, "文件无法读取", "The file cannot be read")

BLOCK_BYTES = 2 << 20
LARGEST_RECORD_BYTES = 4 << 20
LARGEST_SHEET_BYTES = 96 << 20
"""Uncompressed size of a workbook (some 80,000 rows): it is held in memory while read. Larger files come as CSV."""
MOST_SHEET_ROWS = 99_999
"""What a workbook of that size holds at most; its cells lie in memory as a full rectangle, empty ones too."""
MOST_COLUMNS = 200
MOST_TITLES = 10
"""Rows among which the header is looked for."""
MOST_ENTRIES = 1_000
PIECE_BYTES = 1 << 20
LARGEST_CELL = 100_000

csv.field_size_limit(LARGEST_CELL)

Row = Sequence[str]


class Format(StrEnum):
    """Formats of an import file."""

    CSV = "csv"
    NDJSON = "ndjson"
    XLSX = "xlsx"


def sniff(head: bytes, content_type: str, file_name: str) -> Format:
    """The format by the first bytes; the declared type decides only between texts. Raises for what is none of them."""
    if head.startswith(b"PK\x03\x04"):
        return Format.XLSX
    if head.startswith((b"\xd0\xcf\x11\xe0", b"%PDF", b"\x1f\x8b", b"Rar!")) or b"\x00" in head:
        raise Problem(UNSUPPORTED_MEDIA_TYPE, detail="XLSX, CSV (UTF-8 or GB18030) or NDJSON")
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{"):
        return Format.NDJSON
    if "ndjson" in content_type or file_name.endswith((".ndjson", ".jsonl")):
        return Format.NDJSON
    return Format.CSV


def cut(buffer: bytes, form: Format) -> int:
    """Where the last complete record of ``buffer`` ends (0: none does yet).

    A line break inside quotes does not end a CSV record: it ends one only where the quotes so far pair up. In UTF-8 and
    GB18030 alike, the bytes of the quote and the line break occur nowhere inside other characters.
    """
    end = _end_outside_quotes(buffer) if form is Format.CSV else buffer.rfind(b"\n")
    if end < 0 and len(buffer) > LARGEST_RECORD_BYTES:
        raise unreadable("a record larger than 4 MiB")
    return end + 1


def _end_outside_quotes(buffer: bytes) -> int:
    parts = buffer.split(b'"')  # every other one lies within quotes
    start = len(buffer)
    for index in range(len(parts) - 1, -1, -1):
        start -= len(parts[index])
        if index % 2 == 0 and (found := parts[index].rfind(b"\n")) >= 0:
            return start + found
        start -= 1
    return -1


def decode(block: bytes, encoding: str | None) -> tuple[str, str | None]:
    """Text of a block and the file's encoding, once a byte outside ASCII has shown it: UTF-8 (with or without a byte
    order mark), otherwise GB18030. Bytes that do not fit become U+FFFD, which refuses their row."""
    if block.startswith(b"\xef\xbb\xbf"):
        return block[3:].decode("utf-8", "replace"), "utf-8"
    if encoding is not None:
        return block.decode(encoding, "replace"), encoding
    if block.isascii():
        return block.decode("ascii"), None
    try:
        return block.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return block.decode("gb18030", "replace"), "gb18030"


def csv_rows(text: str) -> list[list[str]]:
    """Rows of a CSV block; a tab-separated first line is recognised. Raises ``IMPORT_UNREADABLE``."""
    line = text[: text.find("\n")] if "\n" in text else text
    delimiter = "\t" if line.count("\t") > line.count(",") else ","
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise unreadable(str(error)) from error


def ndjson_objects(text: str) -> list[dict[str, str] | None]:
    """One object a line with its values as text; ``None`` for a line that is no JSON object of plain values or lists
    of them."""
    return [_object(line) for line in text.split("\n") if line.strip()]


def _object(line: str) -> dict[str, str] | None:
    try:
        value = orjson.loads(line)
    except ValueError:
        return None
    if not isinstance(value, dict) or any(map(_nested, value.values())):
        return None
    return {key: cell_text(cell) for key, cell in value.items()}


def _nested(cell: Any) -> bool:
    return isinstance(cell, dict) or (isinstance(cell, list) and any(isinstance(part, dict | list) for part in cell))


def cell_text(cell: Any) -> str:
    """The text of a typed cell: dates as ISO, whole numbers without a fraction, lists joined by 、."""
    if isinstance(cell, str):
        return cell
    if cell is None or isinstance(cell, bool):
        return "" if cell is None else str(cell)
    if isinstance(cell, datetime):
        return cell.date().isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, list):
        return "、".join(cell_text(part) for part in cell)
    return str(cell)


_EXCEPTIONS_OF_RUST = "pyo3_runtime"
_SHEET = re.compile(rb"<(?:\w+:)?sheetData\b")
_ROW = re.compile(rb"<(?:\w+:)?row\b")
_CELL = re.compile(rb"[<:]c[\s/>]")
# A cell says where it stands; a hundred bytes can place one in column XFD of row 1048576.
_FAR_CELL = re.compile(rb"""\br\s*=\s*["'](?:[A-Z]{0,3}0*[1-9]\d{5}|(?:[A-Z]{3}|[H-Z][A-Z]|G[S-Z])\d)""", re.IGNORECASE)


def sheet_rows(path: str, is_header: Callable[[list[str]], bool]) -> Iterator[list[str]]:
    """Rows of the workbook's one sheet with data under a header; where there is none, of its first sheet.

    Raises ``IMPORT_UNREADABLE`` for a broken, encrypted or oversized workbook, and for data on several sheets: what is
    not imported is not passed over.
    """
    try:
        _refuse_oversized(path)
        yield from _texts(_sheet_of(CalamineWorkbook.from_path(path), is_header))
    except Problem:
        raise
    except (CalamineError, zipfile.BadZipFile, zlib.error, OSError, LookupError, ValueError, RuntimeError) as error:
        raise unreadable("not a readable workbook") from error
    except BaseException as error:
        if type(error).__module__ != _EXCEPTIONS_OF_RUST:  # a panic of the reader is no Exception to Python
            raise
        raise unreadable("not a readable workbook") from error


def _sheet_of(book: CalamineWorkbook, is_header: Callable[[list[str]], bool]) -> CalamineSheet:
    """The sheet that is meant. Hidden ones and charts are not."""
    shown = [
        each.name
        for each in book.sheets_metadata
        if each.typ == SheetTypeEnum.WorkSheet and each.visible == SheetVisibleEnum.Visible
    ]
    if len(shown) < 2:
        return book.get_sheet_by_name(shown[0]) if shown else book.get_sheet_by_index(0)
    chosen: CalamineSheet | None = None
    for name in shown:
        sheet = book.get_sheet_by_name(name)
        if _holds_data(sheet, is_header):
            if chosen is not None:
                names = " and ".join(masked(each)[:50] for each in (chosen.name, name))
                raise unreadable(f"data on more than one sheet, {names}: send each by itself")
            chosen = sheet
    return chosen or book.get_sheet_by_name(shown[0])


def _holds_data(sheet: CalamineSheet, is_header: Callable[[list[str]], bool]) -> bool:
    """Whether there is a header among the first rows, and anything under it."""
    rows = _texts(sheet)
    return any(map(is_header, islice(rows, MOST_TITLES))) and any(cell.strip() for row in rows for cell in row)


def _texts(sheet: CalamineSheet) -> Iterator[list[str]]:
    return ([cell_text(cell) for cell in row] for row in sheet.iter_rows())


def _refuse_oversized(path: str) -> None:
    """Look at a workbook before it is unfolded: the reader itself has no limits."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MOST_ENTRIES or sum(entry.file_size for entry in entries) > LARGEST_SHEET_BYTES:
            raise unreadable("workbook larger than 96 MiB uncompressed; send it as CSV")
        for entry in entries:  # no more is read of an entry than it declares, and its checksum must then be right
            content = bytearray()
            with archive.open(entry) as file:
                while piece := file.read(PIECE_BYTES):  # all at once would take twice as much
                    content += piece
            if _SHEET.search(content) and not _fits(content):
                raise unreadable(f"a sheet with more than {MOST_SHEET_ROWS} rows or {MOST_COLUMNS} columns")


def _fits(sheet: bytearray) -> bool:
    """Whether the rectangle of a sheet's cells is small enough, by what they say and by how many there are."""
    if _FAR_CELL.search(sheet):
        return False
    starts = [found.start() for found in islice(_ROW.finditer(sheet), MOST_SHEET_ROWS + 1)]
    if len(starts) > MOST_SHEET_ROWS:
        return False
    ends = [*starts[1:], len(sheet)]
    return all(
        end - start < MOST_COLUMNS * 4
        or next(islice(_CELL.finditer(sheet, start, end), MOST_COLUMNS, None), None) is None
        for start, end in zip(starts, ends, strict=False)
    )


def unreadable(reason: str) -> Problem:
    return Problem(IMPORT_UNREADABLE, detail=reason, errors=[FieldError("", "file format", reason)])
