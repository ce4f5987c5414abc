"""Classes follow every change, counts stay exact whoever works at once, runs resume where they were left."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from credit_service.accounts.rules import Role
from credit_service.identity.uscc import compose
from credit_service.platform.clock import FixedClock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.days import day_of
from credit_service.records.models import State
from credit_service.supervision.classes import recompute, runs, store
from credit_service.supervision.classes.rules import Facts, evaluate, tags
from tests.api import CATALOGUE, COMPANY, Api
from tests.conftest import NOW
from tests.supervision.classes.support import (
    EXAMPLE,
    KINDS,
    LISTS,
    SHIPPED,
    adopt,
    check_exact,
    company,
    enter,
    penalty_fact,
)


def population(size: int) -> list[Facts]:
    """Companies of two divisions with nothing, a light, a severe penalty, a listing."""
    kinds: list[dict[str, Any]] = [
        {"severity": "general"},
        {},
        {"item_code": "serious-dishonesty-tax", "severity": None},
        {"state": State.REPAIRED},
    ]
    return [
        company(
            *(penalty_fact(**kinds[number % 4]) for _ in range(number % 3)),
            number=number,
            division=("500103", "110105")[number % 2],
            industry=("", "F51", "C26")[number % 3],
        )
        for number in range(size)
    ]


async def classes(owner: asyncpg.Connection[Any]) -> dict[str, tuple[str, int, list[str]]]:
    rows = await owner.fetch("SELECT uscc, risk_class, points, tags FROM entity_class")
    return {row["uscc"]: (row["risk_class"], row["points"], row["tags"]) for row in rows}


def judged(people: list[Facts], at: Any = NOW) -> dict[str, tuple[str, int, list[str]]]:
    found = {each.uscc: evaluate(each, EXAMPLE, at) for each in people}
    return {
        each.uscc: (found[each.uscc].risk_class, found[each.uscc].points, list(tags(each, KINDS, LISTS, at)))
        for each in people
    }


async def test_a_full_run_is_resumed_and_then_changes_nothing(
    database: Database, owner: asyncpg.Connection[Any], clock: FixedClock
) -> None:
    people = population(40)
    await enter(owner, people)
    _, run_id = await adopt(database, clock, chunk=7)
    seen: list[tuple[int, int]] = []

    def cut(entities: int, changed: int) -> None:
        seen.append((entities, changed))
        if len(seen) == 2:
            raise RuntimeError("cut")

    with pytest.raises(ExceptionGroup):
        await runs.work(database, CATALOGUE, clock, run_id, lanes=1, told=cut)
    assert 0 < len(await classes(owner)) < 40
    await check_exact(owner)
    assert await runs.resume(database, CATALOGUE, clock) == 1
    assert await runs.resume(database, CATALOGUE, clock) == 0
    assert await classes(owner) == judged(people)
    await check_exact(owner)
    async with database.transaction() as session:
        progress = await runs.progress(session, run_id)
        found = await store.run(session, run_id)
    assert found is not None
    assert (found.state, progress.chunks, progress.done, progress.entities) == ("finished", 6, 6, 40)
    again = await runs.start_full(database, Actor("worker", "w"), clock, chunk=7)
    await runs.work(database, CATALOGUE, clock, again)
    async with database.transaction() as session:
        assert (await runs.progress(session, again)).changed == 0
    assert await owner.fetchval("SELECT count(*) FROM class_history") == 40


async def test_time_alone_changes_a_class(
    database: Database, owner: asyncpg.Connection[Any], clock: FixedClock
) -> None:
    people = [company(penalty_fact(publicity_until=NOW + timedelta(days=3)))]
    await enter(owner, people)
    _, run_id = await adopt(database, clock)
    await runs.work(database, CATALOGUE, clock, run_id)
    assert (await classes(owner))[people[0].uscc][0] == "C"
    clock.instant = NOW + timedelta(days=3) - timedelta(microseconds=1)
    assert await recompute.follow_changes(database, CATALOGUE, clock) == 0
    clock.instant = NOW + timedelta(days=3)
    assert await recompute.follow_changes(database, CATALOGUE, clock) == 1
    assert await classes(owner) == {people[0].uscc: ("A", 0, [])}
    await check_exact(owner)
    assert await recompute.follow_changes(database, CATALOGUE, clock) == 0


async def test_every_kind_of_change_leaves_its_note(api: Api, owner: asyncpg.Connection[Any]) -> None:
    """A submission, a repair in all but name, an import's marks and a registrar's report all bring the class along."""
    answer = await api.submit()
    await adopt(api.database, api.clock)
    assert await runs.resume(api.database, CATALOGUE, api.clock) >= 1
    assert (await classes(owner))[COMPANY][0] == "B"
    tag = (await api.get(f"/v1/records/{answer.json()['id']}", Role.REGULATOR)).json()["version"]
    annulment = {
        "reason": "复议撤销",
        "basis": {
            "authority_name": "重庆市人民政府",
            "document_number": "渝府复〔2026〕1号",
            "decided_on": "2026-05-01",
            "kind": "reconsideration",
        },
    }
    path = f"/v1/records/{answer.json()['id']}/annulment"
    done = await api.call("POST", path, Role.SUBMITTER, {"If-Match": f'"v{tag}"'}, json=annulment)
    assert done.status_code == 200, done.text
    assert (await classes(owner))[COMPANY][0] == "B"
    assert await recompute.follow_changes(api.database, CATALOGUE, api.clock) == 1
    assert (await classes(owner))[COMPANY] == ("A", 0, [])
    body = {"name": "重庆测试有限公司", "registration_status": "revoked", "division": "500112", "industry": "C2610"}
    put = await api.call("PUT", f"/v1/entities/{COMPANY}", Role.REGISTRAR, json=body)
    assert put.status_code == 200, put.text
    assert await recompute.follow_changes(api.database, CATALOGUE, api.clock) == 1
    assert await owner.fetchval("SELECT division || industry || risk_class FROM entity_class") == "500112C26C"
    assert [row["risk_class"] for row in await owner.fetch("SELECT * FROM class_history ORDER BY id")] == [
        "B",
        "A",
        "C",
    ]
    await check_exact(owner)


async def test_no_note_is_lost_and_no_count_drifts(api: Api, owner: asyncpg.Connection[Any]) -> None:
    """Submitters, followers and a full run at once: in the end every class is that of the facts, every count exact."""
    codes = [compose("91", ("500103", "500112")[n % 2], f"MA9{n:05d}") for n in range(12)]
    await adopt(api.database, api.clock)
    chance = random.Random(7)
    done = asyncio.Event()

    async def submit(lane: int) -> None:
        for number in range(14):
            categories = chance.choice([["罚款"], ["警告"], ["吊销许可证件"]])
            facts = {"penalty_categories": categories, "suspended_or_revoked_licences": "许可证1号"}
            answer = await api.submit(uscc=chance.choice(codes), document_number=f"处罚{lane}-{number}号", facts=facts)
            assert answer.status_code == 201, answer.text

    async def follow() -> None:
        while not done.is_set():
            await recompute.follow_changes(api.database, CATALOGUE, api.clock)

    async def compute() -> None:
        while not done.is_set():
            run_id = await runs.start_full(api.database, Actor("worker", "w"), api.clock, chunk=3)
            await runs.work(api.database, CATALOGUE, api.clock, run_id, lanes=1)

    others = [asyncio.create_task(follow()), asyncio.create_task(compute())]
    try:
        await asyncio.gather(*(submit(lane) for lane in range(2)))
    finally:
        done.set()
        await asyncio.gather(*others)
    await recompute.follow_changes(api.database, CATALOGUE, api.clock)
    assert await owner.fetchval("SELECT count(*) FROM entity_change") == 0
    people = []
    async with api.database.transaction() as session:
        for code in {row["uscc"] for row in await owner.fetch("SELECT uscc FROM entity")}:
            facts = await store.facts_of(session, code)
            assert facts is not None
            people.append(facts)
    assert await classes(owner) == judged(people)
    assert len(people) > 5
    await check_exact(owner)


async def test_replay_in_two_times(api: Api, owner: asyncpg.Connection[Any]) -> None:
    """What the class was on a day by what was known then, with any rule set: a repair later changes neither."""
    answer = await api.submit()
    first, _ = await adopt(api.database, api.clock)
    stricter = SHIPPED | {"version": "2", "bands": {"B": 5, "C": 8, "D": 60}}
    api.clock.instant = NOW + timedelta(days=40)
    async with api.database.transaction() as session:
        from credit_service.records import life
        from credit_service.records.standing import Action

        record = await life.held(session, answer.json()["id"])
        await life.move(session, CATALOGUE, Actor("t", "t"), api.clock.now(), record, Action.REPAIR, reason="准予修复")
    second, _ = await adopt(api.database, api.clock, stricter)
    day = day_of(NOW + timedelta(days=20)).isoformat()

    async def asked(**query: str) -> dict[str, Any]:
        path = f"/v1/supervision/entities/{COMPANY}/class"
        found = await api.get(path, Role.REGULATOR, params=query)
        assert found.status_code == 200, found.text
        return dict(found.json())

    now = await asked()
    assert (now["risk_class"], now["left_out"][0]["reason"], now["rule_set"]["id"]) == ("A", "repaired", str(second))
    assert (await asked(rule_set=str(first), as_of=day))["risk_class"] == "B"
    assert (await asked(rule_set=str(second), as_of=day))["risk_class"] == "C"
    assert (await asked(rule_set=str(second), known_at=day))["risk_class"] == "C"
    assert (await asked(rule_set=str(first)))["risk_class"] == "A"
    why = await asked(rule_set=str(first), as_of=day)
    assert [each["rule"] for each in why["contributions"]] == ["penalty-general"]
    assert why["outlook"]["together"] == [answer.json()["id"]]
