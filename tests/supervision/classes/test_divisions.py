"""A rule set for each authority's divisions: who may set it, whom it judges, and that nothing drifts between them."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_service.accounts.rules import Role
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database
from credit_service.platform.errors import Problem
from credit_service.supervision.classes import commands, documents, recompute, runs, store
from credit_service.supervision.classes.rules import NO_RULE_SET, Facts, chosen, evaluate
from tests.api import AGENCY, CATALOGUE, OTHER_AGENCY, Api
from tests.conftest import NOW
from tests.supervision.classes.support import (
    FIRST,
    PROVINCE,
    SECOND,
    SHIPPED,
    below_a_province,
    check_exact,
    company,
    enter,
    penalty_fact,
)
from tests.supervision.classes.test_routes import PATH, second, upload

STRICT = SHIPPED | {"name": "strict", "bands": {"B": 1, "C": 2, "D": 3}}
MILD = SHIPPED | {"name": "mild", "bands": {"B": 900, "C": 950, "D": 999}}
LIGHT = {"severity": "general"}

_codes = st.sampled_from(["500103", "500112", "500100", "510100", "110105"])


@given(_codes, st.sets(st.sampled_from(["", "50", "5001", "500103", "51", "5101", "11", "110105", "120000"])))
def test_the_longest_prefix_judges(division: str, prefixes: set[str]) -> None:
    found = chosen(division, prefixes)
    by_length = [division[:length] for length in (6, 4, 2, 0) if division[:length] in prefixes]
    assert found == (by_length[0] if by_length else None)


async def set_rules(
    database: Database, clock: FixedClock, division: str, document: dict[str, Any], version: str = "1"
) -> tuple[UUID, UUID]:
    """A rule set in force for a division by two people; gives it and its run, which is not worked on yet."""
    async with database.transaction() as session:
        document = document | {"version": version}
        row = await commands.propose(session, CATALOGUE, FIRST, clock.now(), document, division)
    async with database.transaction() as session:
        row, run = await commands.activate(session, SECOND, clock.now(), row.id, "*")
    return row.id, run.id


def people(size: int = 24) -> list[Facts]:
    """Companies in three divisions, every third without a record."""
    return [
        company(
            *(penalty_fact(**LIGHT) for _ in range(number % 3)),
            number=number,
            division=("500103", "500112", "110105")[number // 3 % 3],
        )
        for number in range(size)
    ]


async def of_divisions(owner: asyncpg.Connection[Any]) -> dict[str, set[UUID]]:
    rows = await owner.fetch("SELECT division, array_agg(DISTINCT rule_set_id) AS by FROM entity_class GROUP BY 1")
    return {row["division"]: set(row["by"]) for row in rows}


async def classes(owner: asyncpg.Connection[Any]) -> dict[str, tuple[str, UUID]]:
    rows = await owner.fetch("SELECT uscc, risk_class, rule_set_id FROM entity_class")
    return {row["uscc"]: (row["risk_class"], row["rule_set_id"]) for row in rows}


async def test_a_bureau_sets_its_own_rules(api: Api, owner: asyncpg.Connection[Any]) -> None:
    await below_a_province(api)
    await enter(owner, people())
    general = await _set_by(api, PROVINCE, SHIPPED)
    assert general.json()["rule_set"]["division"] == ""
    for asked in ("", "50", "500112", "310115"):
        refused = await api.call("POST", PATH, Role.REGULATOR, json={"document": STRICT, "division": asked})
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:credit-service:problem:outside-jurisdiction")
    made = await upload(api, STRICT)
    assert made.json()["division"] == "500103"
    path, tag = f"{PATH}/{made.json()['id']}/activation", {"If-Match": made.headers["etag"]}
    assert (await api.call("POST", path, Role.REGULATOR, tag)).json()["type"].endswith("four-eyes")
    for other in (PROVINCE, OTHER_AGENCY):
        assert (await api.call("POST", path, Role.REGULATOR, tag, agency=other)).status_code == 404
    done = await second(api, "POST", path, headers=tag)
    assert done.status_code == 200, done.text
    await runs.resume(api.database, CATALOGUE, api.clock)
    own, whole = UUID(made.json()["id"]), UUID(general.json()["rule_set"]["id"])
    assert await of_divisions(owner) == {"500103": {own}, "500112": {whole}, "110105": {whole}}
    await check_exact(owner)
    for uscc, (risk_class, used) in (await classes(owner)).items():
        why = (await api.get(f"/v1/supervision/entities/{uscc}/class", Role.REGULATOR)).json()
        assert (why["risk_class"], why["rule_set"]["id"]) == (risk_class, str(used))
        assert why["rule_set"]["division"] == ("500103" if used == own else "")
    events = await owner.fetch("SELECT uscc, reason FROM audit_event WHERE action = 'rule-set.activated' ORDER BY id")
    assert [row["uscc"] for row in events] == [PROVINCE, AGENCY]
    assert "500103" in events[1]["reason"]


async def test_a_bureau_returns_to_the_wider_rules(api: Api, owner: asyncpg.Connection[Any]) -> None:
    """What that would change is seen before; two people retire the bureau's own rule set; nobody keeps its class."""
    await below_a_province(api)
    crowd = people()
    await enter(owner, crowd)
    whole = (await _set_by(api, PROVINCE, SHIPPED)).json()["rule_set"]["id"]
    done = await _set_by(api, AGENCY, STRICT)
    own, seen = done.json()["rule_set"]["id"], {"If-Match": done.headers["etag"]}
    await runs.resume(api.database, CATALOGUE, api.clock)
    strict = await classes(owner)

    tried = await api.call("POST", f"{PATH}/{whole}/what-if", Role.REGULATOR, json={"division": "500103"})
    await runs.resume(api.database, CATALOGUE, api.clock)
    found = (await api.get(tried.headers["location"], Role.REGULATOR)).json()
    moves = (await api.get(f"{tried.headers['location']}/moves?limit=100", Role.REGULATOR)).json()["moves"]
    assert (found["baseline_id"], found["entities"]) == (own, sum(each.division == "500103" for each in crowd))

    path = f"{PATH}/{own}/retirement"
    unasked = await second(api, "POST", path, headers=seen)
    assert (unasked.status_code, unasked.json()["type"]) == (409, "urn:credit-service:problem:rule-set-not-in-force")
    assert (await api.call("POST", f"{path}-proposal", Role.REGULATOR)).status_code == 428
    asked = await api.call("POST", f"{path}-proposal", Role.REGULATOR, seen)
    assert (asked.status_code, asked.json()["state"]) == (200, "active"), asked.text
    now = {"If-Match": asked.headers["etag"]}
    assert (await api.call("POST", path, Role.REGULATOR, now)).json()["type"].endswith("four-eyes")
    assert (await second(api, "POST", path, headers=seen)).status_code == 412
    assert (await second(api, "POST", path, headers=now, agency=PROVINCE)).status_code == 404
    retired = await second(api, "POST", path, headers=now)
    assert (retired.status_code, retired.json()["rule_set"]["state"]) == (200, "retired"), retired.text
    assert (await second(api, "POST", path, headers={"If-Match": "*"})).status_code == 409
    await runs.resume(api.database, CATALOGUE, api.clock)

    mild = await classes(owner)
    assert {used for _, used in mild.values()} == {UUID(whole)}
    moved = {uscc: (strict[uscc][0], mild[uscc][0]) for uscc in strict if strict[uscc][0] != mild[uscc][0]}
    assert moved
    assert {each["uscc"]: (each["before"], each["after"]) for each in moves} == moved
    await check_exact(owner)
    everybodys = await api.call(
        "POST", f"{PATH}/{whole}/retirement-proposal", Role.REGULATOR, {"If-Match": "*"}, agency=PROVINCE
    )
    assert everybodys.json()["type"].endswith("rule-set-needed")
    noted = await owner.fetch("SELECT action FROM audit_event WHERE subject_id = $1 ORDER BY id", own)
    assert [row["action"].split(".")[1] for row in noted] == ["proposed", "activated", "retirement-proposed", "retired"]
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute("UPDATE rule_set SET retired_by = retirement_proposed_by WHERE retired_by IS NOT NULL")


async def _set_by(api: Api, agency: str, document: dict[str, Any]) -> httpx.Response:
    made = await upload(api, document, agency=agency)
    assert made.status_code == 201, made.text
    path = f"{PATH}/{made.json()['id']}/activation"
    return await second(api, "POST", path, headers={"If-Match": made.headers["etag"]}, agency=agency)


async def test_two_authorities_name_their_rule_sets_alike(api: Api) -> None:
    assert (await upload(api)).status_code == 201
    assert (await upload(api, agency=OTHER_AGENCY)).status_code == 201
    assert (await upload(api)).status_code == 409


async def test_rules_for_everybody_come_first(database: Database, clock: FixedClock) -> None:
    with pytest.raises(Problem) as caught:
        await set_rules(database, clock, "500103", STRICT)
    assert caught.value.type is NO_RULE_SET


async def test_a_what_if_is_about_those_the_draft_would_judge(api: Api, owner: asyncpg.Connection[Any]) -> None:
    crowd = people()
    await enter(owner, crowd)
    await set_rules(api.database, api.clock, "", MILD)
    await set_rules(api.database, api.clock, "500103", MILD, "2")
    await runs.resume(api.database, CATALOGUE, api.clock)
    guilty = {each.uscc for each in crowd if each.records}
    of_50 = {each.uscc for each in crowd if each.division == "500112"}
    for asked, division, moved in (
        ("", "", {each.uscc for each in crowd if each.division != "500103"}),
        ("50", "", of_50),
        ("50", "500112", of_50),
        ("50", "500103", set()),
        ("500103", "50", {each.uscc for each in crowd if each.division == "500103"}),
    ):
        async with api.database.transaction() as session:
            document = STRICT | {"version": f"draft-{asked}-{division}"}
            row = await commands.propose(session, CATALOGUE, FIRST, api.clock.now(), document, asked)
        path = f"{PATH}/{row.id}/what-if"
        started = await api.call("POST", path, Role.REGULATOR, json={"division": division})
        await runs.resume(api.database, CATALOGUE, api.clock)
        found = (await api.get(started.headers["location"], Role.REGULATOR)).json()
        assert found["entities"] == len(moved)
        moves = (await api.get(f"{started.headers['location']}/moves?limit=100", Role.REGULATOR)).json()["moves"]
        assert {each["uscc"] for each in moves} == moved & guilty
        assert {each["before"] for each in moves} <= {"A"}
        refused = await api.call("POST", path, Role.REGULATOR, json={"division": "31"})
        assert refused.status_code == (422 if asked else 202)
        await runs.resume(api.database, CATALOGUE, api.clock)


async def test_a_run_takes_the_place_of_those_within_it_only(database: Database, clock: FixedClock) -> None:
    async def state(run_id: UUID) -> str:
        async with database.transaction() as session:
            found = await store.run(session, run_id)
            assert found is not None
            return found.state

    _, whole = await set_rules(database, clock, "", SHIPPED)
    _, narrow = await set_rules(database, clock, "500103", STRICT)
    _, beside = await set_rules(database, clock, "11", STRICT, "2")
    _, wide = await set_rules(database, clock, "50", STRICT, "3")
    assert [await state(each) for each in (whole, narrow, beside, wide)] == ["open", "superseded", "open", "open"]
    _, again = await set_rules(database, clock, "", SHIPPED, "2")
    assert {await state(each) for each in (whole, beside, wide)} == {"superseded"}
    assert await state(again) == "open"


async def test_who_moves_is_judged_by_the_rules_of_the_new_place(
    database: Database, clock: FixedClock, owner: asyncpg.Connection[Any]
) -> None:
    mover = company(penalty_fact(**LIGHT))
    await enter(owner, [mover])
    mild, _ = await set_rules(database, clock, "", MILD)
    strict, _ = await set_rules(database, clock, "110105", STRICT)
    await runs.resume(database, CATALOGUE, clock)
    assert await classes(owner) == {mover.uscc: ("A", mild)}
    await owner.execute("UPDATE entity SET division = '110105'")
    await owner.execute("INSERT INTO entity_change VALUES ($1)", mover.uscc)
    assert await recompute.follow_changes(database, CATALOGUE, clock) == 1
    assert await classes(owner) == {mover.uscc: ("D", strict)}
    rows = await owner.fetch("SELECT division, risk_class, rule_set_id FROM class_history ORDER BY id")
    assert [tuple(row) for row in rows] == [("500103", "A", mild), ("110105", "D", strict)]
    await check_exact(owner)


async def test_nothing_drifts_between_several_rule_sets(
    database: Database, clock: FixedClock, owner: asyncpg.Connection[Any]
) -> None:
    """Authorities activate and retire, runs of all are worked on at once, entities move; all is exact in the end."""
    crowd = people(60)
    await enter(owner, crowd)
    await set_rules(database, clock, "", SHIPPED)
    chance = random.Random(11)
    places = ("500103", "500112", "110105")
    done = asyncio.Event()

    async def activate() -> None:
        for number in range(12):
            division = chance.choice(("", "50", "5001", "500103", "110105"))
            document = chance.choice((SHIPPED, STRICT, MILD))
            row, _ = await set_rules(database, clock, division, document, f"at-{number}")
            if division and number % 3 == 0:
                async with database.transaction() as session:
                    await commands.propose_retirement(session, FIRST, clock.now(), row, "*")
                async with database.transaction() as session:
                    await commands.retire(session, SECOND, clock.now(), row, "*")
            await asyncio.sleep(0)
        done.set()

    async def work() -> None:
        while not done.is_set():
            await runs.resume(database, CATALOGUE, clock)
            await asyncio.sleep(0)

    async def follow() -> None:
        while not done.is_set():
            codes = [each.uscc for each in chance.sample(crowd, 5)]
            async with database.transaction() as session:
                connection = await recompute.driver_connection(session)
                moved = "UPDATE entity SET division = $2 WHERE uscc = ANY($1::varchar[])"
                await connection.execute(moved, codes, chance.choice(places))
                noted = "INSERT INTO entity_change SELECT unnest($1::varchar[]) ON CONFLICT DO NOTHING"
                await connection.execute(noted, codes)
            clock.instant += timedelta(hours=1)
            await recompute.follow_changes(database, CATALOGUE, clock)

    async with asyncio.TaskGroup() as group:
        for task in (activate(), work(), work(), follow()):
            group.create_task(task)
    await runs.resume(database, CATALOGUE, clock)
    await recompute.follow_changes(database, CATALOGUE, clock)
    await check_exact(owner)
    async with database.transaction() as session:
        in_force = await store.in_force(session)
        now: dict[str, tuple[str, UUID]] = {}
        for each in crowd:
            facts = await store.facts_of(session, each.uscc)
            assert facts is not None
            row = in_force[chosen(facts.division, in_force) or ""]
            now[each.uscc] = evaluate(facts, documents.build(row.document, CATALOGUE), clock.now()).risk_class, row.id
    assert len(in_force) > 2
    assert await classes(owner) == now
    assert clock.now() > NOW
