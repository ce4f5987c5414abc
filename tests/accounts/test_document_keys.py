"""Keys that signed documents stay published when they are gone, say when they signed, and can be revoked."""

from __future__ import annotations

import asyncio
import copy
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from typer.testing import CliRunner

from credit_service import cli
from credit_service.accounts import published_keys
from credit_service.accounts.document_signatures import KeyNotInUse, KeyRevoked, SignatureInvalid, revocation
from credit_service.accounts.keys import LONGEST_LIFETIME_SECONDS, KeyStore, SigningKey
from credit_service.accounts.published_keys import PublishedKeys
from credit_service.accounts.rules import Role
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.errors import Problem
from credit_service.reports import signing
from tests.api import COMPANY, Api, running
from tests.conftest import NOW
from tests.support import DatabaseUrls

OPERATOR = Actor("operator", "test")
PUBLISHED = "/.well-known/document-keys.json"
DAY = timedelta(days=1)


def passes(api: Api, time: timedelta) -> None:
    api.clock.instant += time


async def published(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = (await api.get(PUBLISHED)).raise_for_status().json()
    return found


async def report(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = (await api.get(f"/v1/entities/{COMPANY}/report")).raise_for_status().json()
    return found


async def rotate(api: Api) -> SigningKey:
    async with api.database.transaction() as session:
        return await published_keys.rotate(session, OPERATOR, api.clock.now(), api.app.state.keys)


async def revoke(api: Api, kid: str, since: datetime) -> None:
    """As ``credit-service keys revoke`` does."""
    async with api.database.transaction() as session:
        await published_keys.revoke(
            session, OPERATOR, api.clock.now(), api.app.state.keys, kid, since=since, reason="密钥文件外泄"
        )
    api.app.state.keys.remove(kid)


async def status_of(api: Api, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}", "Credit-Purpose": "supervision"}
    return (await api.http.get(f"/v1/entities/{COMPANY}", headers=headers)).status_code


def put_back(api: Api, key: SigningKey) -> None:
    """As a backup does, or a careless copy: as if it were the newest."""
    file: Path = api.app.state.keys.directory / f"{key.kid}.pem"
    file.write_text(key.pem)
    later = key.made_at + 3600
    os.utime(file, (later, later))
    api.app.state.keys.newest()
    api.app.state.published_keys._checked_at = float("-inf")


def signed_at(key: SigningKey, document: dict[str, Any], instant: datetime) -> dict[str, Any]:
    """A report of another instant: what whoever has the key can make."""
    made = copy.deepcopy(document["report"]) | {"issued_at": instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    found: dict[str, Any] = orjson.loads(signing.signed(key, made))
    return found


@pytest.fixture
async def filed(api: Api) -> Api:
    await api.submit()
    return api


async def test_a_report_is_verified_by_the_published_keys_long_after_its_key_is_gone(
    filed: Api, owner: asyncpg.Connection[Any]
) -> None:
    assert (await published(filed))["keys"] == [], "nothing was signed yet"
    first = filed.app.state.keys.signing()
    token = await filed.token(Role.REGULATOR)
    kept = await report(filed)
    passes(filed, 400 * DAY)
    second = await rotate(filed)
    assert filed.app.state.keys.retire(-1) == [first.kid]
    served = (await filed.get("/.well-known/jwks.json")).json()
    keys = await published(filed)
    assert [key["kid"] for key in served["keys"]] == [second.kid], "tokens are verified by these alone"
    assert [(key["kid"], key["iat"], key.get("exp")) for key in keys["keys"]] == [
        (first.kid, int(NOW.timestamp()), int(min(second.made_at, filed.clock.now().timestamp()))),
        (second.kid, int(min(second.made_at, filed.clock.now().timestamp())), None),
    ]
    assert all(not {"d", "revoked", "made_at"} & key.keys() for key in keys["keys"])
    with pytest.raises(SignatureInvalid):
        signing.verified(kept, served)
    assert signing.verified(kept, keys)["sub"] == COMPANY
    assert revocation(kept["jws"], keys) is None
    assert signing.verified(await report(filed), keys)
    assert await status_of(filed, token) == 401
    actions = await owner.fetch(
        "SELECT action, subject_id FROM audit_event WHERE subject_type = 'signing-key' ORDER BY id"
    )
    assert [tuple(row) for row in actions] == [
        ("signing-key.published", first.kid),
        ("signing-key.published", second.kid),
        ("signing-key.replaced", first.kid),
    ]


async def test_a_replaced_key_is_good_for_no_token_and_no_document_even_when_its_file_comes_back(filed: Api) -> None:
    first = filed.app.state.keys.signing()
    await report(filed)
    second = await rotate(filed)
    filed.app.state.keys.retire(-1)
    passes(filed, timedelta(seconds=LONGEST_LIFETIME_SECONDS))
    put_back(filed, first)
    assert filed.app.state.keys.signing().kid == first.kid, "by its file alone it would sign"
    assert await status_of(filed, await filed.token(Role.REGULATOR)) == 401
    again = await report(filed)
    keys = await published(filed)
    third = keys["keys"][-1]["kid"]
    assert third not in (first.kid, second.kid)
    assert signing.verified(again, {"keys": [key for key in keys["keys"] if key["kid"] == third]})
    assert await status_of(filed, await filed.token(Role.REGULATOR)) == 200


async def test_a_token_of_a_key_that_was_just_replaced_is_good_until_it_expires(filed: Api) -> None:
    await report(filed)
    token = await filed.token(Role.REGULATOR)
    await rotate(filed)
    assert await status_of(filed, token) == 200


async def test_processes_agree_on_what_signs(filed: Api, database: Database) -> None:
    others = [PublishedKeys(database, filed.clock, KeyStore(filed.app.state.keys.directory)) for _ in range(4)]
    (kid,) = {key.kid for key in await asyncio.gather(*(each.signing() for each in others))}
    passes(filed, DAY)
    made = await rotate(filed)
    for each in others:
        each._keys.newest()  # what a process sees within two seconds
    assert {key.kid for key in await asyncio.gather(*(each.signing() for each in others))} == {made.kid}
    keys = (await published(filed))["keys"]
    assert [(key["kid"], "exp" in key) for key in keys] == [(kid, True), (made.kid, False)]


async def test_another_folder_of_keys_ends_none_of_this_one(filed: Api, database: Database, tmp_path: Path) -> None:
    mine = await report(filed)
    await PublishedKeys(database, filed.clock, KeyStore(tmp_path / "elsewhere")).signing()
    filed.app.state.published_keys._checked_at = float("-inf")
    passes(filed, DAY)
    again = await report(filed)
    keys = await published(filed)
    assert len(keys["keys"]) == 2
    assert all(signing.verified(each, keys) for each in (mine, again))


async def test_what_a_stolen_key_signed_since_is_told_and_nothing_goes_on_with_it(
    filed: Api, database: Database, owner: asyncpg.Connection[Any], tmp_path: Path
) -> None:
    stolen = filed.app.state.keys.signing()
    kept = await report(filed)
    passes(filed, 10 * DAY)
    late, token = await report(filed), await filed.token(Role.REGULATOR)
    theft = NOW + 5 * DAY
    await revoke(filed, stolen.kid, theft)
    keys = await published(filed)
    assert [key.get("revoked") for key in keys["keys"]] == [{"revoked_at": int(theft.timestamp())}, None]
    with pytest.raises(KeyRevoked):
        signing.verified(late, keys)
    assert signing.verified(kept, keys)
    assert revocation(kept["jws"], keys) == theft
    for instant, fault in (
        (theft, KeyRevoked),
        (theft - timedelta(seconds=1), None),
        (NOW - DAY, KeyNotInUse),
    ):
        made = signed_at(stolen, kept, instant)
        if fault is None:
            assert signing.verified(made, keys), "an offline verifier cannot know; it is told of the revocation"
        else:
            with pytest.raises(fault):
                signing.verified(made, keys)
    assert await status_of(filed, token) == 401
    good = await report(filed)
    assert signing.verified(good, keys)["sub"] == COMPANY
    assert revocation(good["jws"], keys) is None
    put_back(filed, stolen)
    assert (await report(filed))["jws"].split(".")[0] == good["jws"].split(".")[0], "the same key as before"
    folder = tmp_path / "restored" / "keys"
    folder.mkdir(parents=True)
    (folder / f"{stolen.kid}.pem").write_text(stolen.pem)
    async with running(database, filed.clock, tmp_path / "restored") as restored:
        assert await status_of(restored, await restored.token(Role.REGULATOR)) == 401, (
            "signed by the key that came back"
        )
        again = await report(restored)
        assert await status_of(restored, await restored.token(Role.REGULATOR)) == 200
    assert signing.verified(again, await published(filed))
    assert revocation(again["jws"], await published(filed)) is None
    (event,) = await owner.fetch("SELECT subject_id, reason FROM audit_event WHERE action = 'signing-key.revoked'")
    assert tuple(event) == (stolen.kid, "密钥文件外泄")


async def test_a_revocation_is_corrected_towards_the_past_alone(filed: Api) -> None:
    kid = filed.app.state.keys.signing().kid
    await report(filed)
    passes(filed, 2 * DAY)
    for since, kind in ((filed.clock.now() + DAY, kid), (NOW, "no-such-key")):
        with pytest.raises(Problem):
            await revoke(filed, kind, since)
    assert all("revoked" not in key for key in (await published(filed))["keys"])
    await revoke(filed, kid, NOW + DAY)
    for since in (NOW + DAY, NOW + DAY + DAY):
        with pytest.raises(Problem):
            await revoke(filed, kid, since)
    await revoke(filed, kid, NOW)
    assert (await published(filed))["keys"][0]["revoked"] == {"revoked_at": int(NOW.timestamp())}


async def test_a_document_dated_after_its_key_was_replaced_is_a_thiefs(filed: Api) -> None:
    old = filed.app.state.keys.signing()
    kept = await report(filed)
    passes(filed, 30 * DAY)
    await rotate(filed)
    keys = await published(filed)
    assert signing.verified(signed_at(old, kept, filed.clock.now()), keys), "another process may not know yet"
    with pytest.raises(KeyNotInUse):
        signing.verified(signed_at(old, kept, filed.clock.now() + timedelta(minutes=2)), keys)
    undated = orjson.loads(signing.signed(old, kept["report"] | {"issued_at": "yesterday"}))
    with pytest.raises(SignatureInvalid):
        signing.verified(undated, keys)


async def test_the_service_may_publish_and_end_keys_and_not_change_what_they_are(
    filed: Api, database: Database
) -> None:
    await report(filed)
    pool = await database.pool()
    for statement in (
        "DELETE FROM published_key",
        "UPDATE published_key SET jwk = '{}'",
        "UPDATE published_key SET made_at = now()",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)


@pytest.fixture
async def commands(filed: Api, database_urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command line on the same installation, at the present: its clock is the machine's."""
    monkeypatch.setenv("CREDIT_DATABASE_URL", database_urls.service)
    monkeypatch.setenv("CREDIT_KEYS_DIR", str(filed.app.state.keys.directory))
    filed.clock.instant = datetime.now(UTC)

    async def run(*arguments: str) -> tuple[int, str]:
        result = await asyncio.to_thread(CliRunner().invoke, cli.app, list(arguments))
        return result.exit_code, result.output

    return run


async def test_the_commands_rotate_revoke_and_verify_by_either_set(filed: Api, commands: Any, tmp_path: Path) -> None:
    old = filed.app.state.keys.signing()
    of_the_time, today, file = tmp_path / "jwks.json", tmp_path / "keys.json", tmp_path / "report.json"
    of_the_time.write_bytes((await filed.get("/.well-known/jwks.json")).content)
    file.write_bytes(orjson.dumps(await report(filed)))
    screened = tmp_path / "screening.json"
    screened.write_bytes((await filed.http.post("/v1/screenings", json={"codes": [COMPANY]})).content)
    since = datetime.now(UTC) + timedelta(seconds=1)
    await asyncio.sleep(1.1)
    code, said = await commands("keys", "rotate")
    assert code == 0, said
    code, said = await commands("keys", "revoke", old.kid, "--since", since.isoformat(), "--reason", "密钥外泄")
    assert code == 0, said
    assert old.kid not in filed.app.state.keys.newest().kid
    assert not (filed.app.state.keys.directory / f"{old.kid}.pem").exists()
    today.write_bytes((await filed.get(PUBLISHED)).content)
    for document in (file, screened):
        code, said = await commands("verify", str(document), "--jwks", str(of_the_time))
        assert (code, "WARNING" in said) == (0, False), said
        for sets in (["--jwks", str(today)], ["--jwks", str(of_the_time), "--jwks", str(today)]):
            code, said = await commands("verify", str(document), *sets)
            assert (code, "WARNING 密钥已吊销" in said, "nothing here proves its date" in said) == (0, True, True), said
    code, said = await commands("verify-screening", str(screened), "--keys", str(today))
    assert (code, "WARNING 密钥已吊销" in said) == (0, True), said
    late = signed_at(old, orjson.loads(file.read_bytes()), since + timedelta(seconds=1))
    file.write_bytes(orjson.dumps(late))
    code, said = await commands("verify", str(file), "--jwks", str(today))
    assert (code, "FAULT key-revoked" in said) == (1, True), said
    code, said = await commands("verify", str(file), "--jwks", str(of_the_time), "--jwks", str(today))
    assert (code, "FAULT key-revoked" in said) == (1, True), said
    for wrong in ("2026-11-27T10:00:00", "yesterday"):
        code, _ = await commands("keys", "revoke", old.kid, "--since", wrong, "--reason", "密钥外泄")
        assert code == 1
    code, said = await commands("keys", "revoke", "no-such", "--since", since.isoformat(), "--reason", "密钥外泄")
    assert (code, "no such key" in said) == (1, True)


async def test_a_restored_database_knows_the_keys_that_its_folder_lost(
    filed: Api, database: Database, tmp_path: Path
) -> None:
    """The WAL brings the database beyond the backup; the folder of keys is as old as the backup."""
    kept = await report(filed)
    before = {file.name: file.read_bytes() for file in filed.app.state.keys.directory.glob("*.pem")}
    passes(filed, DAY)
    await rotate(filed)
    after = await report(filed)
    folder = tmp_path / "restored" / "keys"
    folder.mkdir(parents=True)
    for name, content in before.items():
        (folder / name).write_bytes(content)
    passes(filed, DAY)
    async with running(database, filed.clock, tmp_path / "restored") as restored:
        again = await report(restored)
        keys = await published(restored)
    assert all(signing.verified(each, keys) for each in (kept, after, again))
    assert len(keys["keys"]) == 3, "the key of the backup had been replaced: it does not sign again"


async def test_keys_replaced_before_any_was_published_are_published_too(filed: Api) -> None:
    """An installation that is older than this: its folder still holds the key of last month's reports."""
    keys: KeyStore = filed.app.state.keys
    old, new = keys.signing(), keys.rotate()
    for key, age in ((old, 900), (new, 300)):
        os.utime(keys.directory / f"{key.kid}.pem", (NOW.timestamp() - age, NOW.timestamp() - age))
    keys.newest()
    made = await report(filed)
    sets = await published(filed)
    assert [(key["kid"], NOW.timestamp() - key["iat"], "exp" in key) for key in sets["keys"]] == [
        (old.kid, 900, True),
        (new.kid, 300, False),
    ]
    assert signing.verified(made, sets)
    assert signing.verified(signed_at(old, made, NOW - timedelta(seconds=600)), sets)
