"""An archived entity is gone from every surface for the public and for other agencies, and from none for the others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from credit_service.accounts.rules import Role
from credit_service.audit.log import Log, keys_of
from credit_service.exchange import store
from credit_service.platform.days import day_of
from tests.api import COMPANY, OTHER_AGENCY, OTHER_COMPANY, Api
from tests.entities.test_lookup import put
from tests.exchange.test_changes import Mirror
from tests.records.test_lists import LIST, entries, two_entries

ARCHIVED = {"registration_status": "deregistered", "deregistered_on": "2026-05-01", "archived": True}
BACK = {"registration_status": "deregistered", "deregistered_on": "2026-05-01"}
PATH = f"/v1/entities/{COMPANY}"
YESTERDAY = "as_of=2026-05-05"
READERS: list[tuple[Role, dict[str, str], bool]] = [
    (Role.PUBLIC, {}, False),
    (Role.SUBMITTER, {"agency": OTHER_AGENCY}, False),
    (Role.SUBJECT, {"entity": OTHER_COMPANY}, False),
    (Role.REGULATOR, {}, True),
    (Role.SUBJECT, {}, True),
]


@pytest.fixture
async def log(api: Api) -> AsyncIterator[Any]:
    connection = await api.database.connect()
    log = Log(keys_of(api.app.state.settings), "http://test")

    async def advance() -> None:
        await log.sequence(connection, api.clock.now())
        await log.checkpoint(connection, api.clock.now())

    yield advance
    await connection.close()


@pytest.mark.parametrize(("role", "identity", "sees"), READERS)
async def test_its_own_addresses_answer_alike(api: Api, role: Role, identity: dict[str, str], sees: bool) -> None:
    record, _ = await two_entries(api)
    paths = [PATH, f"{PATH}?{YESTERDAY}", f"{PATH}/records", f"{PATH}/records?{YESTERDAY}", f"/v1/records/{record}"]
    assert {(await api.get(path, role, **identity)).status_code for path in paths} == {200}
    await put(api, COMPANY, "*", **ARCHIVED)
    answers = [await api.get(path, role, **identity) for path in paths]
    assert [answer.status_code for answer in answers] == [200 if sees else 410] * len(paths)
    if not sees:
        assert {answer.json()["type"] for answer in answers} == {"urn:credit-service:problem:gone"}
        assert all(COMPANY not in answer.text and record not in answer.text for answer in answers)
    await put(api, COMPANY, "*", **BACK)
    assert {(await api.get(path, role, **identity)).status_code for path in paths} == {200}


async def test_it_stands_on_no_list_in_no_export_and_leads_to_nothing(api: Api) -> None:
    first, second = await two_entries(api)
    await put(api, COMPANY, "*", **ARCHIVED)
    for query in ({}, {"as_of": "2026-05-06"}):
        assert [entry["id"] for entry in await entries(api, **query)] == [second]
        assert {entry["id"] for entry in await entries(api, Role.REGULATOR, **query)} == {first, second}
    for role, present in ((Role.PUBLIC, False), (Role.SUBMITTER, False), (Role.REGULATOR, True)):
        exported = await api.get(f"{LIST}/export", role, params={"format": "ndjson"})
        assert (COMPANY in exported.text, OTHER_COMPANY in exported.text) == (present, True)
        found = await api.call("POST", "/v1/screenings", role, json={"codes": [COMPANY]})
        assert found.json()["result"]["subjects"][0]["status"] == ("known" if present else "archived")
        assert (first in found.text) == present
        if role is not Role.PUBLIC:
            body = {"uscc": COMPANY, "scenario": "procurement"}
            check = await api.call("POST", "/v1/measure-checks", role, json=body)
            assert check.status_code == (200 if present else 410), check.text


async def test_its_source_goes_on_reading_what_it_submitted(api: Api) -> None:
    record, _ = await two_entries(api)
    await put(api, COMPANY, "*", **ARCHIVED)
    assert (await api.get(f"/v1/records/{record}", Role.SUBMITTER)).status_code == 200


async def test_mirrors_drop_it_and_agree_with_the_digest(api: Api, log: Any, owner: asyncpg.Connection[Any]) -> None:
    first, second = await two_entries(api)
    await log()
    mirror = Mirror(api)
    await mirror.follow()
    assert set(mirror.records) == {first, second}
    await put(api, COMPANY, "*", **ARCHIVED)

    async def digest() -> Any:
        pool = await api.database.pool()
        now = api.clock.now()
        await owner.execute("DELETE FROM change_digest")
        async with pool.acquire() as connection:
            assert await store.take_digest(connection, day_of(now), now)
        return (await api.get("/v1/changes/digest")).json()

    assert (await digest())["unsettled"] == [first], "the log does not hold the archiving yet"
    await log()
    taken = await digest()
    assert (taken["records"], taken["unsettled"]) == (1, [])
    await mirror.follow()
    assert set(mirror.records) == {second}
    assert (mirror.after, mirror.parts(api.clock.now())) == (taken["through"], taken["parts"])
    newcomer = Mirror(api)
    await newcomer.follow()
    assert set(newcomer.records) == {second}
    assert COMPANY not in [c.get("record", {}).get("uscc") for c in (await api.get("/v1/changes")).json()["changes"]]


async def test_an_unknown_entity_has_no_records_but_an_error(api: Api) -> None:
    unknown = await api.get(f"{PATH}/records")
    assert (unknown.status_code, unknown.json()["errors"][0]["rule"]) == (404, "known-entity")
    assert (await api.get("/v1/entities/91350203M0001QKT19/records")).status_code == 422
    await put(api, COMPANY)
    assert (await api.get(f"{PATH}/records")).json() == {"records": []}
