"""Files of a case over HTTP: taken in and given out as streams, by every kind of storage, scanned, collected."""

from __future__ import annotations

import base64
import hashlib
import os
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import httpx
import orjson
import pytest
from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts.dependencies import requires
from credit_service.accounts.rules import Permission, Principal, Role
from credit_service.evidence import commands, routes, rules
from credit_service.evidence.commands import Subject
from credit_service.evidence.vault import Vault
from credit_service.platform.clock import FixedClock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.errors import NOT_FOUND, Problem
from tests.api import COMPANY, OTHER_COMPANY, Api, running
from tests.evidence.files import REAL, pdf
from tests.evidence.peers import MALWARE, clamd, icap, s3_service

CASE = "01890000-0000-7000-8000-0000000000aa"
OTHER_CASE = "01890000-0000-7000-8000-0000000000bb"
PATH = f"/v1/cases/{CASE}/attachments"
KEY = "2026 " + base64.b64encode(bytes(range(32))).decode()
NAME = "attachment; filename*=UTF-8''%E7%BC%B4%E6%AC%BE%E4%B9%A6.pdf"

router = APIRouter()
Reader = Annotated[Principal, Depends(requires(Permission.READ_PROCEEDING))]


def of_case(principal: Principal, case_id: UUID) -> routes.SubjectOf:
    """Cases of one company, for itself alone."""

    async def subject(session: AsyncSession) -> Subject:
        if principal.entity_uscc != COMPANY:
            raise Problem(NOT_FOUND)
        return Subject(COMPANY, "case", case_id)

    return subject


@router.post("/v1/cases/{case_id}/attachments")
async def add(request: Request, case_id: UUID, principal: Reader) -> Response:
    return await routes.upload(request, principal, of_case(principal, case_id))


@router.get("/v1/cases/{case_id}/attachments")
async def listing(request: Request, case_id: UUID, principal: Reader) -> Any:
    return await routes.listing(request, of_case(principal, case_id))


@router.get("/v1/cases/{case_id}/attachments/{attachment_id}")
async def download(request: Request, case_id: UUID, attachment_id: UUID, principal: Reader) -> Response:
    return await routes.download(request, of_case(principal, case_id), attachment_id)


@router.delete("/v1/cases/{case_id}/attachments/{attachment_id}")
async def remove(request: Request, case_id: UUID, attachment_id: UUID, principal: Reader) -> Response:
    return await routes.removal(request, principal, of_case(principal, case_id), attachment_id)


@asynccontextmanager
async def service(database: Database, clock: FixedClock, folder: Path, **settings: Any) -> AsyncIterator[Api]:
    async with running(database, clock, folder, **settings) as api:
        api.app.include_router(router)
        yield api


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    with s3_service() as address:
        yield address


@pytest.fixture(params=["folder", "sealed", "s3", "sealed s3"])
async def stored(
    request: pytest.FixtureRequest, database: Database, clock: FixedClock, tmp_path: Path
) -> AsyncIterator[Api]:
    """The application with each kind of storage."""
    settings: dict[str, Any] = {}
    if "sealed" in request.param:
        keys = tmp_path / "evidence-keys"
        keys.write_text(KEY)
        settings["evidence_key_file"] = keys
    if "s3" in request.param:
        settings |= {
            "evidence_s3_bucket": "evidence",
            "evidence_s3_endpoint": request.getfixturevalue("s3"),
            "evidence_s3_access_key_id": "key",
            "evidence_s3_secret_access_key": "secret",
        }
    async with service(database, clock, tmp_path, **settings) as api:
        yield api


@pytest.fixture
async def plain(database: Database, clock: FixedClock, tmp_path: Path) -> AsyncIterator[Api]:
    async with service(database, clock, tmp_path) as api:
        yield api


async def send(
    api: Api, content: Any, media_type: str = rules.PDF, *, path: str = PATH, headers: dict[str, str] | None = None
) -> httpx.Response:
    sent = {"Content-Type": media_type, "Content-Disposition": NAME} | (headers or {})
    return await api.call("POST", path, Role.SUBJECT, sent, content=content)


def vault_of(api: Api) -> Vault:
    vault: Vault = api.app.state.evidence
    return vault


async def names(api: Api) -> list[str]:
    return [name async for name, _ in vault_of(api).blobs.names()]


async def test_a_file_comes_back_whole_and_in_parts(stored: Api) -> None:
    content = pdf(200_000)
    added = await send(stored, content)
    assert added.status_code == 201, added.text
    shown = added.json()
    assert shown["digest"] == hashlib.sha256(content).hexdigest()
    assert (shown["size"], shown["media_type"], shown["file_name"]) == (200_000, rules.PDF, "缴款书.pdf")
    place = added.headers["location"]
    assert place == f"{PATH}/{shown['id']}"
    assert (await stored.get(PATH, Role.SUBJECT)).json()["attachments"] == [shown]
    whole = await stored.get(place, Role.SUBJECT)
    assert (whole.status_code, whole.content) == (200, content)
    assert whole.headers["etag"] == added.headers["etag"] == f'"{shown["digest"]}"'
    assert whole.headers["content-length"] == "200000"
    assert whole.headers["content-disposition"].startswith('attachment; filename="___.pdf"; filename*=')
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in whole.headers["content-security-policy"]
    for asked, start, stop in (("0-0", 0, 1), ("65530-131080", 65530, 131081), ("-7", 199_993, 200_000)):
        part = await stored.get(place, Role.SUBJECT, headers={"Range": f"bytes={asked}"})
        assert (part.status_code, part.content) == (206, content[start:stop])
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/200000"
        assert part.headers["content-length"] == str(stop - start)
    beyond = await stored.get(place, Role.SUBJECT, headers={"Range": "bytes=200000-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */200000")
    assert beyond.json()["type"].endswith("range-not-satisfiable")
    for tag, status in ((whole.headers["etag"], 206), ('"other"', 200), ("Wed, 06 May 2026 02:00:00 GMT", 200)):
        part = await stored.get(place, Role.SUBJECT, headers={"Range": "bytes=0-9", "If-Range": tag})
        assert part.status_code == status
    unchanged = await stored.get(place, Role.SUBJECT, headers={"If-None-Match": whole.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert len(await names(stored)) >= 1
    assert list(vault_of(stored).spool.iterdir()) == []


async def test_what_lies_there(plain: Api, database: Database, clock: FixedClock, tmp_path: Path) -> None:
    content = REAL[rules.TEXT]
    await send(plain, content, rules.TEXT)
    digest = hashlib.sha256(content).hexdigest()
    file = tmp_path / "evidence" / "blobs" / digest[:2] / digest[2:4] / digest
    assert file.read_bytes() == content
    assert file.stat().st_mode & 0o777 == 0o600
    keys = tmp_path / "evidence-keys"
    keys.write_text(KEY)
    async with service(database, clock, tmp_path, evidence_key_file=keys) as sealing:
        path = f"/v1/cases/{OTHER_CASE}/attachments"
        place = (await send(sealing, content, rules.TEXT, path=path)).headers["location"]
        sealed = file.with_name(f"{digest}.2026").read_bytes()
        assert content not in sealed
        assert content.strip() not in sealed
    keys.write_text(KEY.replace("2026", "2027", 1).replace("AAEC", "AAED") + "\n" + KEY)
    async with service(database, clock, tmp_path, evidence_key_file=keys) as rotated:
        assert (await rotated.get(place, Role.SUBJECT)).content == content, "an old key still opens"
        assert (await rotated.get(f"{PATH}", Role.SUBJECT)).status_code == 200


@pytest.mark.parametrize("media_type", sorted(REAL))
async def test_the_declared_type_must_be_the_contents(plain: Api, media_type: str) -> None:
    assert (await send(plain, REAL[media_type], f"{media_type}; x=1")).status_code == 201
    other = next(kind for kind in sorted(REAL) if kind != media_type)
    refused = await send(plain, REAL[media_type], other)
    assert (refused.status_code, refused.json()["type"].rsplit(":", 1)[1]) == (415, "media-type-differs")
    unknown = await send(plain, REAL[media_type], "application/octet-stream")
    assert (unknown.status_code, unknown.json()["type"].rsplit(":", 1)[1]) == (415, "media-type-refused")
    assert len((await plain.get(PATH, Role.SUBJECT)).json()["attachments"]) == 1


async def test_limits_of_size_type_and_number(database: Database, clock: FixedClock, tmp_path: Path) -> None:
    limits = {"evidence_max_bytes": 1000, "evidence_max_files": 2, "evidence_media_types": [rules.PDF]}
    async with service(database, clock, tmp_path, **limits) as api:
        assert (await send(api, pdf(1001))).json()["type"].endswith("payload-too-large")

        async def undeclared() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield pdf(100)

        assert (await send(api, undeclared())).status_code == 413
        assert (await send(api, REAL[rules.PNG], rules.PNG)).status_code == 415
        assert [(await send(api, pdf(size))).status_code for size in (998, 999, 1000)] == [201, 201, 409]
        assert (await send(api, pdf(998))).status_code == 200, "what the case holds already is no further file"
    assert list((tmp_path / "evidence" / "incoming").iterdir()) == []
    with pytest.raises(ValueError, match="image/gif"):
        async with service(database, clock, tmp_path, evidence_media_types=["image/gif"]):
            pass


async def test_others_do_not_learn_that_there_is_a_file(plain: Api) -> None:
    place = (await send(plain, pdf())).headers["location"]
    elsewhere = place.replace(CASE, OTHER_CASE)
    assert (await plain.get(elsewhere, Role.SUBJECT)).status_code == 404
    assert (await plain.call("DELETE", elsewhere, Role.SUBJECT)).status_code == 404
    for path in (place, PATH):
        assert (await plain.get(path, Role.SUBMITTER)).status_code == 404
    assert OTHER_COMPANY != COMPANY
    unread = 0

    async def watched() -> AsyncIterator[bytes]:
        nonlocal unread
        unread += 1
        yield pdf()

    refused = await plain.call("POST", PATH, Role.SUBMITTER, {"Content-Type": rules.PDF}, content=watched())
    assert (refused.status_code, await names(plain)) == (404, [hashlib.sha256(pdf()).hexdigest()])


async def test_the_same_file_again_and_the_same_request_again(plain: Api, owner: asyncpg.Connection[Any]) -> None:
    first = await send(plain, pdf(), headers={"Idempotency-Key": "k"})
    again = await send(plain, pdf(), headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (201, first.json(), "true")
    other = await send(plain, pdf(500), headers={"Idempotency-Key": "k"})
    assert other.json()["type"].endswith("idempotency-key-reused")
    repeated = await send(plain, pdf())
    assert (repeated.status_code, repeated.json()["id"]) == (200, first.json()["id"])
    assert await owner.fetchval("SELECT count(*) FROM attachment") == 1
    assert await owner.fetchval("SELECT count(*) FROM audit_event WHERE subject_type = 'attachment'") == 1


async def test_added_and_removed_are_audited_without_the_name(
    database: Database, clock: FixedClock, tmp_path: Path, owner: asyncpg.Connection[Any], capfd: Any
) -> None:
    async with service(database, clock, tmp_path, log_level="debug", log_reads=True) as api:
        added = await send(api, pdf())
        assert (await api.call("DELETE", added.headers["location"], Role.SUBJECT)).status_code == 204
        assert (await api.get(added.headers["location"], Role.SUBJECT)).status_code == 404
    events = [
        orjson.loads(row[0])
        for row in await owner.fetch("SELECT canonical FROM audit_event WHERE subject_type = 'attachment' ORDER BY id")
    ]
    assert [event["action"] for event in events] == ["attachment.added", "attachment.removed"]
    assert events[0]["after"] == events[1]["before"] != events[0]["before"]
    assert {event["subject"]["uscc"] for event in events} == {COMPANY}
    logged = "".join(capfd.readouterr())
    assert "request" in logged
    assert "缴款书" not in logged + orjson.dumps(events).decode()
    assert "%E7%BC%B4" not in logged
    assert await owner.fetchval("SELECT count(*) FROM attachment") == 0


async def test_orphans_are_collected_and_nothing_else(stored: Api, owner: asyncpg.Connection[Any]) -> None:
    vault, clock = vault_of(stored), stored.clock
    kept = await send(stored, pdf(300))
    gone = await send(stored, pdf(400))
    before = set(await names(stored))
    left = vault.spool / "killed"
    left.write_bytes(b"x")
    clock.instant = datetime.now(UTC)
    assert await commands.collect(stored.database, vault, clock.now()) == 0, "everything is younger than a day"
    await stored.call("DELETE", gone.headers["location"], Role.SUBJECT)
    clock.instant += timedelta(days=1, minutes=1)
    removed = await commands.collect(stored.database, vault, clock.now())
    after = set(await names(stored))
    assert [name.partition(".")[0] for name in after] == [kept.json()["digest"]]
    assert removed == 1 + len(before - after)
    assert not left.exists()
    assert (await stored.get(kept.headers["location"], Role.SUBJECT)).content == pdf(300)


async def test_an_orphan_that_is_wanted_again_is_stored_again(
    plain: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The collector comes between the storing of a content and its row."""
    vault = vault_of(plain)
    keep = vault.keep

    async def collected_once(received: Any) -> None:
        await keep(received)
        monkeypatch.setattr(vault, "keep", keep)
        file = next((tmp_path / "evidence" / "blobs").glob("*/*/*"))
        file.unlink()
        file.write_bytes(pdf())
        os.utime(file, (0, 0))  # an orphan of long ago that the upload had found there
        assert await commands.collect(plain.database, vault, datetime.now(UTC)) == 1
        assert not file.exists()

    monkeypatch.setattr(vault, "keep", collected_once)
    added = await send(plain, pdf())
    assert (await plain.get(added.headers["location"], Role.SUBJECT)).content == pdf()


async def test_damaged_content_is_never_given_out_as_whole(plain: Api, tmp_path: Path) -> None:
    place = (await send(plain, pdf(600_000))).headers["location"]
    file = next((tmp_path / "evidence" / "blobs").glob("*/*/*"))
    content = bytearray(file.read_bytes())
    content[300_000] ^= 1
    file.write_bytes(content)
    cut_off = await plain.get(place, Role.SUBJECT)
    assert len(cut_off.content) < int(cut_off.headers["content-length"]) == 600_000
    file.unlink()
    assert (await plain.get(place, Role.SUBJECT)).status_code == 500


async def test_memory_stays_flat(plain: Api) -> None:
    """Forty megabytes pass through the domain; less than four are ever held."""
    size, part = 40 << 20, os.urandom(1 << 16).translate(bytes(range(32, 127)) * 2 + bytes(range(32, 98)))
    vault = vault_of(plain)

    async def stream() -> AsyncIterator[bytes]:
        yield b"%PDF-1.7\n"
        for _ in range(size // len(part)):
            yield part

    tracemalloc.start()
    try:
        subject, now = Subject(COMPANY, "case", UUID(CASE)), plain.clock.now()
        async with vault.receive(stream(), rules.PDF) as received, plain.database.transaction() as session:
            attachment, _ = await commands.add(session, vault, Actor("a", "r"), now, subject, received, None)
        given = 0
        async for piece in vault.content(attachment, None):
            given += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert given == size + 9
    assert peak < 4 << 20


DOUBTFUL = {
    "clamd": (b"INSTREAM size limit exceeded. ERROR", b"", b"stream: OK?"),
    "icap": (b"ICAP/1.0 500 Error\r\n\r\n", b"ICAP/1.0 100 Continue\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"),
}


@pytest.mark.parametrize("protocol", ["clamd", "clamd socket", "icap"])
async def test_only_what_a_scanner_calls_clean_is_stored(
    database: Database, clock: FixedClock, tmp_path: Path, data_dir: Path, protocol: str
) -> None:
    peer = icap() if protocol == "icap" else clamd(str(data_dir / "clamd.ctl") if "socket" in protocol else None)
    keys = tmp_path / "evidence-keys"
    keys.write_text(KEY)
    async with peer as scanner:
        settings = {"evidence_scanner": scanner.address, "evidence_key_file": keys}
        async with service(database, clock, tmp_path, **settings) as api:
            clean, infected = pdf(300_000), b"%PDF-1.7\n" + MALWARE
            assert (await send(api, clean)).status_code == 201
            refused = await send(api, infected)
            assert (refused.status_code, refused.json()["type"].rsplit(":", 1)[1]) == (422, "malware-found")
            assert "EICAR" in refused.json()["detail"]
            assert scanner.files == [clean, infected], "it is shown the content and not the sealed bytes"
            for doubtful in DOUBTFUL[protocol.partition(" ")[0]]:
                scanner.answer = doubtful
                failed = await send(api, pdf(500))
                assert (failed.status_code, failed.headers["retry-after"]) == (503, "60")
            assert len(await names(api)) == 1
    async with service(database, clock, tmp_path, **settings) as api:
        closed = await send(api, pdf(501))
        assert closed.json()["type"].endswith("scanner-unavailable"), "unreachable: nothing is let in"
        assert len((await api.get(PATH, Role.SUBJECT)).json()["attachments"]) == 1


async def test_an_icap_server_may_give_the_file_back(database: Database, clock: FixedClock, tmp_path: Path) -> None:
    async with icap() as scanner, service(database, clock, tmp_path, evidence_scanner=scanner.address) as api:
        scanner.returns = lambda content: content
        assert (await send(api, pdf(600_000))).status_code == 201, "as it was: nothing against it"
        for instead in (b"x" * 700_000, b"<html>blocked</html>", b""):
            scanner.returns = lambda content, instead=instead: instead  # type: ignore[misc]
            refused = await send(api, pdf(700_000))
            assert refused.json()["type"].endswith("malware-found"), "something else in its place"
        assert len(await names(api)) == 1


def test_scanner_addresses() -> None:
    from credit_service.evidence.scanning import scanner_of

    assert scanner_of(None) is None
    for wrong in ("http://x", "clamd://", "icap:///x", "x"):
        with pytest.raises(ValueError, match="evidence scanner"):
            scanner_of(wrong)
