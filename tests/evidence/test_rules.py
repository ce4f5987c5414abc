"""What a file is, what it may be called, which part of it is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_service.evidence import rules
from credit_service.evidence.rules import Sniffer, Span
from credit_service.platform.errors import Problem
from tests.evidence.files import DOCX_NAMES, PRETENDING, REAL, container


def sniffed(content: bytes, step: int = 1 << 16) -> str | None:
    sniffer = Sniffer()
    for start in range(0, len(content), step):
        sniffer.feed(content[start : start + step])
    return sniffer.media_type()


@pytest.mark.parametrize("media_type", sorted(REAL))
@pytest.mark.parametrize("step", [1, 7, 1 << 16])
def test_each_type_is_found_by_its_content_in_whatever_parts_it_comes(media_type: str, step: int) -> None:
    assert sniffed(REAL[media_type], step) == media_type


@pytest.mark.parametrize("name", sorted(PRETENDING))
def test_what_pretends_is_nothing(name: str) -> None:
    assert sniffed(PRETENDING[name]) is None


def test_text_of_both_encodings_and_long_containers() -> None:
    assert sniffed("情况说明".encode("gb18030"), 3) == rules.TEXT
    assert sniffed(container(*DOCX_NAMES, *(f"word/media/{n}.png" for n in range(5000)))) == rules.DOCX
    assert sniffed(container(*DOCX_NAMES, comment=b"PK" * 300)) == rules.DOCX
    huge = container(*DOCX_NAMES, *(f"word/{'x' * 200}{n}" for n in range(5000)))
    assert sniffed(huge) is None, "a directory beyond a mebibyte is not read"


@given(st.binary(max_size=200), st.integers(1, 50))
def test_no_content_breaks_the_recognition(content: bytes, step: int) -> None:
    for head in (b"", b"PK\x03\x04", b"PK\x03\x04" + container("a")):
        found = sniffed(head + content, step)
        assert found is None or found in rules.EXTENSIONS
        assert found == sniffed(head + content)


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [
        ("缴款书.pdf", "缴款书.pdf"),
        ("C:\\Users\\张三\\证明.PDF", "证明.pdf"),
        ("../../etc/passwd", "passwd.pdf"),
        ("invoice\u202efdp.exe", "invoicefdp.exe.pdf"),
        ("a\r\nSet-Cookie: x=1.pdf", "aSet-Cookie: x=1.pdf"),
        ("身份证11010519491231002X 13800138000.pdf", "身份证*** ***.pdf"),
        ("", "attachment.pdf"),
        ("..", "attachment.pdf"),
        (None, "attachment.pdf"),
        ("长" * 500 + ".pdf", "长" * 120 + ".pdf"),
    ],
)
def test_names_are_made_safe(given_name: str | None, expected: str) -> None:
    assert rules.safe_name(given_name, rules.PDF) == expected


@given(st.text())
def test_every_name_is_safe_and_stays_so(name: str) -> None:
    safe = rules.safe_name(name, rules.JPEG)
    assert rules.safe_name(safe, rules.JPEG) == safe
    assert "/" not in safe
    header = rules.disposition(safe)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2


@given(st.integers(1, 500), st.one_of(st.none(), st.integers(0, 600)), st.one_of(st.none(), st.integers(0, 600)))
def test_ranges_as_a_list_of_bytes_would_have_them(size: int, first: int | None, last: int | None) -> None:
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    numbers = list(range(size))
    if first is None:
        wanted = numbers[-last:] if last else ([] if last == 0 else numbers)
    elif last is not None and last < first:
        wanted = numbers
    else:
        wanted = numbers[first : None if last is None else last + 1]
    if not wanted:
        with pytest.raises(Problem) as refused:
            rules.span_of(header, size)
        assert refused.value.headers["Content-Range"] == f"bytes */{size}"
        return
    span = rules.span_of(header, size) or Span(0, size)
    assert numbers[span.start : span.stop] == wanted


@pytest.mark.parametrize(
    "header", [None, "", "bytes=", "bytes=-", "items=0-1", "bytes=0-1,3-4", "bytes=5-2", "bytes=a-b"]
)
def test_what_is_no_single_range_is_the_whole(header: str | None) -> None:
    assert rules.span_of(header, 10) is None


@pytest.mark.parametrize(
    "header", [f"bytes={'9' * 5000}-", f"bytes=0-{'9' * 5000}", f"bytes=-{'9' * 5000}", "bytes=٣-"]
)
def test_a_number_that_no_file_is_as_long_as_is_no_range(header: str) -> None:
    assert rules.span_of(header, 10) is None
