"""Rules of attachments, pure: what a file is by its content, what it may be called, which part of it is asked for."""

from __future__ import annotations

import codecs
import io
import re
import unicodedata
import zipfile
from typing import NamedTuple
from urllib.parse import quote

from credit_service.platform.errors import FieldError, Problem, ProblemType

MEDIA_TYPE_REFUSED = ProblemType("media-type-refused", 415, "不接受的文件类型", "Files of this type are not accepted")
MEDIA_TYPE_DIFFERS = ProblemType(
    "media-type-differs", 415, "文件内容与声明的类型不符", "The file's content is not of the declared type"
)
MALWARE_FOUND = ProblemType("malware-found", 422, "文件含有恶意代码", "The file was found to hold malware")
SCANNER_UNAVAILABLE = ProblemType(
    "scanner-unavailable", 503, "恶意代码扫描暂不可用", "The malware scanner cannot be asked; nothing was stored"
)
TOO_MANY_ATTACHMENTS = ProblemType("too-many-attachments", 409, "附件数量已达上限", "The case holds no more files")
RANGE_NOT_SATISFIABLE = ProblemType("range-not-satisfiable", 416, "请求范围超出文件", "The range is outside the file")

PDF = "application/pdf"
PNG = "image/png"
JPEG = "image/jpeg"
TEXT = "text/plain"
OFD = "application/ofd"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
EXTENSIONS = {PDF: ".pdf", PNG: ".png", JPEG: ".jpg", TEXT: ".txt", OFD: ".ofd", DOCX: ".docx", XLSX: ".xlsx"}
"""Every media type that can be recognised, with the extension it is saved under."""

_ZIP = b"PK\x03\x04"
_ZIP_END = b"PK\x05\x06"
_MARKERS = {"OFD.xml": OFD, "word/document.xml": DOCX, "xl/workbook.xml": XLSX}
_DIRECTORY_BYTES = 1 << 20
_TAIL_BYTES = _DIRECTORY_BYTES + (1 << 16)
_HEAD_BYTES = 32
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")


class Sniffer:
    """Recognises a media type from the content as it passes by. Holds one mebibyte at most, for zip containers."""

    def __init__(self) -> None:
        self._head = b""
        self._tail = bytearray()
        self._decoders = [codecs.getincrementaldecoder(name)() for name in ("utf-8", "gb18030")]

    def feed(self, part: bytes) -> None:
        if len(self._head) < _HEAD_BYTES:
            self._head += part[: _HEAD_BYTES - len(self._head)]
        if self._head.startswith(_ZIP):
            self._tail += part
            del self._tail[:-_TAIL_BYTES]
        elif self._decoders:
            self._decode(part, final=False)

    def media_type(self) -> str | None:
        """The type of everything fed, ``None`` when it is none of ``EXTENSIONS``."""
        head = self._head
        if re.match(rb"%PDF-[12]\.\d", head):
            return PDF
        if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
            return PNG
        if head.startswith(b"\xff\xd8\xff"):
            return JPEG
        if head.startswith(_ZIP):
            return _type_of_container(bytes(self._tail))
        self._decode(b"", final=True)
        return TEXT if head and self._decoders else None

    def _decode(self, part: bytes, *, final: bool) -> None:
        if _CONTROLS.search(part):
            self._decoders = []
        for decoder in list(self._decoders):
            try:
                decoder.decode(part, final)
            except UnicodeDecodeError:
                self._decoders.remove(decoder)


def _type_of_container(tail: bytes) -> str | None:
    """OFD (GB/T 33190) or Office Open XML by the names in its directory; one with macros is neither."""
    end = tail.rfind(_ZIP_END)
    if end < 0 or len(tail) < end + 22 or int.from_bytes(tail[end + 12 : end + 16], "little") > _DIRECTORY_BYTES:
        return None  # zip64 says 0xFFFFFFFF here and is beyond the limit as well
    try:
        with zipfile.ZipFile(io.BytesIO(tail)) as container:
            names = container.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return None
    if any(name.lower().endswith("vbaproject.bin") for name in names):
        return None
    found = {_MARKERS[name] for name in names if name in _MARKERS}
    kind = found.pop() if len(found) == 1 else None
    return kind if kind == OFD or "[Content_Types].xml" in names else None


def check_type(declared: str, found: str | None, accepted: frozenset[str]) -> None:
    """The declared type must be accepted and be what the content is. Raises ``MEDIA_TYPE_*``."""
    if declared not in accepted:
        raise Problem(MEDIA_TYPE_REFUSED, errors=[FieldError("header:Content-Type", ", ".join(sorted(accepted)))])
    if found != declared:
        raise Problem(MEDIA_TYPE_DIFFERS, errors=[FieldError("header:Content-Type", "as the content")])


_NUMBERS = re.compile(r"(?<!\d)(\d{17}[\dXx]|\d{15,19}|1\d{10})(?!\d)")
_LONGEST_NAME = 120


def safe_name(given: str | None, media_type: str) -> str:
    """A file name without path, controls, invisible marks or numbers of persons, with its type's extension."""
    name = unicodedata.normalize("NFC", (given or "").replace("\\", "/").rsplit("/", 1)[-1])
    name = "".join(mark for mark in name if unicodedata.category(mark)[0] != "C")
    name = _NUMBERS.sub("***", name).strip(" .")
    extension = EXTENSIONS[media_type]
    known = (extension, ".jpeg") if media_type == JPEG else (extension,)
    stem = name
    for suffix in known:
        if name.lower().endswith(suffix):
            stem, extension = name[: -len(suffix)], suffix
    return (stem.strip(" .")[:_LONGEST_NAME] or "attachment") + extension


def disposition(name: str) -> str:
    """Content-Disposition that always saves and never shows (RFC 6266, RFC 8187)."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


class Span(NamedTuple):
    """Bytes of a file: from ``start`` up to and without ``stop``."""

    start: int
    stop: int


_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


def span_of(header: str | None, size: int) -> Span | None:
    """The one range that is asked for (RFC 9110 section 14), ``None`` for the whole.

    Several ranges or a malformed header are answered with the whole file, as the RFC allows. Raises
    ``RANGE_NOT_SATISFIABLE`` with Content-Range.
    """
    found = _RANGE.fullmatch((header or "").strip())
    if found is None or found[1] == found[2] == "":
        return None
    if found[1] == "":
        start, stop = max(0, size - int(found[2])), size
    else:
        start = int(found[1])
        stop = min(size, int(found[2]) + 1) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    if start >= stop:
        raise Problem(RANGE_NOT_SATISFIABLE, headers={"Content-Range": f"bytes */{size}"})
    return Span(start, stop)


def blob_name(digest: bytes, key_id: str | None) -> str:
    """What content is stored under: its SHA-256, and the key that sealed it if one did."""
    return digest.hex() + (f".{key_id}" if key_id else "")
