"""Files made to harm: whatever arrives, an import is refused or its rows are, in bounded memory and time."""

from __future__ import annotations

import io
import json
import os
import random
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credit_service.identity.uscc import Uscc
from credit_service.platform.context import Actor
from credit_service.platform.errors import Problem
from credit_service.records.imports import readers
from credit_service.records.imports.blocks import Context, Position, judge_block, judge_sheet
from credit_service.records.imports.judges import JudgingProcess
from credit_service.records.imports.readers import Format
from tests.conftest import NOW
from tests.hardening.bombs import BOMBS, with_sheet
from tests.records.imports.conftest import Sender, sender  # noqa: F401 - a fixture
from tests.records.imports.files import AGENCY, AGENCY_NAME, LABELS, csv_file, penalty, xlsx_file
from tests.support import ROOT

START = Position("auto", None, None, 1, 0)
CONTEXT = Context(
    actor=Actor("client:test", "fuzz", AGENCY),
    source_uscc=AGENCY,
    source_name=AGENCY_NAME,
    source_level="district",
    notice_attestation=None,
    grants=[("administrative-penalty", "5001")],
    now=NOW,
    admitted=frozenset(),
)
MANY = settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
GOOD_CSV = csv_file([penalty(number) for number in range(3)])
GOOD_NDJSON = b"\n".join(
    json.dumps({LABELS[name]: value for name, value in penalty(number).items()}).encode() for number in range(3)
)
MOST_MEGABYTES = 400
"""What reading one of these files may add to the memory of a process."""


@pytest.fixture(scope="module")
def workbook(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return xlsx_file([penalty(number) for number in range(3)], tmp_path_factory.mktemp("book") / "good.xlsx")


def judged(data: bytes, folder: Path) -> str:
    """What becomes of a file: the slug of its problem, or ``read``. Anything else that is raised fails the test."""
    try:
        form = readers.sniff(data, "", "")
        if form is Format.XLSX:
            path = folder / "file.xlsx"
            path.write_bytes(data)
            result = judge_sheet(str(path), 2500, START, CONTEXT)
        else:
            readers.cut(data, form)
            result = judge_block(form, data, START, CONTEXT)
    except Problem as problem:
        return problem.type.slug
    return result.problem[0] if result.problem is not None else "read"


@MANY
@given(st.binary(max_size=4000))
def test_random_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    for prefix in (b"", b"PK\x03\x04", b"{", GOOD_CSV, GOOD_NDJSON + b"\n"):
        judged(prefix + data, tmp_path_factory.getbasetemp())


def mutated(data: bytes, seed: int) -> bytes:
    """Some bytes changed, a piece cut out and a piece doubled."""
    chance, changed = random.Random(seed), bytearray(data)
    for _ in range(chance.randrange(8)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    start = chance.randrange(len(changed))
    piece = changed[start : start + chance.randrange(200)]
    if chance.random() < 0.5:
        del changed[start : start + len(piece)]
    else:
        changed[start:start] = piece
    return bytes(changed)


@MANY
@given(st.integers(0, 1 << 32))
def test_mutated_files(workbook: bytes, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    folder = tmp_path_factory.getbasetemp()
    outcomes = {judged(mutated(data, seed), folder) for data in (GOOD_CSV, GOOD_NDJSON, workbook)}
    assert outcomes <= {"read", "import-unreadable", "import-header-not-recognised", "unsupported-media-type"}, outcomes
    judged(with_sheet(workbook, lambda sheet: mutated(sheet, seed)), folder)


CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=40),
    st.sampled_from(["=1+1", "\x00", "\ud800", "9" * 400, "2026-02-30", "1e999", "-1", "NaN", "∞", "٣", "罚款、" * 50]),
    st.lists(st.text(max_size=3), max_size=3), st.recursive(st.none(), st.lists, max_leaves=5),
)  # fmt: skip


@MANY
@given(st.dictionaries(st.sampled_from(sorted(LABELS)), CELLS, max_size=6))
def test_fields_of_any_content(changes: dict[str, Any]) -> None:
    row = {LABELS[name]: value for name, value in (penalty(1) | changes).items()}
    line = json.dumps(row, ensure_ascii=True, allow_nan=True).encode()
    result = judge_block(Format.NDJSON, GOOD_NDJSON + b"\n" + line, START, CONTEXT)
    assert result.problem is None
    assert result.judged.rows == 4


@MANY
@given(st.text(max_size=60) | st.from_regex(r"[0-9A-Z]{18}", fullmatch=True))
def test_a_code_is_read_or_refused(text: str) -> None:
    try:
        code = Uscc.parse(text)
    except Problem as problem:
        assert problem.type.status == 422
        assert len(text) < 15 or text not in str(problem)  # an identifier is not repeated; "18" is in the rule's words
    else:
        assert Uscc.parse(code.value) == code


IN_A_PROCESS = """
import resource, sys
from pathlib import Path
from tests.hardening.test_importers import judged
def most(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
for file in sorted(Path(sys.argv[1]).glob("*.bomb")):
    data = file.read_bytes()
    before = most()
    print(file.stem, judged(data, Path(sys.argv[1])), most() - before, sep="|", flush=True)
"""


def test_bombs_do_not_go_off(workbook: bytes, tmp_path: Path) -> None:
    """In a process that is ended after two minutes of its own time, so that a bomb cannot take the tests along."""
    for name, make in BOMBS.items():
        (tmp_path / f"{name}.bomb").write_bytes(make(workbook))
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS, str(tmp_path)],
        check=False, capture_output=True, text=True, cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (120, 120)),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    found = {
        name: (outcome, int(added)) for name, outcome, added in (row.split("|") for row in done.stdout.splitlines())
    }
    assert found.keys() == BOMBS.keys()
    assert {outcome for outcome, _ in found.values()} == {"import-unreadable", "import-header-not-recognised"}, found
    assert max(added for _, added in found.values()) < MOST_MEGABYTES, found
    assert "root:" not in done.stdout + done.stderr


def test_a_large_honest_workbook_is_still_read(workbook: bytes, tmp_path: Path) -> None:
    book = openpyxl.load_workbook(io.BytesIO(workbook))
    sheet = book.active
    assert sheet is not None
    rows = [list(LABELS.values()), *([row[name] for name in LABELS] for row in map(penalty, range(500)))]
    sheet.delete_rows(1, 10)
    for row in rows:
        sheet.append(row)
    book.save(tmp_path / "large.xlsx")
    result = judge_sheet(str(tmp_path / "large.xlsx"), 2500, START, CONTEXT)
    assert (result.problem, result.judged.rows) == (None, 500)


def test_what_ends_the_judging_process_ends_one_import_only() -> None:
    with JudgingProcess() as judges:
        broken = judges.submit(os._exit, 1)
        assert broken.exception(60) is not None
        result = judges.submit(judge_block, Format.CSV, GOOD_CSV, START, CONTEXT).result(60)
    assert result.judged.rows == 3


async def test_nothing_of_a_refused_file_is_stored(sender: Sender, owner: Any, workbook: bytes) -> None:  # noqa: F811
    for number, name in enumerate(["far corner", "deep NDJSON", "names without end", "open quote", "external entity"]):
        answer = await sender.send(BOMBS[name](workbook), key=f"bomb-{number}", atomicity="file")
        assert answer.status_code in (201, 422), (name, answer.text)
        assert answer.status_code == 422 or answer.json()["state"] == "refused", name
    odd = {"file_name": "a\x00b"}, {"template": "auto\x00"}, {"notice_attestation": "\x00" * 5}
    for number, query in enumerate(odd):
        answer = await sender.send(GOOD_CSV, key=f"odd-{number}", **query)
        assert answer.status_code == 422, (query, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    assert await owner.fetchval("SELECT count(*) FROM record") == 0
    assert await owner.fetchval("SELECT count(*) FROM entity") == 0
