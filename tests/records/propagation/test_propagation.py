"""Whoever was given a record is told with the change, and answers for having carried it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from credit_service.accounts.rules import Role
from credit_service.identity.uscc import compose
from credit_service.platform.clock import FixedClock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.records import life
from credit_service.records.standing import Action
from tests.api import AGENCY, CATALOGUE, CONSENT, NOTICES, OTHER_AGENCY, Api, running
from tests.records.imports import files
from tests.records.test_life import ANNULMENT, LISTING, REMOVAL, SHIELDING, UNSHIELDING, act, removed

SHANGHAI_COMPANY = compose("91", "310115", "MA000003")
PARENT = compose("11", "500000", "00928000")
OFFICER = Actor("client:officer", "test", AGENCY)
GRANT = {"item_code": "administrative-penalty", "division_prefix": "5001"}
PLACE = compose("11", "310000", "00245000")


async def told(owner: asyncpg.Connection[Any], *columns: str) -> list[tuple[Any, ...]]:
    names = ", ".join(columns or ("change", "instruction", "receiver_type", "receiver"))
    rows = await owner.fetch(f"SELECT {names} FROM propagation ORDER BY record_version, receiver_type, receiver")
    return [tuple(row) for row in rows]


async def move(api: Api, record_id: str, action: Action) -> None:
    async with api.database.transaction() as session:
        record = await life.held(session, UUID(record_id))
        await life.move(session, CATALOGUE, OFFICER, api.clock.now(), record, action, reason="理由")


async def revoke(api: Api, record_id: str) -> None:
    async with api.database.transaction() as session:
        record = await life.held(session, UUID(record_id))
        await life.restore_after_fraud(
            session, CATALOGUE, OFFICER, api.clock.now(), record, publicity="P3Y", reason="提供虚假材料"
        )


Change = Callable[[Api, str], Awaitable[Any]]
BY_HTTP: dict[str, tuple[Change, str, str]] = {
    "annulment": (lambda api, record: act(api, record, "annulment", ANNULMENT), "record.annul", "stop"),
    "withdrawal": (
        lambda api, record: act(api, record, "withdrawal", {"reason": "重复报送"}),
        "record.withdraw",
        "stop",
    ),
    "shielding": (lambda api, record: act(api, record, "shielding", SHIELDING), "record.shield", "stop"),
    "repair": (lambda api, record: move(api, record, Action.REPAIR), "record.repair", "stop"),
    "resubmission": (
        lambda api, record: api.submit(facts={"fine_amount": "13000.00"}),
        "record.corrected",
        "correct",
    ),
}


@pytest.mark.parametrize("name", sorted(BY_HTTP))
async def test_each_way_to_stop_or_correct_tells_the_platforms(
    api: Api, owner: asyncpg.Connection[Any], name: str
) -> None:
    record_id = (await api.submit()).json()["id"]
    assert await told(owner) == [], "what is new has no receivers yet"
    run, change, instruction = BY_HTTP[name]
    await run(api, record_id)
    assert await told(owner) == [
        (change, instruction, "credit-china", "credit-china"),
        (change, instruction, "enterprise-publicity-system", "enterprise-publicity-system"),
    ]


async def test_removal_from_a_list_and_what_returns(api: Api, owner: asyncpg.Connection[Any]) -> None:
    listed = (await api.submit(**LISTING)).json()["id"]
    assert (await removed(api, listed, REMOVAL | {"consent": CONSENT})).status_code == 200
    assert {row[:2] for row in await told(owner)} == {("record.remove", "stop")}
    await owner.execute("DELETE FROM propagation")
    record_id = (await api.submit()).json()["id"]
    await act(api, record_id, "shielding", SHIELDING)
    await act(api, record_id, "unshielding", UNSHIELDING)
    await move(api, record_id, Action.REPAIR)
    await revoke(api, record_id)
    rows = await told(owner, "change", "instruction", "superseded_at IS NOT NULL")
    assert (
        rows[::2]
        == rows[1::2]
        == [
            ("record.shield", "stop", True),
            ("record.unshield", "restore", True),
            ("record.repair", "stop", True),
            ("record.revoke-repair", "restore", False),
        ]
    ), "what counts is how the record stands now"


async def test_nobody_is_told_of_what_nobody_was_given(api: Api, owner: asyncpg.Connection[Any]) -> None:
    waiting = (await api.submit(notices=NOTICES[:1])).json()["id"]
    await api.submit(notices=NOTICES[:1], facts={"fine_amount": "13000.00"})
    await act(api, waiting, "annulment", ANNULMENT)
    assert await told(owner) == []
    minor = {"penalty_categories": ["罚款"], "procedure": "simple"}
    withheld = (await api.submit(document_number="w", facts=minor)).json()["id"]
    await act(api, withheld, "withdrawal", {"reason": "重复报送"})
    assert await told(owner) == [], "shared with nobody who asked, published nowhere"


@asynccontextmanager
async def durable(database: Database, clock: FixedClock, folder: Path, **settings: Any) -> AsyncIterator[Api]:
    """An application whose accesses are in the log before their answers leave."""
    async with running(database, clock, folder, access_log_durable=True, **settings) as api:
        yield api


async def test_agencies_that_read_the_file_and_the_place_of_registration(
    database: Database, clock: FixedClock, tmp_path: Path, owner: asyncpg.Connection[Any]
) -> None:
    async with durable(database, clock, tmp_path) as api:
        record_id = (await api.submit(uscc=SHANGHAI_COMPANY, entity_name="上海测试有限公司")).json()["id"]
        clock.instant += timedelta(seconds=1)
        assert (await api.get(f"/v1/records/{record_id}", Role.SUBMITTER, agency=OTHER_AGENCY)).status_code == 200
        await api.get(f"/v1/records/{record_id}", Role.REGULATOR)  # the agency that annuls need not be told
        await api.get(f"/v1/records/{record_id}")  # and of the public nobody knows who it was
        await act(api, record_id, "annulment", ANNULMENT)
    assert await told(owner, "receiver_type", "receiver", "rule_version", "status") == [
        ("agency", OTHER_AGENCY, "penalty-law-48", "verified"),
        ("credit-china", "credit-china", "penalty-law-48", "verified"),
        ("enterprise-publicity-system", "enterprise-publicity-system", "samr-order-45-11", "verified"),
        ("registration-place", "310115", "penalty-law-48", "verified"),
    ]


async def put_agency(api: Api, code: str, **more: Any) -> None:
    body = {"name": "机关单位", "division": code[2:8], "level": "province"} | more
    answer = await api.call("PUT", f"/v1/agencies/{code}", Role.ADMINISTRATOR, json=body)
    assert answer.status_code in (200, 201), answer.text


async def listed(api: Api, role: Role, state: str | None = None, agency: str = AGENCY, **query: Any) -> list[Any]:
    asked = query | ({"state": state} if state else {})
    answer = await api.get("/v1/propagations", role, params=asked, agency=agency)
    assert answer.status_code == 200, answer.text
    rows: list[Any] = answer.json()["propagations"]
    return rows


DONE = {"receipt": "沪同步〔2026〕1号", "carried_out_on": "2026-05-06"}


async def acknowledge(api: Api, row: Any, role: Role, agency: str = AGENCY, **changes: Any) -> httpx.Response:
    path = f"/v1/propagations/{row['id']}/acknowledgement"
    return await api.call("POST", path, role, agency=agency, json=DONE | changes)


@pytest.fixture
async def repaired(database: Database, clock: FixedClock, tmp_path: Path) -> AsyncIterator[Api]:
    """A record of Chongqing on a company of Shanghai has just been repaired; Credit China is run by the parent."""
    async with durable(database, clock, tmp_path, platform_agencies={"credit-china": PARENT}) as api:
        for code, more in ((PARENT, {}), (PLACE, {}), (AGENCY, {"parent_uscc": PARENT, "grants": [GRANT]})):
            await put_agency(api, code, **more)
        record_id = (await api.submit(uscc=SHANGHAI_COMPANY, entity_name="上海测试有限公司")).json()["id"]
        await move(api, record_id, Action.REPAIR)
        yield api


async def test_each_sees_what_is_its_own(repaired: Api) -> None:
    own = await listed(repaired, Role.SUBMITTER)
    assert sorted(row["receiver_type"] for row in own) == [
        "credit-china",
        "enterprise-publicity-system",
        "registration-place",
    ]
    assert {(row["state"], row["change"], row["rule_version"]) for row in own} == {
        ("due", "record.repair", "samr-order-107-push")
    }
    [place] = await listed(repaired, Role.SUBMITTER, agency=PLACE)
    assert (place["receiver_type"], place["receiver"], place["status"]) == ("registration-place", "310115", "secondary")
    assert await listed(repaired, Role.SUBMITTER, agency=OTHER_AGENCY) == [place], "the district is within the place"
    assert len(await listed(repaired, Role.REGULATOR, agency=PARENT)) == 3, "supervisor of the agency that decided"
    first = (await repaired.get("/v1/propagations?limit=2", Role.ADMINISTRATOR)).json()
    query = {"cursor": first["next_cursor"], "limit": 2}
    rest = (await repaired.get("/v1/propagations", Role.ADMINISTRATOR, params=query)).json()
    assert {row["id"] for row in first["propagations"] + rest["propagations"]} == {row["id"] for row in own}
    assert rest.get("next_cursor") is None


async def test_receivers_acknowledge_and_supervisors_see_who_does_not(
    repaired: Api, owner: asyncpg.Connection[Any]
) -> None:
    api, clock = repaired, repaired.clock
    [place] = await listed(api, Role.SUBMITTER, agency=PLACE)
    assert (await acknowledge(api, place, Role.SUBMITTER)).status_code == 404, "nobody acknowledges for others"
    for wrong in ("2026-05-07", "2026-05-05"):
        assert (await acknowledge(api, place, Role.SUBMITTER, PLACE, carried_out_on=wrong)).status_code == 422
    done = await acknowledge(api, place, Role.SUBMITTER, PLACE)
    assert (done.status_code, done.json()["state"], done.json()["late"]) == (200, "acknowledged", False)
    again = await acknowledge(api, place, Role.SUBMITTER, PLACE, receipt="另一回执")
    assert again.json() == done.json(), "said again, it stays as first said"
    clock.instant = await owner.fetchval("SELECT max(due_at) FROM propagation") - timedelta(seconds=1)
    assert len(await listed(api, Role.REGULATOR, "due", PARENT)) == 2
    assert await listed(api, Role.REGULATOR, "overdue", PARENT) == []
    clock.instant += timedelta(seconds=1)
    overdue = {row["receiver_type"]: row for row in await listed(api, Role.REGULATOR, "overdue", PARENT)}
    assert set(overdue) == {"credit-china", "enterprise-publicity-system"}
    assert len(await listed(api, Role.SUBMITTER, "acknowledged")) == 1
    late = await acknowledge(api, overdue["credit-china"], Role.SUBMITTER, PARENT)
    assert (late.status_code, late.json()["late"]) == (200, True)
    other = overdue["enterprise-publicity-system"]
    assert (await acknowledge(api, other, Role.SUBMITTER, PARENT)).status_code == 404
    assert (await acknowledge(api, other, Role.ADMINISTRATOR)).status_code == 200
    assert await owner.fetchval("SELECT count(*) FROM audit_event WHERE action = 'propagation.acknowledged'") == 3


async def test_a_later_change_replaces_what_is_open(api: Api) -> None:
    record_id = (await api.submit()).json()["id"]
    await move(api, record_id, Action.REPAIR)
    first, second = await listed(api, Role.ADMINISTRATOR, record_id=record_id)
    assert (await acknowledge(api, first, Role.ADMINISTRATOR)).status_code == 200
    await revoke(api, record_id)
    refused = await acknowledge(api, second, Role.ADMINISTRATOR)
    assert (refused.status_code, refused.json()["type"].rsplit(":", 1)[1]) == (409, "propagation-superseded")
    states = [row["state"] for row in await listed(api, Role.ADMINISTRATOR)]
    assert sorted(states) == ["acknowledged", "due", "due", "superseded"]
    assert len(await listed(api, Role.ADMINISTRATOR, "superseded")) == 1


async def test_a_change_that_fails_owes_nothing(api: Api, owner: asyncpg.Connection[Any]) -> None:
    record_id = (await api.submit()).json()["id"]
    with suppress(RuntimeError):
        async with api.database.transaction() as session:
            record = await life.held(session, UUID(record_id))
            await life.move(session, CATALOGUE, OFFICER, api.clock.now(), record, Action.REPAIR, reason="理由")
            await session.flush()
            raise RuntimeError
    assert await told(owner) == []


async def test_an_imports_corrections_tell_the_same_receivers(api: Api, owner: asyncpg.Connection[Any]) -> None:
    async def send(key: str, facts: str) -> Any:
        rows = [files.penalty(number, facts=facts) for number in range(40)]
        answer = await api.call(
            "POST",
            "/v1/imports",
            Role.SUBMITTER,
            {"Idempotency-Key": key, "Content-Type": "text/csv"},
            params={"notice_attestation": "送达回证齐全"},
            content=files.csv_file(rows, "utf-8"),
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    assert (await send("first", "违法事实"))["stored"] == 40
    assert await told(owner) == []
    assert (await send("second", "更正后的违法事实"))["corrected"] == 40
    elsewhere = await owner.fetch(
        "SELECT e.division FROM record r JOIN entity e USING (uscc) WHERE left(e.division, 2) <> '50'"
    )
    assert Counter(await told(owner)) == Counter(
        {
            ("record.corrected", "correct", "credit-china", "credit-china"): 40,
            ("record.corrected", "correct", "enterprise-publicity-system", "enterprise-publicity-system"): 40,
        }
    ) + Counter(("record.corrected", "correct", "registration-place", row["division"]) for row in elsewhere)
