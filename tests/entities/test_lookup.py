"""The lookup: four audiences, conditional requests, archived entities, coalescing, freshness."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from credit_service.accounts.rules import Role
from credit_service.entities.lookup import Answer, Coalescing, Lookup
from credit_service.identity.uscc import compose
from credit_service.worker import refresh_profiles
from tests.api import COMPANY, OTHER_COMPANY, Api

PATH = f"/v1/entities/{COMPANY}"


async def put(api: Api, uscc: str, if_match: str | None = None, **body: object) -> httpx.Response:
    headers = {"If-Match": if_match} if if_match else {}
    return await api.call(
        "PUT", f"/v1/entities/{uscc}", Role.REGISTRAR, headers, json={"name": "重庆测试有限公司"} | body
    )


async def test_four_audiences(api: Api) -> None:
    await api.submit()
    await api.submit(document_number="警告1号", facts={"penalty_categories": ["警告"], "fine_amount": None})
    public = (await api.get(PATH)).json()
    agency = (await api.get(PATH, Role.SUBMITTER)).json()
    regulator = (await api.get(PATH, Role.REGULATOR)).json()
    subject = (await api.get(PATH, Role.SUBJECT)).json()
    other = (await api.get(PATH, Role.SUBJECT, entity=OTHER_COMPANY)).json()
    seen = {
        name: len(found["records"]) for name, found in {"public": public, "agency": agency, "subject": subject}.items()
    }
    assert seen == {"public": 1, "agency": 2, "subject": 2}
    assert [found["audience"] for found in (public, agency, regulator, subject)] == [
        "public",
        "agency",
        "regulator",
        "subject",
    ]
    assert other == public
    assert "shared_facts" not in public["records"][0]
    assert agency["records"][0]["shared_facts"]
    assert "restricted_facts" not in agency["records"][0]
    assert regulator["records"][0].keys() > agency["records"][0].keys()


async def test_the_profile_and_the_record_route_show_the_same_members(api: Api) -> None:
    stored = (await api.submit()).json()
    for role in (Role.PUBLIC, Role.SUBMITTER, Role.REGULATOR, Role.SUBJECT):
        in_profile = (await api.get(PATH, role)).json()["records"][0]
        alone = (await api.get(f"/v1/records/{stored['id']}", role)).json()
        assert in_profile.keys() == alone.keys() - {"uscc", "duties"}, role
        assert in_profile["facts"] == alone["facts"]


async def test_conditional_requests_and_a_write_between_reads(api: Api) -> None:
    await api.submit()
    first = await api.get(PATH)
    etag = first.headers["etag"]
    for sent in (etag, f'"x", {etag}', f"W/{etag}", "*"):
        response = await api.get(PATH, headers={"If-None-Match": sent})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == etag
    await api.submit(document_number="另1号")
    second = await api.get(PATH, headers={"If-None-Match": etag})
    assert (second.status_code, len(second.json()["records"])) == (200, 2)


@pytest.mark.parametrize("form", [str.lower, lambda code: f"{code[:4]}-{code[4:]}", lambda code: f" {code} "])
async def test_a_code_typed_in_another_form(api: Api, form: object) -> None:
    await api.submit()
    assert (await api.get(f"/v1/entities/{form(COMPANY)}")).json()["uscc"] == COMPANY  # type: ignore[operator]


async def test_unknown_malformed_and_archived(api: Api) -> None:
    assert (await api.get(PATH)).status_code == 404
    assert (await api.get("/v1/entities/123")).status_code == 422
    await put(api, COMPANY)
    gone = {"registration_status": "deregistered", "deregistered_on": "2026-05-01", "archived": True}
    assert (await put(api, COMPANY, "*", **gone)).status_code == 200
    archived = await api.get(PATH)
    assert (archived.status_code, archived.json()["type"]) == (410, "urn:credit-service:problem:gone")
    assert (await api.get(PATH, Role.SUBMITTER)).status_code == 410
    assert (await api.get(PATH, Role.REGULATOR)).status_code == 200
    assert (await put(api, OTHER_COMPANY, archived=True)).status_code == 422


async def test_registration_data_needs_if_match_and_keeps_names(api: Api, owner: asyncpg.Connection) -> None:
    first = await put(api, COMPANY, established_on="2015-03-01", industry="C13")
    assert (first.status_code, first.headers["etag"]) == (201, '"v1"')
    assert (await put(api, COMPANY)).status_code == 428
    assert (await put(api, COMPANY, '"v9"')).status_code == 412
    second = await put(api, COMPANY, '"v1"', name="重庆新名有限公司", industry="C13")
    assert (second.status_code, second.headers["etag"]) == (200, '"v2"')
    shown = (await api.get(PATH)).json()
    assert (shown["name"], [past["name"] for past in shown["former_names"]]) == (
        "重庆新名有限公司",
        ["重庆测试有限公司"],
    )
    assert (await api.submit(entity_name="重庆测试有限公司")).json()["warnings"] == []
    actions = await owner.fetch("SELECT action FROM audit_event WHERE subject_type = 'entity' ORDER BY id")
    assert [row["action"] for row in actions] == ["entity.registered", "entity.updated"]
    assert (await put(api, COMPANY, "*", industry="Z99")).json()["errors"][0]["pointer"] == "/industry"


async def test_a_registrar_completes_an_entity_known_from_a_record(api: Api) -> None:
    await api.submit()
    assert (await api.get(PATH)).json()["registration_status"] == "unknown"
    assert (await put(api, COMPANY)).status_code == 200
    assert (await api.get(PATH)).json()["registration_status"] == "active"


async def test_many_lookups_at_once_share_queries_and_are_right(api: Api, owner: asyncpg.Connection) -> None:
    codes = [compose("91", "500103", f"MA{number:06}") for number in range(1, 41)]
    for number, code in enumerate(codes):
        await put(api, code, name=f"测试{number:03}有限公司")
    wanted = codes * 10 + ["91110000600037341L"] * 5
    answers = await asyncio.gather(*(api.get(f"/v1/entities/{code}") for code in wanted))
    for code, answer in zip(wanted, answers, strict=True):
        assert answer.status_code == (200 if code in codes else 404)
        assert answer.json().get("uscc", code) == code


async def test_nobody_is_left_waiting_who_asks_while_connections_are_given_back(api: Api) -> None:
    both_asked = asyncio.Event()

    class Held(Coalescing[str]):
        async def _fetch(self, connection: Any, keys: list[str]) -> dict[str, Answer]:
            await both_asked.wait()
            return {}

    lookup = Held(api.database, lanes=2)

    async def caller(number: int) -> None:
        await lookup.ask(f"first {number}")
        await lookup.ask(f"second {number}")

    callers: list[asyncio.Task[None]] = []
    while lookup._waiting or lookup._idle_lanes:  # until each lane holds a question
        callers.append(asyncio.create_task(caller(len(callers))))
        await asyncio.sleep(0.05)
    both_asked.set()
    async with asyncio.timeout(20):
        await asyncio.gather(*callers)


async def test_a_failing_query_reaches_every_waiting_caller(api: Api) -> None:
    lookup = Lookup(api.database, api.clock, "public")
    pool = await api.database.pool()
    held = [await pool.acquire() for _ in range(6)]
    waiting = [asyncio.create_task(lookup.get(COMPANY)) for _ in range(5)]
    await asyncio.sleep(0.05)
    for connection in held:
        await pool.release(connection)
    assert await asyncio.gather(*waiting) == [None] * 5
    await api.database.close()
    api.database._arguments["host"] = "/nowhere"
    outcomes = await asyncio.gather(*(lookup.get(COMPANY) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(outcome, OSError) for outcome in outcomes)


async def test_the_job_renders_what_has_become_due_and_reads_never_wait_for_it(
    api: Api, owner: asyncpg.Connection
) -> None:
    await api.submit()
    api.clock.instant += timedelta(days=400)
    due = "SELECT count(*) FROM profile WHERE fresh_until <= $1"
    assert await owner.fetchval(due, api.clock.now()) == 4
    assert (await api.get(PATH)).json()["records"] == []
    await api.submit(document_number="2号", decided_on="2027-05-01")
    api.clock.instant += timedelta(days=400)
    assert await refresh_profiles(api.database, api.clock.now()) == 1
    assert await owner.fetchval(due, api.clock.now()) == 0


async def test_a_stale_profile_is_never_served(api: Api, owner: asyncpg.Connection) -> None:
    await api.submit()
    await owner.execute("UPDATE profile SET body = 'old', fresh_until = '-infinity'")
    assert (await api.get(PATH)).json()["uscc"] == COMPANY
    await owner.execute("DELETE FROM profile")
    assert (await api.get(PATH)).json()["uscc"] == COMPANY
