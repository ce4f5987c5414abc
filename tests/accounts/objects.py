"""One real object of each kind, owned by AGENCY or about COMPANY, for the tests of who reaches what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from pydantic import TypeAdapter

from credit_service.accounts.rules import Role
from credit_service.evidence import rules as evidence
from credit_service.identity.uscc import compose
from credit_service.notifications.commands import Recipient
from credit_service.notifications.rules import Channel
from credit_service.records import life, store
from credit_service.records.standing import Action
from credit_service.supervision.classes import commands as classes
from credit_service.supervision.classes import runs
from tests.api import AGENCY, CATALOGUE, COMPANY, Api, penalty
from tests.conftest import NOW
from tests.evidence.files import REAL
from tests.measures.test_measures import apply
from tests.notifications.support import Office, case_of, settings_for
from tests.records.imports.conftest import ATTESTED
from tests.records.imports.files import csv_file
from tests.records.imports.files import penalty as row_of
from tests.records.test_proceedings import NOTICE, opened, step
from tests.supervision.classes.support import PROPOSER, SHIPPED, adopt, enter
from tests.supervision.inspections.test_inspections import ITEM, PEOPLE, assigned, call, committed, drawn
from tests.supervision.screening.listings import listing
from tests.supervision.watchlists.test_watchlists import watching
from tests.workflows.support import COMMITMENT, PROOF

BELOW = compose("11", "500103", "00777009")
UNKNOWN_ID = "01890000-0000-7000-8000-000000000000"
UNKNOWN_COMPANY = compose("91", "500103", "MA000099")
FILE = {"Content-Type": evidence.PDF, "Content-Disposition": "attachment; filename=proof.pdf"}


@dataclass
class World:
    """The service with what the tests need; objects are made when they are first asked for."""

    api: Api
    owner: asyncpg.Connection[Any]
    folder: Path
    made: dict[tuple[str, Role], str] = field(default_factory=dict)
    number: int = 0
    entry: str = ""

    async def path(self, template: str, role: Role) -> str:
        """The path of the object of this kind that a caller of this role owns."""
        if (template, role) not in self.made:
            self.made[template, role] = await OBJECTS[template](self, role)
        return self.made[template, role]

    async def post(self, path: str, role: Role, body: dict[str, Any] | None = None, **more: Any) -> httpx.Response:
        answer = await self.api.call("POST", path, role, **({"json": body} if body is not None else {}), **more)
        assert answer.status_code in (200, 201), (path, answer.text)
        return answer

    async def record(self) -> str:
        self.number += 1
        answer = await self.api.submit(decided_on="2026-01-20", document_number=f"渝中罚{self.number}号")
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def listed(self) -> str:
        """A standing entry of a list that nothing here changes, for bodies that name a record."""
        if not self.entry:
            self.entry = await listing(self.api)
        return self.entry

    def office(self) -> Office:
        return Office(self.api.database, self.api.clock, settings_for(self.folder))


def _recipient(role: Role) -> Recipient:
    return Recipient.entity(COMPANY) if role is Role.SUBJECT else Recipient.agency(AGENCY)


async def record(world: World, role: Role) -> str:
    return f"/v1/records/{await world.record()}"


async def proceeding(world: World, role: Role) -> str:
    place = await opened(world.api)
    assert (await step(world.api, place, "notice", NOTICE)).status_code == 200
    return place


async def repair(world: World, role: Role) -> str:
    body = {"record_ids": [await world.record()], "materials": [PROOF], "commitment": COMMITMENT}
    return f"/v1/repairs/{(await world.post('/v1/repairs', Role.SUBJECT, body)).json()['cases'][0]['id']}"


async def objection(world: World, role: Role) -> str:
    body = {"record_id": await world.record(), "ground": "content-wrong", "reason": "罚款金额登记有误"}
    return str((await world.post("/v1/objections", Role.SUBJECT, body)).headers["location"])


def attachment(of: str) -> Factory:
    async def make(world: World, role: Role) -> str:
        path = f"{await world.path(of, role)}/attachments"
        added = await world.post(path, Role.SUBJECT, content=REAL[evidence.PDF], headers=FILE)
        return str(added.headers["location"])

    return make


async def propagation(world: World, role: Role) -> str:
    """What AGENCY, which runs Credit China here, has to carry out."""
    record_id = UUID(await world.record())
    async with world.api.database.transaction() as session:
        row = await store.by_id_locked(session, record_id)
        assert row is not None
        await life.move(session, CATALOGUE, PROPOSER, world.api.clock.now(), row, Action.REPAIR, reason="修复")
    query = "SELECT id FROM propagation WHERE record_id = $1 AND receiver_type = 'credit-china'"
    return f"/v1/propagations/{await world.owner.fetchval(query, record_id)}"


async def import_of(world: World, role: Role) -> str:
    headers, content = {"Idempotency-Key": role.value}, csv_file([row_of(1)])
    made = await world.post("/v1/imports", role, content=content, headers=headers, params=ATTESTED)
    return f"/v1/imports/{made.json()['id']}"


async def received(world: World, role: Role) -> str:
    notification = await world.office().owe(case_of(), role.value, recipient=_recipient(role))
    return f"/v1/inbox/{notification.id}"


async def owed(world: World, role: Role) -> str:
    return f"/v1/notifications/{(await world.office().owe(case_of(), 'owed')).id}"


async def contact(world: World, role: Role) -> str:
    made = await world.office().contact(
        Channel.EMAIL, f"{role.value}@a.example", owner=_recipient(role), verified=False
    )
    return f"/v1/contacts/{made}"


async def measure(world: World, role: Role) -> str:
    world.number += 1
    taken = await apply(world.api, await listing(world.api, document_number=f"列入{world.number}号"))
    assert taken.status_code == 201, taken.text
    return f"/v1/measures/applications/{taken.json()['id']}"


async def watchlist(world: World, role: Role) -> str:
    await world.path("/v1/records/{record_id}", Role.SUBMITTER)  # which makes the entity known
    return f"/v1/watchlists/{await watching(world.api, COMPANY, role=role)}"


async def rule_set(world: World, role: Role) -> str:
    async with world.api.database.transaction() as session:
        row = await classes.propose(session, CATALOGUE, PROPOSER, world.api.clock.now(), SHIPPED | {"version": "own"})
    return f"/v1/supervision/rule-sets/{row.id}"


async def inspector(world: World, role: Role) -> str:
    body = {"staff_number": "ZF-own", "name": "王执法", "items": []}
    made = await call(world.api, "POST", "/v1/inspections/inspectors", json=body)
    return f"/v1/inspections/inspectors/{made.json()['id']}"


async def plan(world: World, role: Role) -> str:
    """A plan of AGENCY, committed to and drawn."""
    api = world.api
    await enter(world.owner, PEOPLE)
    await adopt(api.database, api.clock)
    await runs.resume(api.database, CATALOGUE, api.clock)
    await call(api, "POST", "/v1/inspections/items", json=ITEM)
    for number in range(3):
        body = {"staff_number": f"ZF-{number}", "name": "王执法", "items": [ITEM["code"]]}
        await call(api, "POST", "/v1/inspections/inspectors", json=body)
    made = await committed(api)
    api.clock.instant = NOW + timedelta(days=1, hours=1)
    assert (await drawn(api, made)).status_code == 200
    return f"/v1/inspections/plans/{made}"


async def draw(world: World, role: Role) -> str:
    return (await world.path("/v1/inspections/plans/{plan_id}", role)).replace("/plans/", "/draws/")


async def inspection(world: World, role: Role) -> str:
    of = await world.path("/v1/inspections/plans/{plan_id}", role)
    return f"/v1/inspections/{(await assigned(world.api, of.rsplit('/', 1)[1]))[0]['id']}"


async def entity(world: World, role: Role) -> str:
    await world.path("/v1/records/{record_id}", Role.SUBMITTER)
    return f"/v1/entities/{COMPANY}"


async def anomaly(world: World, role: Role) -> str:
    body = {"name": "渝中区下属单位", "division": "500103", "level": "district", "parent_uscc": AGENCY}
    assert (await world.api.call("PUT", f"/v1/agencies/{BELOW}", Role.ADMINISTRATOR, json=body)).status_code == 201
    columns = "agency_uscc, day, kind, accesses, subjects, outside, found_at"
    values = "$1, '2026-05-06', 'over-quota', 9, 9, 0, $2"
    await world.owner.execute(f"INSERT INTO access_anomaly ({columns}) VALUES ({values})", BELOW, NOW)
    return f"/v1/accesses/anomalies/{BELOW}/2026-05-06/over-quota"


Factory = Callable[[World, Role], Awaitable[str]]

OBJECTS: Mapping[str, Factory] = {
    "/v1/records/{record_id}": record,
    "/v1/proceedings/{proceeding_id}": proceeding,
    "/v1/repairs/{case_id}": repair,
    "/v1/repairs/{case_id}/attachments/{attachment_id}": attachment("/v1/repairs/{case_id}"),
    "/v1/objections/{case_id}": objection,
    "/v1/objections/{case_id}/attachments/{attachment_id}": attachment("/v1/objections/{case_id}"),
    "/v1/propagations/{propagation_id}": propagation,
    "/v1/imports/{import_id}": import_of,
    "/v1/inbox/{notification_id}": received,
    "/v1/notifications/{notification_id}": owed,
    "/v1/contacts/{contact_id}": contact,
    "/v1/measures/applications/{application_id}": measure,
    "/v1/watchlists/{watchlist_id}": watchlist,
    "/v1/supervision/rule-sets/{rule_set_id}": rule_set,
    "/v1/inspections/inspectors/{inspector_id}": inspector,
    "/v1/inspections/plans/{plan_id}": plan,
    "/v1/inspections/draws/{plan_id}": draw,
    "/v1/inspections/{inspection_id}": inspection,
    "/v1/entities/{uscc}": entity,
    "/v1/accesses/anomalies/{agency_uscc}/{day}/{kind}": anomaly,
}
"""By the part of a route's path that names the object."""

UNKNOWN = {"uscc": UNKNOWN_COMPANY, "agency_uscc": UNKNOWN_COMPANY, "day": "2026-05-06", "kind": "over-quota"}
"""What was never given out; every other parameter is an id."""


def template_of(path: str) -> str:
    """The longest object of the table that a route's path begins with. A path that names another fails the test."""
    found = max((each for each in OBJECTS if f"{path}/".startswith(f"{each}/")), key=len, default="")
    complete = bool(found) and "{" not in path[len(found) :]
    assert complete, f"no object for {path}: add how to make one to OBJECTS"
    return found


def body_for(model: Any, record_id: str) -> Any:
    """A body that the contract takes: what is required, and little more. Ids and codes name what exists."""
    schema = TypeAdapter(model).json_schema()
    return _sample(schema, schema.get("$defs", {}), "", record_id)


def _sample(schema: dict[str, Any], known: dict[str, Any], name: str, record_id: str) -> Any:
    if "$ref" in schema:
        kind = schema["$ref"].rsplit("/", 1)[1]
        if kind == "RecordSubmission":
            return penalty()
        return _sample(known[kind], known, name, record_id)
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    match schema.get("type"):
        case "object":
            wanted = schema.get("required", [])
            return {each: _sample(schema["properties"][each], known, each, record_id) for each in wanted}
        case "array":
            return [_sample(schema["items"], known, name, record_id)]
        case "boolean":
            return False
        case "integer":
            return 1
        case "string":
            return _text(schema.get("format"), name, record_id)
    raise AssertionError(f"no sample for {name}: {schema}")


def _text(form: str | None, name: str, record_id: str) -> str:
    formats = {"uuid": record_id, "date": "2026-05-06", "date-time": (NOW + timedelta(days=9)).isoformat()}
    return formats.get(form or "", COMPANY if name == "uscc" else "如实说明情况")
