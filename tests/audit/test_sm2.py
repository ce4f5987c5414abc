"""Heads signed with SM2 as well: whoever asks for it gets it or a name, whoever does not know it is not disturbed."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from credit_service.audit.answers import verify_answer
from credit_service.audit.log import Log, keys_of
from credit_service.audit.notes import Note, NoteError, Signature, parse_note
from credit_service.audit.shards import open_shard
from credit_service.audit.signing import LogKeys
from credit_service.audit.sm2 import Sm2Signer, Sm2UnavailableError, Sm2Verifier
from credit_service.audit.verification import Trust
from credit_service.audit.witnesses import cosign
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database
from credit_service.platform.settings import Settings
from tests.api import Api
from tests.audit.support import ORIGIN, Ledger, ledger
from tests.audit.test_verification import exported, independent, names, verified
from tests.audit.test_witness import witness_in
from tests.cli.test_serve import run

NAME = "registry.example/sm2"


@pytest.fixture
async def book(database: Database, clock: FixedClock, tmp_path: Path) -> AsyncIterator[Ledger]:
    async with ledger(database, clock, tmp_path) as found:
        found.keys = LogKeys(found.keys.directory, Sm2Signer.made(NAME))
        found.log = Log(found.keys, "http://test")
        await found.add(9)
        await found.sequence()
        await found.checkpoint()
        yield found


def test_the_sample_of_the_standard_verifies() -> None:
    """GB/T 32918.5-2017, A.2: message digest over the recommended curve."""
    public = bytes.fromhex(
        "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
        "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
    )
    r = bytes.fromhex("F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3")
    s = bytes.fromhex("B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA")
    der = bytes([0x30, 0x46, 0x02, 0x21, 0x00]) + r + bytes([0x02, 0x21, 0x00]) + s
    assert Sm2Verifier("x", public).verify("message digest", Signature("x", b"", der))
    assert not Sm2Verifier("x", public).verify("message digesu", Signature("x", b"", der))


async def test_a_head_carries_both_signatures_and_each_fault_has_a_name(book: Ledger, tmp_path: Path) -> None:
    folder = await exported(book, tmp_path / "log")
    assert book.keys.sm2 is not None
    trusted = book.keys.sm2.verifier
    assert verified(folder, book, sm2=trusted).holds
    assert names(verified(folder, book, sm2=Sm2Signer.made(NAME).verifier)) == {"sm2-missing"}
    head = folder / "checkpoint"
    note = parse_note(head.read_text())
    other = Sm2Signer.made(NAME)
    forged = Signature(NAME, trusted.key_id, other.sign(note.text).value)
    for value in (forged.value, b"no signature at all"):
        head.write_text(str(Note(note.text, (note.signatures[0], Signature(NAME, trusted.key_id, value)))))
        assert names(verified(folder, book, sm2=trusted)) == {"sm2-forged"}
    head.write_text(str(Note(note.text, note.signatures[:1])))
    assert names(verified(folder, book, sm2=trusted)) == {"sm2-missing"}


async def test_who_does_not_know_sm2_passes_over_it(book: Ledger, tmp_path: Path) -> None:
    folder = await exported(book, tmp_path / "log")
    assert (folder / "checkpoint").read_text().count("— ") == 2
    assert verified(folder, book).holds
    assert independent(folder, book).returncode == 0
    _, http, known = witness_in(tmp_path, book)
    shard = await open_shard(book.connection)
    assert shard is not None
    assert await cosign(http, book.connection, shard, known, book.clock.now()) == 10


async def test_key_and_verification_by_the_command_line(book: Ledger, tmp_path: Path) -> None:
    file, published = tmp_path / "sm2.json", tmp_path / "sm2.pub"
    made = run("log", "keys", "sm2", str(file), "--name", NAME)
    assert made.returncode == 0, made.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    assert run("log", "keys", "sm2", str(file), "--name", NAME).returncode == 1, "never overwritten"
    book.keys.sm2 = keys_of(Settings(data_dir=tmp_path, log_sm2_key_file=file)).sm2
    await book.add(5, start=9)
    await book.sequence()
    await book.checkpoint()
    folder = await exported(book, tmp_path / "log")
    keys = [part for key in book.keys.verifiers(ORIGIN) for part in ("--key", str(key))]
    published.write_text(made.stdout)
    good = run("verify", str(folder), *keys, "--sm2-key", str(published))
    assert (good.returncode, "15 entries checked" in good.stdout) == (0, True), good
    published.write_text(str(Sm2Signer.made(NAME).verifier))
    bad = run("verify", str(folder), *keys, "--sm2-key", str(published))
    assert (bad.returncode, "FAULT sm2-missing" in bad.stderr) == (1, True), bad


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    one, two, file = Sm2Signer.made(NAME), Sm2Signer.made(NAME), tmp_path / "key"
    for content in (b"", b"[]", b"{}", Sm2Signer(one.verifier, two.private).content()):
        file.write_bytes(content)
        with pytest.raises(Sm2UnavailableError):
            Sm2Signer.load(file)
    good = str(one.verifier)
    assert Sm2Verifier.parse(good) == one.verifier
    for vkey in ("", good[:-8], good.replace(NAME, "other"), "x+00000000+AQ=="):
        with pytest.raises(NoteError):
            Sm2Verifier.parse(vkey)


DEVICE = """
import base64, sys
from pathlib import Path
from credit_service.audit.sm2 import Sm2Signer
here = Path(__file__).parent
state = (here / "state").read_text()
if state == "away":
    sys.exit("no card in the reader")
key = Sm2Signer.load(here / ("other" if state == "other" else "inside"))
made = base64.b64encode(key.sign(sys.stdin.read()).value).decode()
print("?" if state == "babbling" else made)
"""


async def test_a_device_signs_and_the_log_does_not_wait_for_one(book: Ledger, tmp_path: Path) -> None:
    """The private key stays with a command; a device that is away, or signs with another key, costs its line only."""
    device, state, file = tmp_path / "device.py", tmp_path / "state", tmp_path / "sm2.json"
    device.write_text(DEVICE)
    inside = Sm2Signer.made(NAME)
    (tmp_path / "inside").write_bytes(inside.content())
    (tmp_path / "other").write_bytes(Sm2Signer.made(NAME).content())
    command = [sys.executable, str(device)]
    file.write_bytes(orjson.dumps({"public": str(inside.verifier), "command": command}))
    book.keys.sm2 = keys_of(Settings(data_dir=tmp_path, log_sm2_key_file=file)).sm2
    told = {}
    for turn, now in enumerate(("away", "babbling", "other", "there")):
        state.write_text(now)
        await book.add(5, start=9 + turn * 5)
        await book.sequence()
        await book.checkpoint()
        folder = await exported(book, tmp_path / f"log-{now}")
        assert verified(folder, book).holds
        told[now] = names(verified(folder, book, sm2=inside.verifier))
    assert told == {"away": {"sm2-missing"}, "babbling": {"sm2-missing"}, "other": {"sm2-missing"}, "there": set()}
    for wrong in ([], "sign", [1], None):
        file.write_bytes(orjson.dumps({"public": str(inside.verifier), "command": wrong}))
        with pytest.raises(Sm2UnavailableError):
            Sm2Signer.load(file)


async def test_an_answers_head_is_asked_for_the_key_too(api: Api, tmp_path: Path) -> None:
    record = (await api.submit()).json()["id"]
    connection = await api.database.connect()
    keys = LogKeys(tmp_path / "log-keys", Sm2Signer.made(NAME))
    try:
        log = Log(keys, "http://test")
        await log.sequence(connection, api.clock.now())
        await log.checkpoint(connection, api.clock.now())
    finally:
        await connection.close()
    answer = (await api.get(f"/v1/records/{record}?proof=true")).json()
    assert keys.sm2 is not None
    trusted = keys.verifiers(ORIGIN)
    assert verify_answer(answer, Trust(trusted, sm2=keys.sm2.verifier)).holds
    report = verify_answer(answer, Trust(trusted, sm2=Sm2Signer.made(NAME).verifier))
    assert names(report) == {"sm2-missing"}
