"""Headers, encodings and formats."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_service.platform.errors import Problem
from credit_service.records.imports import readers, templates
from credit_service.records.imports.readers import Format
from tests.records.imports.files import LABELS, csv_file, penalty


def test_the_header_is_recognised_by_label_code_and_older_code() -> None:
    by_label = templates.recognise("auto", list(LABELS.values()))
    assert by_label.template == "administrative-penalty"
    codes = [
        "CF_XDR_MC",
        "CF_XDR_SHXYM",
        "CF_WSH",
        "CF_SY",
        "CF_YJ",
        "CF_CFLB",
        "CF_NR",
        "CF_JDRQ",
        "CF_CFJG",
        "CF_CFJGDM",
    ]
    assert templates.recognise("auto", codes).template == "administrative-penalty"
    older = "CF_WSH CF_CFMC CF_CFLB1 CF_CFLB2 CF_SY CF_YJ CF_XDR_MC CF_XDR_SHXYM CF_FDDB CF_FR_SFZH"
    older += " CF_JG CF_JDRQ CF_XZJG CF_ZT DFBM SJC"
    plan = templates.recognise("administrative-penalty", older.split())
    targets = [target for _, target, _ in plan.positions]
    assert targets.count("fact:penalty_categories") == 2
    assert "fact:violation_type" in targets
    assert 9 not in [position for position, _, _ in plan.positions], "the identity number's column is never read"


@pytest.mark.parametrize("mark", ["*{}", "{}（必填）", " {} ", "{}\n(必填)", "{}*", "【必填】{}"])
def test_marks_in_a_header_do_not_matter(mark: str) -> None:
    cells = [mark.format(label) for label in LABELS.values()]
    assert (
        templates.recognise("administrative-penalty", cells).positions
        == templates.recognise("administrative-penalty", list(LABELS.values())).positions
    )


def test_brackets_of_either_width() -> None:
    assert templates.header_key("罚款金额（万元）") == templates.header_key("罚款金额(万元)")


def test_a_missing_column_is_named_with_its_code() -> None:
    with pytest.raises(Problem) as caught:
        templates.recognise("administrative-penalty", [label for label in LABELS.values() if label != "处罚依据"])
    assert [(error.pointer, error.detail) for error in caught.value.errors] == [("header:处罚依据", "CF_YJ")]


def test_licences_are_told_from_penalties() -> None:
    cells = ["行政相对人名称", "行政相对人代码_1", "行政许可决定文书名称", "行政许可决定文书号", "许可类别", "许可内容"]
    cells += ["许可决定日期", "许可机关", "当前状态"]
    assert templates.recognise("auto", cells).template == "administrative-licence"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_encodings(encoding: str) -> None:
    data = csv_file([penalty(1)], encoding)
    text, _ = readers.decode(data, None)
    assert readers.csv_rows(text)[1][0] == "重庆测试1有限公司"


@settings(max_examples=60)
@given(st.integers(1, 40), st.integers(1, 400))
def test_blocks_end_at_records(rows: int, size: int) -> None:
    """Cut anywhere, in either encoding: the pieces hold the rows of the whole, quoted line breaks included."""
    for encoding in ("utf-8", "gb18030"):
        data = csv_file([penalty(number) for number in range(rows)], encoding)
        whole = readers.csv_rows(data.decode(encoding))
        pieces, rest = [], b""
        for start in range(0, len(data), size):
            rest += data[start : start + size]
            end = readers.cut(rest, Format.CSV)
            pieces += readers.csv_rows(rest[:end].decode(encoding)) if end else []
            rest = rest[end:]
        assert pieces + readers.csv_rows(rest.decode(encoding)) == whole


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_rows_or_a_problem(data: bytes) -> None:
    try:
        form = readers.sniff(data, "", "")
        if form is not Format.XLSX:
            text, _ = readers.decode(data, None)
            readers.csv_rows(text) if form is Format.CSV else readers.ndjson_objects(text)
    except Problem as problem:
        assert problem.type.status in (415, 422)


def test_a_bomb_and_a_broken_workbook_are_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * (readers.LARGEST_SHEET_BYTES + 1))
    broken = tmp_path / "broken.xlsx"
    broken.write_bytes(b"PK\x03\x04 and nothing more")
    for path in (bomb, broken):
        with pytest.raises(Problem) as caught:
            list(readers.sheet_rows(str(path), bool))
        assert caught.value.type is readers.IMPORT_UNREADABLE


@pytest.mark.parametrize("head", [b"\xd0\xcf\x11\xe0 old excel", b"%PDF-1.7", b"\x1f\x8b\x08", b"a\x00b"])
def test_other_formats_are_named_unsupported(head: bytes) -> None:
    with pytest.raises(Problem) as caught:
        readers.sniff(head, "", "a.csv")
    assert caught.value.type.status == 415
