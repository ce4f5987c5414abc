"""What an import holds in memory does not grow with its file."""

from __future__ import annotations

import gc
import tracemalloc
import zipfile
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from credit_service.platform.clock import SystemClock
from credit_service.platform.database import Database
from credit_service.platform.errors import Problem
from credit_service.records.imports import commands, readers, rendering
from tests.records.imports.conftest import ATTESTED, Sender
from tests.records.imports.files import csv_file, penalty

BLOCK = 200_000


@pytest.fixture
def uncollected(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small blocks, and no collector: what only it would free is held for as long as it pleases."""
    monkeypatch.setattr(readers, "BLOCK_BYTES", BLOCK)
    gc.collect()
    gc.disable()
    yield
    tracemalloc.stop()
    gc.enable()


async def test_a_block_is_let_go_of_when_it_is_stored(sender: Sender, uncollected: None) -> None:
    facts = "经营超过保质期的食品" * 200
    headers = {"Authorization": f"Bearer {sender.token}"}
    held: list[int] = []
    await sender.send(csv_file([penalty(1)]))  # tables of names and plans are made once
    for number, rows in enumerate((60, 600)):
        data = csv_file([penalty(1000 * number + row + 10, facts=facts) for row in range(rows)])
        upload = (data[start : start + BLOCK // 4] for start in range(0, len(data), BLOCK // 4))
        key = {"Idempotency-Key": f"of {rows}"}
        tracemalloc.start()
        answer = await sender.http.post("/v1/imports", params=ATTESTED, content=_sent(upload), headers=headers | key)
        held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert answer.json()["stored"] == rows
    assert len(data) > 15 * BLOCK
    assert held[1] - held[0] < BLOCK


async def _sent(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_entities_are_rendered_stretch_by_stretch_and_once(
    sender: Sender, owner: asyncpg.Connection[Any], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "RECEIPTS_AT_ONCE", 7)
    monkeypatch.setattr(rendering, "ENTITIES_AT_ONCE", 3)
    # 40 rows about 25 entities: the first fifteen come again in later stretches.
    rows = [penalty(number % 25, document=f"文〔2026〕{number}号") for number in range(40)]
    imported = (await sender.send(csv_file(rows))).json()
    assert imported["stored"] == 40
    fresh = "SELECT count(*) FROM profile WHERE audience = $1 AND fresh_until > now()"
    assert await owner.fetchval(fresh, "public") == 25
    assert await rendering.render_rest(database, UUID(imported["id"]), SystemClock()) == 25
    assert await owner.fetchval(fresh, "regulator") == 25


async def test_of_a_refused_file_only_so_many_refusals_are_held(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "BLOCK_BYTES", 10_000)
    monkeypatch.setattr(commands, "MOST_KEPT_REFUSALS", 90)
    rows = [penalty(number, decided="2026-02-30") for number in range(200)]
    imported = (await sender.send(csv_file(rows), atomicity="file")).json()
    assert (imported["state"], imported["rows"], imported["refused"]) == ("refused", 200, 200)
    assert list(await sender.refusals(imported)) == list(range(1, 91))


@pytest.mark.parametrize(("part", "fits"), [(b" ", True), (b"<row ", False), (b"<c ", False)])
def test_looking_at_a_workbook_takes_little_more_than_its_size(tmp_path: Path, part: bytes, fits: bool) -> None:
    size, path = 8 << 20, tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sheet.xml", b"<sheetData><row " + part * (size // len(part)))
    tracemalloc.start()
    try:
        readers._refuse_oversized(str(path))
        accepted = True
    except Problem:
        accepted = False
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert accepted is fits
    assert highest < 2 * size
