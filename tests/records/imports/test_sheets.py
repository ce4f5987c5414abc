"""Workbooks and tables as people fill them in: groups above the header, several sheets, what a spreadsheet shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import openpyxl
import pytest

from tests.records.imports.conftest import Sender
from tests.records.imports.files import LABELS, csv_file, penalty

Owner: TypeAlias = "asyncpg.Connection[Any]"
Rows: TypeAlias = list[list[Any]]
HEADER: list[Any] = list(LABELS.values())
ONE: list[Any] = [penalty(1)[name] for name in LABELS]
TWO: list[Any] = [penalty(2)[name] for name in LABELS]
GROUPS: list[Any] = ["行政相对人信息", *[None] * 5, "处罚信息", *[None] * 9, "机关信息", *[None] * 3]


def workbook(folder: Path, *sheets: Rows, hidden: Sequence[int] = ()) -> bytes:
    """A workbook of these sheets."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets):
        sheet = book.create_sheet(f"表{number + 1}")
        sheet.sheet_state = "hidden" if number in hidden else "visible"
        for row in rows:
            sheet.append(row)
    book.save(folder / "book.xlsx")
    return (folder / "book.xlsx").read_bytes()


@pytest.mark.parametrize(
    ("sheets", "hidden"),
    [
        ([[["行政处罚信息"], GROUPS, HEADER, ONE]], ()),  # titles and merged groups above the header
        ([[["填报说明"], ["一、逐项填写"]], [HEADER, ONE]], ()),  # instructions first
        ([[HEADER, ONE], [["代码", "名称"], ["1", "罚款"]], [HEADER]], ()),  # a code table, an empty form
        ([[HEADER, ONE], [HEADER, TWO]], (1,)),
    ],
)
async def test_the_one_sheet_with_data_is_read(
    sender: Sender, tmp_path: Path, sheets: list[Rows], hidden: Sequence[int]
) -> None:
    answer = await sender.send(workbook(tmp_path, *sheets, hidden=hidden))
    assert (answer.status_code, answer.json()["rows"], answer.json()["stored"]) == (201, 1, 1), answer.text


async def test_no_sheet_is_passed_over_in_silence(sender: Sender, owner: Owner, tmp_path: Path) -> None:
    answer = await sender.send(workbook(tmp_path, [HEADER, ONE], [["续"], HEADER, TWO]))
    assert (answer.status_code, answer.json()["type"].rsplit(":")[-1]) == (422, "import-unreadable")
    assert answer.json()["detail"] == "data on more than one sheet, 表1 and 表2: send each by itself"
    assert await owner.fetchval("SELECT count(*) FROM record") == 0


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("name", "#N/A"),
        ("document", "2.02604E+11"),
        ("basis", "#REF!"),
        ("content", "########"),
        ("authority", "#NAME?"),
    ],
)
async def test_what_a_spreadsheet_shows_instead_of_a_value_is_refused(sender: Sender, column: str, text: str) -> None:
    imported = (await sender.send(csv_file([penalty(1, **{column: text}), penalty(2)]))).json()
    assert (imported["stored"], imported["refused"]) == (1, 1)
    (error,) = (await sender.refusals(imported))[1]
    assert error["pointer"].startswith(LABELS[column].partition("(")[0])
    assert error["rule"] == "a value and not an error or a shortened number of the spreadsheet"
