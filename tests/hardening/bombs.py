"""Files whose size when read has nothing to do with the size they are sent in, and files that reach for others."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable

from tests.records.imports.files import LABELS, csv_file, penalty

HEAD = b'<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
TAIL = b"</sheetData></worksheet>"
SHARED = b'<?xml version="1.0"?><sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'


def repacked(
    workbook: bytes, change: Callable[[str, bytes], bytes] = lambda _, content: content, **more: bytes
) -> bytes:
    """A workbook with changed and additional entries."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, change(entry.filename, old.read(entry)))
        for name, content in more.items():
            new.writestr(name, content)
    return out.getvalue()


def with_sheet(workbook: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A workbook with another first sheet."""
    return repacked(workbook, lambda name, content: change(content) if name.endswith("sheet1.xml") else content)


def of_rows(workbook: bytes, *rows: bytes) -> bytes:
    """A workbook whose sheet has these rows."""
    inside = b"".join(b"<row>" + row + b"</row>" for row in rows)
    return with_sheet(workbook, lambda _: HEAD + inside + TAIL)


def cell(reference: str) -> bytes:
    return f'<c {reference} t="inlineStr"><is><t>x</t></is></c>'.encode()


def with_lying_size(workbook: bytes) -> bytes:
    """A sheet of 600 MiB that says it has a thousand bytes, in both places where a ZIP says so."""
    data = bytearray(with_sheet(workbook, lambda _: HEAD + b" " * (600 << 20) + TAIL))
    place = 0
    while (place := data.find(b"PK\x01\x02", place)) >= 0:
        length, local = struct.unpack_from("<H", data, place + 28)[0], struct.unpack_from("<I", data, place + 42)[0]
        if data[place + 46 : place + 46 + length].endswith(b"sheet1.xml"):
            struct.pack_into("<I", data, place + 24, 1000)
            struct.pack_into("<I", data, local + 22, 1000)
        place += 4
    return bytes(data)


def entities(workbook: bytes, declared: str) -> bytes:
    """A workbook whose header cells consist of an entity."""
    head = HEAD.replace(b"<worksheet", f"<!DOCTYPE w [{declared}]><worksheet".encode())
    one = b'<c t="inlineStr"><is><t>&e;</t></is></c>'
    return with_sheet(workbook, lambda _: head + b"<row>" + one * len(LABELS) + b"</row>" + TAIL)


BILLION = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
BOMBS: dict[str, Callable[[bytes], bytes]] = {
    "far corner": lambda book: of_rows(book, cell('r="A1"'), cell('r="XFD1048576"')),
    "far corner in other quotes": lambda book: of_rows(book, cell('r="A1"') + cell(" r = 'xfd9'")),
    "far row": lambda book: of_rows(book, cell('r="A1"') + cell('r="B900000"')),
    "wide row without references": lambda book: of_rows(book, b"<c/>" * 16000 + cell("")),
    "tall sheet without references": lambda book: of_rows(book, *[b""] * 1_000_000, cell("")),
    "huge ratio": lambda book: with_sheet(book, lambda _: HEAD + b" " * (120 << 20) + TAIL),
    "lying size": with_lying_size,
    "many entries": lambda book: repacked(book, **{f"x{n}": b"" for n in range(2000)}),
    "shared strings": lambda book: repacked(book, **{"xl/more.xml": SHARED + b"<si><t>a</t></si>" * 7_000_000}),
    "archive in the archive": lambda book: with_sheet(book, lambda _: book),
    "entity expansion": lambda book: entities(book, '<!ENTITY e0 "ha">' + BILLION + '<!ENTITY e "&e11;">'),
    "external entity": lambda book: entities(book, '<!ENTITY e SYSTEM "file:///etc/passwd">'),
    "no workbook": lambda book: repacked(book, lambda name, old: b"" if name.endswith("workbook.xml") else old),
    "deep NDJSON": lambda _: b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}",
    "deeper NDJSON": lambda _: b'{"a":' * 100_000,
    "names without end": lambda _: b"\n".join(b'{"n%d":1}' % number for number in range(100_000)),
    "columns without end": lambda _: ",".join(f"c{number}" for number in range(100_000)).encode() + b"\n1\n",
    "open quote": lambda _: b'"' + b"\n" * (3 << 20),
    "quotes and lines": lambda _: b'"' + b'\n""' * (1 << 20),
    "huge cell": lambda _: csv_file([penalty(1)]) + b"a" * (3 << 20) + b"\n",
}
