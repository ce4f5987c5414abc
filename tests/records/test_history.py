"""Two times: whatever happened to a record, as_of and known_at answer as a replay of its audit events would."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import asyncpg
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credit_service.accounts.rules import Role
from credit_service.identity.uscc import compose
from credit_service.platform.context import Actor
from credit_service.records import life
from credit_service.records.standing import Action
from tests.api import CATALOGUE, COMPANY, NOTICES, Api
from tests.conftest import NOW
from tests.records.test_life import ANNULMENT, SHIELDING, UNSHIELDING, act

SHANGHAI = timedelta(hours=8)
COMPANIES = (compose("91", "500103", f"MA9{number:05d}") for number in count())
STEPS = ("notices", "correct", "shielding", "unshielding", "repair", "withdrawal", "annulment")


@dataclass
class Replayed:
    """What the audit events of one record say of it as of a time: the oracle, which knows nothing of the SQL."""

    events: list[dict[str, Any]]
    stop: datetime

    def at(self, as_of: datetime, known_at: datetime) -> tuple[str, bool] | None:
        known = [e for e in self.events if datetime.fromisoformat(e["occurred_at"]) <= known_at]
        begun = [e for e in known if datetime.fromisoformat(e["occurred_at"]) <= as_of]
        if not begun:
            return None
        for event in known:
            if event["action"] in ("record.annul", "record.withdraw"):
                return ("annulled" if event["action"] == "record.annul" else "withdrawn"), False
        state = "awaiting-notice"
        for event in begun:
            match event["action"]:
                case "record.notice-served" | "record.unshield":
                    state = "published"
                case "record.shield":
                    state = "shielded"
                case "record.repair":
                    state = "repaired"
        return state, state == "published" and as_of < self.stop


async def walk(api: Api, company: str, steps: list[tuple[str, int]]) -> str:
    """Submit a penalty without proof of notice and take the steps, each some hours after the one before."""
    stored = await api.submit(uscc=company, notices=NOTICES[:1])
    assert stored.status_code == 201, stored.text
    record_id: str = stored.json()["id"]
    for step, hours in steps:
        api.clock.instant += timedelta(hours=hours)
        match step:
            case "notices":
                await act(api, record_id, step, {"notices": NOTICES[1:]})
            case "correct":
                await api.submit(uscc=company, notices=[], facts={"fine_amount": f"{hours}.00"})
            case "shielding":
                await act(api, record_id, step, SHIELDING)
            case "unshielding":
                await act(api, record_id, step, UNSHIELDING)
            case "withdrawal":
                await act(api, record_id, step, {"reason": "重复报送"})
            case "annulment":
                await act(api, record_id, step, ANNULMENT)
            case "repair":
                await _repair(api, record_id)
    return record_id


async def _repair(api: Api, record_id: str) -> None:
    from uuid import UUID

    from credit_service.platform.errors import Problem
    from credit_service.records import store

    try:
        async with api.database.transaction() as session:
            record = await store.by_id_locked(session, UUID(record_id))
            assert record is not None
            await life.move(
                session, CATALOGUE, Actor("t", "t"), api.clock.instant, record, Action.REPAIR, reason="准予修复"
            )
    except Problem as problem:
        assert problem.type.slug == "illegal-transition"


@given(
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 20 * 24)), max_size=6),
    times=st.lists(st.tuples(st.integers(-24, 130 * 24), st.integers(-24, 130 * 24)), min_size=3, max_size=6),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_as_of_and_known_at_equal_a_replay_of_the_audit_events(
    api: Api, owner: asyncpg.Connection, steps: list[tuple[str, int]], times: list[tuple[int, int]]
) -> None:
    api.clock.instant = NOW
    company = next(COMPANIES)
    record_id = await walk(api, company, steps)
    now = api.clock.instant
    rows = await owner.fetch(
        "SELECT canonical FROM audit_event WHERE uscc = $1 AND subject_type = 'record' ORDER BY id", company
    )
    # A fine of the ordinary procedure is general: one year from the finding of 2026-04-20, Shanghai midnight.
    replayed = Replayed([orjson.loads(row[0]) for row in rows], datetime(2027, 4, 20, tzinfo=UTC) - SHANGHAI)
    for as_of_hours, known_hours in times:
        as_of, known = (min(NOW + timedelta(hours=hours), now) for hours in (as_of_hours, known_hours))
        query = {"as_of": as_of.isoformat(), "known_at": known.isoformat()}
        expected = replayed.at(as_of, known)
        found = await api.get(f"/v1/records/{record_id}", Role.REGULATOR, params=query)
        if expected is None:
            assert found.status_code == 404
        else:
            assert (found.json()["state"], found.json()["visible_to_public"]) == expected
        profile = await api.get(f"/v1/entities/{company}", Role.REGULATOR, params=query)
        if known < NOW:
            assert profile.status_code == 404, "the entity was not known yet"
            continue
        held = [(record["state"], record["visible_to_public"]) for record in profile.json()["records"]]
        assert held == ([] if expected is None else [expected])
        await _the_past_is_no_way_around(api, company, record_id, query)


async def _the_past_is_no_way_around(api: Api, company: str, record_id: str, query: dict[str, str]) -> None:
    """What may not be shown now is not shown as of any day, to the public and to agencies."""
    for role in (Role.PUBLIC, Role.SUBMITTER):
        more: dict[str, Any] = {} if role is Role.PUBLIC else {"agency": OTHER}
        now = (await api.get(f"/v1/entities/{company}", role, **more)).json()["records"]
        then = (await api.get(f"/v1/entities/{company}", role, params=query, **more)).json()["records"]
        pages = (await api.get(f"/v1/entities/{company}/records", role, params=query, **more)).json()["records"]
        ids = [record["id"] for record in then]
        assert ids == [record["id"] for record in pages]
        assert set(ids) <= {record["id"] for record in now}


OTHER = compose("11", "310115", "00245931")


async def test_a_corrections_content_holds_from_the_beginning_but_only_once_known(api: Api) -> None:
    record_id = (await api.submit()).json()["id"]
    api.clock.instant += timedelta(days=3)
    await api.submit(facts={"fine_amount": "9.00"})

    async def fine(**query: str) -> str:
        answer = await api.get(f"/v1/records/{record_id}", Role.REGULATOR, params=query)
        return str(answer.json()["facts"]["fine_amount"])

    assert await fine() == await fine(as_of="2026-05-06") == "9.00"
    assert await fine(as_of="2026-05-06", known_at="2026-05-07") == await fine(known_at="2026-05-08") == "12000.00"


async def test_an_entitys_names_and_status_as_they_were_known(api: Api) -> None:
    path = f"/v1/entities/{COMPANY}"
    await api.call("PUT", path, Role.REGISTRAR, json={"name": "旧名有限公司"})
    api.clock.instant += timedelta(days=2)
    changed = {"name": "新名有限公司", "registration_status": "revoked"}
    await api.call("PUT", path, Role.REGISTRAR, {"If-Match": "*"}, json=changed)
    then = (await api.get(path, params={"known_at": "2026-05-06"})).json()
    now = (await api.get(path, params={"as_of": "2026-05-06"})).json()
    assert (then["name"], then["registration_status"], then["former_names"]) == ("旧名有限公司", "active", [])
    assert (now["name"], now["registration_status"]) == ("新名有限公司", "revoked")
    assert [name["name"] for name in now["former_names"]] == ["旧名有限公司"]
    present = (await api.get(path)).json()
    assert {key: value for key, value in present.items() if key != "records"} == {
        key: value for key, value in now.items() if key != "records"
    }


async def test_a_list_as_of_a_day(api: Api) -> None:
    from tests.api import CONSENT
    from tests.records.test_life import LISTING, REMOVAL, removed

    record_id = (await api.submit(**LISTING)).json()["id"]
    api.clock.instant += timedelta(days=2)
    assert (await removed(api, record_id, REMOVAL | {"consent": CONSENT})).status_code == 200
    path = "/v1/lists/serious-dishonesty-market-regulation/entries"

    async def listed(role: Role, **query: str) -> list[tuple[str, bool]]:
        page = (await api.get(path, role, params=query)).json()
        return [(record["id"], record["visible_to_public"]) for record in page["records"]]

    assert await listed(Role.REGULATOR, as_of="2026-05-06") == [(record_id, True)]
    assert await listed(Role.REGULATOR, as_of="2026-05-08") == [(record_id, False)]
    assert await listed(Role.REGULATOR, as_of="2026-05-06", division="31") == []
    assert await listed(Role.REGULATOR, as_of="2026-05-05") == []
    assert (await api.get(path, params={"as_of": "2026-05-06"})).json()["records"] == [], "no longer for the public"


@pytest.mark.parametrize(
    "query",
    [
        {"as_of": "2026-05-07"},
        {"known_at": "2026-05-07"},
        {"as_of": "2026-05-06T10:00:01+08:00"},
        {"as_of": "2026-05-06T10:00:00"},
        {"as_of": "2026-02-30"},
        {"as_of": "yesterday"},
        {"as_of": ""},
        {"known_at": "9999-12-31T23:59:59-23:59"},
    ],
)
async def test_times_that_cannot_be_asked_for(api: Api, query: dict[str, str]) -> None:
    await api.submit()
    for path in (f"/v1/entities/{COMPANY}", f"/v1/entities/{COMPANY}/records"):
        answer = await api.get(path, params=query)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"] == f"query:{next(iter(query))}"


async def test_a_day_is_its_end_in_shanghai(api: Api) -> None:
    await api.submit()
    api.clock.instant += timedelta(days=500)
    last = date(2027, 4, 19)
    path = f"/v1/entities/{COMPANY}"
    for day, visible in ((last, True), (last + timedelta(days=1), False), (date(2026, 5, 6), True)):
        records = (await api.get(path, Role.REGULATOR, params={"as_of": day.isoformat()})).json()["records"]
        assert [record["visible_to_public"] for record in records] == [visible], day
