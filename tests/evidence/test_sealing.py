"""Sealed files open in any part, and in no other way than they were sealed."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from credit_service.evidence import sealing
from credit_service.evidence.sealing import CHUNK, HEADER_BYTES, TAG, Key, Sealer, SealError, opened, sealed_size

KEY = Key("k1", bytes(range(32)))
SIZES = (1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17)


def seal(content: bytes, step: int = 1 << 18) -> bytes:
    sealer = Sealer(KEY)
    parts = [sealer.update(content[start : start + step]) for start in range(0, len(content), step)]
    return b"".join(parts) + sealer.finish()


async def unseal(sealed: bytes, size: int, start: int = 0, stop: int | None = None, *, key: Key = KEY) -> bytes:
    async def read(first: int, last: int) -> AsyncIterator[bytes]:
        for place in range(first, min(last, len(sealed)), 50_000):
            yield sealed[place : min(place + 50_000, last)]

    return b"".join([part async for part in opened(read, key, size, start, size if stop is None else stop)])


@pytest.mark.parametrize("size", SIZES)
async def test_any_part_opens(size: int) -> None:
    content = os.urandom(size)
    sealed = seal(content, 10_007)
    assert len(sealed) == sealed_size(size)
    assert await unseal(sealed, size) == content
    edges = {0, 1, size // 2, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, size - 1, size}
    for start in sorted(edge for edge in edges if edge < size):
        for stop in sorted(edge for edge in edges if start < edge <= size):
            assert await unseal(sealed, size, start, stop) == content[start:stop]


async def test_nothing_else_opens() -> None:
    size = 3 * CHUNK + 17
    content = os.urandom(size)
    sealed = seal(content)
    chunks = [sealed[HEADER_BYTES + n * (CHUNK + TAG) :][: CHUNK + TAG] for n in range(4)]
    head, other = sealed[:HEADER_BYTES], seal(content)
    changed = bytearray(sealed)
    changed[HEADER_BYTES + CHUNK + 40] ^= 1
    damaged = {
        "changed": bytes(changed),
        "moved": head + chunks[1] + chunks[0] + chunks[2] + chunks[3],
        "of another file": head + other[HEADER_BYTES:],
        "another head": other[:HEADER_BYTES] + sealed[HEADER_BYTES:],
        "cut off": sealed[:-1],
        "cut off by a chunk": head + b"".join(chunks[:3]),
        "never sealed": content,
    }
    opened_all_the_same = []
    for how, content_of in damaged.items():
        with suppress(SealError):
            await unseal(content_of, size)
            opened_all_the_same.append(how)
    assert opened_all_the_same == []
    with pytest.raises(SealError):  # the last chunk that was left is not the last that was sealed
        await unseal(head + b"".join(chunks[:3]), 3 * CHUNK)
    with pytest.raises(SealError):
        await unseal(sealed, size, key=Key("k1", bytes(32)))


def test_the_key_file(tmp_path: Path) -> None:
    file, line = tmp_path / "keys", "{} " + base64.b64encode(bytes(32)).decode()
    file.write_text("# newest first\n" + line.format("2026-b") + "\n\n" + line.format("2025-a") + "\n")
    assert [key.id for key in sealing.load_keys(file)] == ["2026-b", "2025-a"]
    assert sealing.load_keys(None) == ()
    for wrong in ("", line.format("a") + "\n" + line.format("a"), "a c2hvcnQ=", line.format("A_B"), "a !!!"):
        file.write_text(wrong)
        with pytest.raises(ValueError, match="evidence key file") as refused:
            sealing.load_keys(file)
        assert base64.b64encode(bytes(32)).decode() not in str(refused.value)
