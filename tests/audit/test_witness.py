"""Witnesses: a head is cosigned only when it continues the one signed before, over HTTP between two processes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest

from credit_service.audit import keeping, witnesses
from credit_service.audit.export import export
from credit_service.audit.notes import (
    Checkpoint,
    Note,
    Verifier,
    open_checkpoint,
    parse_note,
    parse_signatures,
    signed_by,
)
from credit_service.audit.reader import LogReader, newest_head
from credit_service.audit.shards import open_shard
from credit_service.audit.tree import Tree
from credit_service.audit.verification import Report, Trust, folder_reader, verify_log
from credit_service.audit.witness_server import Witness, application, new_key
from credit_service.audit.witnesses import WitnessRefusedError, ask_all, cosign, request_body
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database
from credit_service.platform.settings import LogWitness
from tests.audit.support import ORIGIN, Ledger, ledger
from tests.cli.test_serve import COMMAND, SECONDS, environment, eventually, free_port, status
from tests.support import ROOT

NAME = "witness.example/w1"


@pytest.fixture
async def book(database: Database, clock: FixedClock, tmp_path: Path) -> AsyncIterator[Ledger]:
    async with ledger(database, clock, tmp_path) as found:
        await found.add(9)
        await found.sequence()
        await found.checkpoint()
        yield found


def witness_in(folder: Path, book: Ledger) -> tuple[Witness, httpx.AsyncClient, LogWitness]:
    witness = Witness(new_key(folder / "key.pem", NAME), book.keys.verifiers(ORIGIN), folder / "heads.json")
    http = httpx.AsyncClient(transport=httpx.ASGITransport(application(witness, book.clock)), base_url="http://w")
    return witness, http, LogWitness(url="http://w", vkey=str(new_key(folder / "key.pem", NAME).verifier))


async def note_of(book: Ledger) -> str:
    return str(await book.connection.fetchval("SELECT note FROM log_checkpoint ORDER BY size DESC LIMIT 1"))


async def grown(book: Ledger, start: int) -> None:
    await book.add(5, start=start)
    await book.sequence()
    await book.checkpoint()


async def test_the_answers_of_the_protocol(book: Ledger, tmp_path: Path) -> None:
    _, http, known = witness_in(tmp_path, book)
    shard = await open_shard(book.connection)
    assert shard is not None
    first = await note_of(book)

    async def post(body: bytes) -> httpx.Response:
        return await http.post("/add-checkpoint", content=body)

    assert (await post(b"nonsense")).status_code == 400
    assert (await post(request_body(11, [], first))).status_code == 400, "old beyond the head"
    for old in (b"9" * 5000, b"00", b"-1", "٣".encode()):
        assert (await post(request_body(0, [], first).replace(b"old 0", b"old " + old, 1))).status_code == 400, old[:9]
    assert (await post(request_body(0, [b"x" * 32], first))).status_code == 422, "a proof from nothing"
    other = first.replace(ORIGIN, "elsewhere/log")
    assert (await post(request_body(0, [], other))).status_code == 404
    forged = first.replace("\n10\n", "\n11\n")
    assert (await post(request_body(0, [], forged))).status_code == 403
    unknown = Note(parse_note(first).text, (new_key(tmp_path / "other.pem", "x").sign("no", time=1),))
    assert (await post(request_body(0, [], str(unknown)))).status_code == 403
    signed = await post(request_body(0, [], first))
    assert signed.status_code == 200
    key = Verifier.parse(known.vkey)
    signature = parse_signatures(signed.text)[0]
    assert key.verify(parse_note(first).text, signature)
    assert int.from_bytes(signature.value[:8], "big") == int(book.clock.now().timestamp())
    stale = await post(request_body(0, [], first))
    assert (stale.status_code, stale.text) == (409, "10\n")
    assert stale.headers["content-type"].startswith("text/x.tlog.size")
    assert (await post(request_body(10, [], first))).status_code == 200, "the same head again"
    await grown(book, 9)
    second = await note_of(book)
    proof = await Tree(shard).consistency(book.connection, 10, 15)
    assert (await post(request_body(10, proof[:-1], second))).status_code == 422
    assert (await post(request_body(10, proof, second))).status_code == 200
    assert (await post(request_body(10, proof, second))).status_code == 409
    signer = book.keys.signers(ORIGIN)[0]
    fork = Checkpoint(ORIGIN, 15, b"f" * 32).text()
    assert (await post(request_body(15, [], str(Note(fork, (signer.sign(fork),)))))).status_code == 422
    origin_hash = hashlib.sha256(ORIGIN.encode()).hexdigest()
    shown = await http.get(f"/{origin_hash}/checkpoint")
    assert signed_by(parse_note(shown.text), [key])
    assert open_checkpoint(shown.text, book.keys.verifiers(ORIGIN))[0].size == 15
    assert (await http.get(f"/{'0' * 64}/checkpoint")).status_code == 404
    assert (await post(b"x" * 70_000)).status_code == 413


async def test_what_a_witness_saw_outlives_it_and_stops_a_rewritten_log(
    book: Ledger, database: Database, tmp_path: Path, owner: asyncpg.Connection
) -> None:
    """The whole log is deleted and written anew under the same key: in itself it holds, the witness does not sign."""
    _, http, known = witness_in(tmp_path, book)
    shard = await open_shard(book.connection)
    assert shard is not None
    assert await cosign(http, book.connection, shard, known, book.clock.now()) == 10
    assert await cosign(http, book.connection, shard, known, book.clock.now()) is None
    await grown(book, 9)
    assert await cosign(http, book.connection, shard, known, book.clock.now()) == 15
    _, http, _ = witness_in(tmp_path, book)  # a witness that was started again
    await owner.execute("DELETE FROM log_cosignature WHERE size = 15")
    await grown(book, 14)
    assert await cosign(http, book.connection, shard, known, book.clock.now()) == 20, "409, then from what it knows"
    for table in ("audit_event", "log_entry", "log_tile", "log_shard", "log_checkpoint", "log_cosignature"):
        await owner.execute(f"DELETE FROM {table}")
    for file in (tmp_path / "log-keys").glob("*.checkpoint"):
        file.unlink()  # the forger holds the key and its memory too
    await book.add(30)
    await book.sequence()
    await book.checkpoint()
    with pytest.raises(WitnessRefusedError) as refused:
        await cosign(http, book.connection, shard, known, book.clock.now())
    assert refused.value.status == 422


async def test_two_of_one_witness_at_once_sign_no_head_from_an_older_one(book: Ledger, tmp_path: Path) -> None:
    """A process and the one that takes its place: what the one has signed binds the other."""
    both = [witness_in(tmp_path, book)[1] for _ in range(2)]
    body = request_body(0, [], await note_of(book))
    answers = await asyncio.gather(*(both[turn % 2].post("/add-checkpoint", content=body) for turn in range(8)))
    assert sorted(each.status_code for each in answers) == [200, *[409] * 7]
    assert {each.text for each in answers if each.status_code == 409} == {"10\n"}


async def test_published_heads_carry_their_cosignatures(book: Ledger, database: Database, tmp_path: Path) -> None:
    _, http, known = witness_in(tmp_path, book)
    shard = await open_shard(book.connection)
    assert shard is not None
    await cosign(http, book.connection, shard, known, book.clock.now())
    head = await LogReader(database).head(2026)
    assert head is not None
    trust = Trust(book.keys.verifiers(ORIGIN), [Verifier.parse(known.vkey)], quorum=1)
    files = {"checkpoint": head.note.encode(), "tile/0/000.p/10": await head.tree.root(book.connection, 1)}
    assert verify_log(files.get, trust).witnesses == [NAME]
    bare = {"checkpoint": (await note_of(book)).encode()}
    assert "not-witnessed" in {finding.fault for finding in verify_log(bare.get, trust).findings}


async def test_an_export_carries_the_cosignatures(book: Ledger, tmp_path: Path) -> None:
    """Also when the witness signed only after the head was exported for the first time."""
    _, http, known = witness_in(tmp_path, book)
    shard = await open_shard(book.connection)
    assert shard is not None
    trust = Trust(book.keys.verifiers(ORIGIN), [Verifier.parse(known.vkey)], quorum=1)

    async def exported() -> Report:
        head = await newest_head(book.connection, shard)
        assert head is not None
        await export(book.connection, shard, head.note, tmp_path / "log", entries=True)
        return verify_log(folder_reader(tmp_path / "log"), trust)

    assert {finding.fault for finding in (await exported()).findings} == {"not-witnessed"}
    await cosign(http, book.connection, shard, known, book.clock.now())
    report = await exported()
    assert (report.holds, report.witnesses, report.entries) == (True, [NAME], 10)


@contextmanager
def serving_witness(folder: Path, port: int, *keys: str, end: int = signal.SIGTERM) -> Iterator[str]:
    """``credit-service witness serve`` as a process of its own; gives its public key."""
    options = ("--name", NAME, "--folder", str(folder))
    made = subprocess.run([*COMMAND, "witness", "key", *options], capture_output=True, text=True, check=True, cwd=ROOT)
    logs = [part for key in keys for part in ("--log", key)]
    command = [*COMMAND, "witness", "serve", *options, "--port", str(port), *logs]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: status(port, "/none/checkpoint") == 404 or process.poll() is not None)
        assert process.poll() is None
        yield made.stdout.strip()
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(end)
        assert process.wait(SECONDS) == (0 if end == signal.SIGTERM else -end)
        assert not psutil.wait_procs(children, SECONDS)[1], "it left a process that holds the port"


async def test_a_witness_in_another_process(book: Ledger, tmp_path: Path) -> None:
    keys = [str(key) for key in book.keys.verifiers(ORIGIN)]
    port = free_port()
    shard = await open_shard(book.connection)
    assert shard is not None
    url = f"http://127.0.0.1:{port}"
    for turn, size in enumerate((10, 15)):
        end = (signal.SIGTERM, signal.SIGKILL)[turn]
        with serving_witness(tmp_path / "w", port, *keys, end=end) as vkey:
            known = LogWitness(url=url, vkey=vkey)
            asked: dict[str, Any] = await ask_all(book.connection, [shard], [known], book.clock.now())
            assert asked == {url: f"signed {size}"}
            assert await ask_all(book.connection, [shard], [known], book.clock.now()) == {url: "up to date"}
        await grown(book, 9 + turn * 5)
    assert await ask_all(book.connection, [shard], [known], book.clock.now() + timedelta(1)) == {url: "failed"}
    line = await book.connection.fetchval("SELECT line FROM log_cosignature WHERE size = 15")
    assert base64.b64decode(line.split(" ")[2])[:4] == Verifier.parse(vkey).key_id


HOSTILE = {
    "a size of five thousand digits": b"HTTP/1.1 409 C\r\nContent-Type: text/x.tlog.size\r\n\r\n" + b"9" * 5000,
    "a size in other digits": b"HTTP/1.1 409 C\r\nContent-Type: text/x.tlog.size\r\n\r\n" + "٣".encode(),
    "an answer without end": b"HTTP/1.1 200 O\r\n\r\n" + b"x" * 200_000,
    "a signature of another": "HTTP/1.1 200 O\r\n\r\n— other.example/w AAAAAAAAAAAAAAAAAAAAAAAA\n".encode(),
    "what is no HTTP": b"\0" * 100,
    "nothing, slowly": b"",
}


async def test_a_witness_that_answers_anything_keeps_no_other_from_being_asked(
    book: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witnesses, "TIMEOUT_SECONDS", 2.0)
    shard = await open_shard(book.connection)
    assert shard is not None

    async def serve(answer: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer or b"HTTP/1.1 200 O\r\n\r\n")
        try:
            while not answer:  # a byte now and then: no single read is long
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.1)
        except ConnectionError:
            pass
        writer.close()

    servers = [
        await asyncio.start_server(partial(serve, answer), "127.0.0.1", 0, limit=1 << 20) for answer in HOSTILE.values()
    ]
    key = str(new_key(tmp_path / "other.pem", NAME).verifier)
    asked = [LogWitness(url=f"http://127.0.0.1:{each.sockets[0].getsockname()[1]}", vkey=key) for each in servers]
    port = free_port()
    with serving_witness(tmp_path / "w", port, *map(str, book.keys.verifiers(ORIGIN))) as vkey:
        good = LogWitness(url=f"http://127.0.0.1:{port}", vkey=vkey)
        outcomes = await ask_all(book.connection, [shard], [*asked, good], book.clock.now())
    for server in servers:
        server.close()
    assert [outcomes[each.url] for each in asked] == ["refused 409", "refused 409", *["failed"] * 4]
    assert outcomes[good.url] == "signed 10"


async def test_the_log_waits_for_no_witness(book: Ledger, database: Database) -> None:
    """One that takes the question and never answers: entries get their place and heads are signed meanwhile."""
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    known = LogWitness(url=address, vkey=str(book.keys.verifiers(ORIGIN)[0]))
    tasks = [
        asyncio.create_task(keeping.gather(database, [known], book.clock, 1)),
        asyncio.create_task(keeping.keep(database, book.log, book.clock, 0.1)),
    ]
    try:
        await asyncio.wait_for(asked.wait(), 60)
        await book.add(5, start=9)
        async with asyncio.timeout(60):
            while notes_size(await note_of(book)) < 15:
                await asyncio.sleep(0.05)
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        server.close()


def notes_size(note: str) -> int:
    return Checkpoint.parse(parse_note(note).text).size
