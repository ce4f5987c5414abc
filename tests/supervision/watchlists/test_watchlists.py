"""Watchlists: each change comes once and none is missed, however late it is committed; what was seen waits for one."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from credit_service.accounts.rules import Role
from credit_service.audit import events
from credit_service.identity.uscc import compose
from credit_service.platform.context import Actor
from credit_service.records import life, store
from credit_service.records.standing import Action
from tests.api import CATALOGUE, COMPANY, OTHER_AGENCY, OTHER_COMPANY, Api
from tests.audit.support import Ledger, ledger
from tests.supervision.screening.listings import listing

ACTOR = Actor("test", "test")
UNKNOWN = compose("91", "500103", "MA000009")


@pytest.fixture
async def log(api: Api, tmp_path: Path) -> AsyncIterator[Ledger]:
    async with ledger(api.database, api.clock, tmp_path / "log") as found:
        yield found


async def ask(api: Api, method: str, path: str, role: Role = Role.REGULATOR, **more: Any) -> httpx.Response:
    return await api.call(method, f"/v1/watchlists{path}", role, **more)


async def watching(api: Api, *codes: str, role: Role = Role.REGULATOR) -> str:
    made = await ask(api, "POST", "", role, json={"name": "重点食品企业"})
    assert made.status_code == 201, made.text
    changed = await ask(api, "POST", f"/{made.json()['id']}/entities", role, json={"add": list(codes)})
    assert changed.json()["added"] == len(codes), changed.text
    return str(made.json()["id"])


async def changes(
    api: Api, watchlist: str, after: str | None = None, role: Role = Role.REGULATOR, limit: int = 50
) -> Any:
    params = {"limit": limit} | ({"after": after} if after else {})
    answer = await ask(api, "GET", f"/{watchlist}/changes", role, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def move(api: Api, record: str, action: Action) -> None:
    async with api.database.transaction() as session:
        row = await store.by_id_locked(session, UUID(record))
        assert row is not None
        await life.move(session, CATALOGUE, ACTOR, api.clock.now(), row, action, reason="测试")


async def test_changes_are_told_from_the_day_an_entity_is_watched(api: Api, log: Ledger) -> None:
    await api.submit()
    await api.submit(uscc=OTHER_COMPANY)
    await log.sequence()
    watchlist = await watching(api, COMPANY)
    first = await changes(api, watchlist)
    assert (first["changes"], first["more"]) == ([], False)
    record = await listing(api)
    await api.submit(uscc=OTHER_COMPANY, document_number="2")
    await move(api, record, Action.REPAIR)
    assert (await changes(api, watchlist, first["next_after"]))["changes"] == []  # not in the log yet
    await log.sequence()
    told = await changes(api, watchlist, first["next_after"])
    assert [(each["action"], each["uscc"]) for each in told["changes"]] == [
        ("record.stored", COMPANY),
        ("record.repair", COMPANY),
    ]
    assert told["changes"][1]["record"] | {"publicity_until": ""} == {
        "item_code": "serious-dishonesty-government-procurement",
        "state": "repaired",
        "version": 2,
        "publicity_until": "",
        "disputed_since": None,
    }
    assert (await changes(api, watchlist, told["next_after"]))["changes"] == []


async def test_a_transaction_that_commits_late_is_neither_missed_nor_doubled(api: Api, log: Ledger) -> None:
    await api.submit()
    watchlist = await watching(api, COMPANY)
    await log.sequence()
    place = (await changes(api, watchlist))["next_after"]
    told: list[str] = []

    async def read() -> None:
        nonlocal place
        await log.sequence()
        found = await changes(api, watchlist, place)
        place = found["next_after"]
        told.extend(each["subject_id"] for each in found["changes"])

    def event(name: str) -> Any:
        return events.new_event(
            ACTOR, api.clock.now(), "record.correct", uscc=COMPANY, subject_type="record", subject_id=name
        )

    async with api.database.transaction() as late:
        late.add(event("late"))
        await late.flush()  # written, with an older id and an older transaction than what follows, and not committed
        async with api.database.transaction() as early:
            early.add(event("early"))
        await read()
        assert told == ["early"]
        await read()
    await read()
    await read()
    assert told == ["early", "late"]


async def test_pages_of_any_size_give_each_change_once(api: Api, log: Ledger) -> None:
    await api.submit()
    watchlist = await watching(api, COMPANY)
    await log.sequence()
    start = (await changes(api, watchlist))["next_after"]
    chance = random.Random(7)
    place, told = start, []
    for number in range(12):
        await api.submit(document_number=f"第{number}号")
        if chance.random() < 0.6:
            await log.sequence()
        found = await changes(api, watchlist, place, limit=chance.randint(1, 3))
        place = found["next_after"]
        told += [each["sequence"] for each in found["changes"]]
    await log.sequence()
    while (found := await changes(api, watchlist, place, limit=2))["changes"]:
        place = found["next_after"]
        told += [each["sequence"] for each in found["changes"]]
    whole = [each["sequence"] for each in (await changes(api, watchlist, start, limit=500))["changes"]]
    assert told == whole == sorted(set(whole))
    assert len(whole) == 12


async def test_a_record_that_waits_for_its_notices_is_told_to_its_own_agency_only(api: Api, log: Ledger) -> None:
    await api.submit()
    lists = {
        "own": (Role.SUBMITTER, {}),
        "other": (Role.SUBMITTER, {"agency": OTHER_AGENCY}),
        "regulator": (Role.REGULATOR, {}),
    }
    made = {}
    for name, (role, identity) in lists.items():
        answer = await ask(api, "POST", "", role, json={"name": name}, **identity)
        made[name] = answer.json()["id"]
        await ask(api, "POST", f"/{made[name]}/entities", role, json={"add": [COMPANY]}, **identity)
    await api.submit(document_number="2", notices=[])
    await log.sequence()
    told = {}
    for name, (role, identity) in lists.items():
        answer = await ask(api, "GET", f"/{made[name]}/changes", role, **identity)
        told[name] = [each["record"]["state"] for each in answer.json()["changes"] if each["action"] == "record.stored"]
    assert told == {
        "own": ["published", "awaiting-notice"],
        "other": ["published"],
        "regulator": ["published", "awaiting-notice"],
    }


async def test_what_was_looked_at_is_hidden_until_it_changes(api: Api) -> None:
    record = await listing(api)
    await listing(api, uscc=OTHER_COMPANY, document_number="列入2号")
    watchlist = await watching(api, COMPANY, OTHER_COMPANY)

    async def hits(**params: Any) -> list[tuple[str, bool, bool]]:
        found = (await ask(api, "GET", f"/{watchlist}/hits", params=params)).json()["entities"]
        return [(each["uscc"], hit["reviewed"], hit["changed_since_review"]) for each in found for hit in each["hits"]]

    assert await hits() == [(COMPANY, False, False), (OTHER_COMPANY, False, False)]
    review = {"uscc": COMPANY, "record_id": record, "version": 1, "note": "已约谈"}
    assert (await ask(api, "POST", f"/{watchlist}/reviews", json=review | {"version": 2})).status_code == 412
    assert (await ask(api, "POST", f"/{watchlist}/reviews", json=review)).status_code == 200
    assert await hits() == [(OTHER_COMPANY, False, False)]
    assert await hits(include_reviewed=True) == [(COMPANY, True, False), (OTHER_COMPANY, False, False)]
    await move(api, record, Action.SHIELD)
    assert await hits() == [(OTHER_COMPANY, False, False)]
    assert (await ask(api, "POST", f"/{watchlist}/reviews", json=review)).status_code == 404
    await move(api, record, Action.UNSHIELD)
    assert await hits() == [(COMPANY, False, True), (OTHER_COMPANY, False, False)]
    page = (await ask(api, "GET", f"/{watchlist}/hits", params={"limit": 1})).json()
    assert [each["uscc"] for each in page["entities"]] == [COMPANY]
    assert [entry[0] for entry in await hits(cursor=page["next_cursor"])] == [OTHER_COMPANY]


async def test_a_watchlist_is_its_agencys_alone_and_leaves_no_trace_in_a_file(
    api: Api, owner: asyncpg.Connection[Any]
) -> None:
    await api.submit()
    watchlist = await watching(api, COMPANY)
    receipt = (
        await ask(api, "POST", f"/{watchlist}/entities", json={"add": [COMPANY, UNKNOWN, "x"], "remove": []})
    ).json()
    assert receipt == {"added": 0, "removed": 0, "unknown": [1, 2], "entities": 1}
    for path in ("/entities", "/changes", "/hits"):
        foreign = await ask(api, "GET", f"/{watchlist}{path}", Role.SUBMITTER, agency=OTHER_AGENCY)
        assert foreign.status_code == 404, path
    assert (await ask(api, "GET", "", Role.SUBMITTER, agency=OTHER_AGENCY)).json() == {"watchlists": []}
    listed = (await ask(api, "GET", "")).json()["watchlists"]
    assert [(each["name"], each["entities"]) for each in listed] == [("重点食品企业", 1)]
    assert (await ask(api, "GET", f"/{watchlist}/entities")).json()["entities"][0]["uscc"] == COMPANY
    kinds = await owner.fetch("SELECT DISTINCT uscc FROM audit_event WHERE action LIKE 'watchlist.%'")
    assert [row["uscc"] for row in kinds] == ["0" * 18]
    removed = await ask(api, "POST", f"/{watchlist}/entities", json={"remove": [COMPANY]})
    assert removed.json()["removed"] == 1
    assert (await ask(api, "DELETE", f"/{watchlist}")).status_code == 204
    assert (await ask(api, "GET", f"/{watchlist}/entities")).status_code == 404
    for cursor in ("x", "WzFd", "WyJ4Il0"):
        wrong = await ask(api, "GET", f"/{await watching(api)}/changes", params={"after": cursor})
        assert wrong.status_code == (200 if cursor == "WzFd" else 400)
