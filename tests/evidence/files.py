"""Small real files of every type, and some that only pretend."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import openpyxl

from credit_service.evidence import rules


def png() -> bytes:
    """One grey pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixel = zlib.compress(b"\0\x80")
    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


def pdf(size: int = 0) -> bytes:
    """A PDF, filled up with a comment to ``size`` bytes."""
    body = b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n"
    end = b"\ntrailer<</Root 1 0 R>>\n%%EOF\n"
    filling = bytes(range(33, 127)) * (max(0, size - len(body) - len(end)) // 94 + 1)
    return body + b"%" + filling[: max(0, size - len(body) - len(end) - 1)] + end


def container(*names: str, comment: bytes = b"") -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, "<x/>")
        archive.comment = comment
    return held.getvalue()


def workbook() -> bytes:
    held = io.BytesIO()
    openpyxl.Workbook().save(held)
    return held.getvalue()


DOCX_NAMES = ("[Content_Types].xml", "_rels/.rels", "word/document.xml")
REAL = {
    rules.PDF: pdf(),
    rules.PNG: png(),
    rules.JPEG: b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(64) + b"\xff\xd9",
    rules.TEXT: "整改完成情况说明\r\n".encode(),
    rules.OFD: container("OFD.xml", "Doc_0/Document.xml"),
    rules.DOCX: container(*DOCX_NAMES),
    rules.XLSX: workbook(),
}
PRETENDING = {
    "nothing": b"",
    "program": b"MZ\x90\x00\x03\x00\x00\x00",
    "elf": b"\x7fELF\x02\x01\x01\x00",
    "old office": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504),
    "bare zip": container("a.txt"),
    "macros": container(*DOCX_NAMES, "word/vbaProject.bin"),
    "two at once": container(*DOCX_NAMES, "OFD.xml"),
    "no content types": container("word/document.xml"),
    "cut off zip": container(*DOCX_NAMES)[:-30],
    "utf-16": "说明".encode("utf-16"),
    "png head only": b"\x89PNG\r\n\x1a\n" + bytes(20),
    "half a character": "说明".encode()[:-1] + b"\xff",
}
