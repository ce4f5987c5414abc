"""Use cases of inspections up to the draw: pool, plan, commit, draw. Each runs in the caller's transaction."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from credit_service.accounts import commands as accounts
from credit_service.audit import events
from credit_service.audit.events import canonical_json
from credit_service.identity.uscc import Uscc
from credit_service.platform.context import Actor
from credit_service.platform.database import driver_connection
from credit_service.platform.days import day_of, rfc3339
from credit_service.platform.errors import CONFLICT, NOT_FOUND, FieldError, Problem
from credit_service.supervision.classes.commands import check_version, jurisdiction_of
from credit_service.supervision.inspections import rules, store
from credit_service.supervision.inspections.contract import (
    Beacon,
    ConflictWrite,
    InspectorWrite,
    ItemWrite,
    PlanWrite,
)
from credit_service.supervision.inspections.models import (
    InspectionDraw,
    InspectionItem,
    InspectionPlan,
    Inspector,
    InspectorConflict,
)
from credit_service.supervision.inspections.rules import DRAW_REFUSED, PLAN_REFUSED, PLAN_STATE

_INSPECTION = ("uscc", "id", "plan_id", "year", "handle", "inspectors", "state", "version", "drawn_at")


def note(
    session: AsyncSession, actor: Actor, now: datetime, action: str, subject: str, after: bytes | None = None
) -> None:
    agency = actor.agency_uscc
    assert agency is not None
    kind = action.split(".", maxsplit=1)[0]
    event = events.new_event(actor, now, action, uscc=agency, subject_type=kind, subject_id=subject, after=after)
    events.append(session, [event])


def agency_of(actor: Actor) -> str:
    if actor.agency_uscc is None:
        raise Problem(NOT_FOUND)
    return actor.agency_uscc


async def add_item(session: AsyncSession, actor: Actor, now: datetime, body: ItemWrite) -> InspectionItem:
    """Raises ``CONFLICT``: the code is taken."""
    if body.code in {item.code for item in await store.items(session, agency_of(actor))}:
        raise Problem(CONFLICT, errors=[FieldError("/code", "not used yet")])
    item = InspectionItem(agency_uscc=agency_of(actor), created_at=now, **body.model_dump())
    session.add(item)
    note(session, actor, now, "inspection-item.added", item.code)
    return item


async def add_inspector(session: AsyncSession, actor: Actor, now: datetime, body: InspectorWrite) -> Inspector:
    """Raises ``CONFLICT``: the staff number is taken."""
    if body.staff_number in {each.staff_number for each in await store.inspectors(session, [agency_of(actor)])}:
        raise Problem(CONFLICT, errors=[FieldError("/staff_number", "not used yet")])
    found = Inspector(id=uuid7(), agency_uscc=agency_of(actor), created_at=now, **body.model_dump())
    session.add(found)
    note(session, actor, now, "inspector.added", str(found.id))
    return found


async def retire_inspector(session: AsyncSession, actor: Actor, now: datetime, inspector_id: UUID) -> Inspector:
    """Take an officer out of the pool; draws already committed to keep theirs. Raises ``NOT_FOUND``."""
    found = await store.inspector(session, agency_of(actor), inspector_id)
    if found is None:
        raise Problem(NOT_FOUND)
    found.active = False
    note(session, actor, now, "inspector.retired", str(found.id))
    return found


async def add_conflict(
    session: AsyncSession, actor: Actor, now: datetime, inspector_id: UUID, body: ConflictWrite
) -> None:
    """Note whom an officer must not inspect. Raises ``NOT_FOUND`` and ``USCC_INVALID``."""
    if await store.inspector(session, agency_of(actor), inspector_id) is None:
        raise Problem(NOT_FOUND)
    uscc = Uscc.parse(body.uscc, pointer="/uscc", admit_bad_check_digit=True).value
    await session.merge(InspectorConflict(uscc=uscc, inspector_id=inspector_id, reason=body.reason, created_at=now))
    note(session, actor, now, "inspector.conflict-noted", str(inspector_id))


async def add_plan(session: AsyncSession, actor: Actor, now: datetime, body: PlanWrite) -> InspectionPlan:
    """Keep a plan as a draft, for a division or else all that the agency answers for.

    Raises ``PLAN_REFUSED`` with a pointer for each fault.
    """
    quotas: dict[str, Any] = {name: quota.model_dump() for name, quota in body.quotas.items()}
    errors = rules.check_quotas(quotas, body.class_a_reason)
    if body.year < day_of(now).year:
        errors.append(FieldError("/year", "not past"))
    jurisdiction = await jurisdiction_of(session, actor)
    division = body.division or jurisdiction
    if not division.startswith(jurisdiction):
        errors.append(FieldError("/division", f"within {jurisdiction}"))
    participants = [await _participant(session, code, index) for index, code in enumerate(body.participants)]
    known = {item.code for each in (agency_of(actor), *participants) for item in await store.items(session, each)}
    errors += [
        FieldError(f"/items/{index}", "of the agencies' lists")
        for index, code in enumerate(body.items)
        if code not in known
    ]
    if errors:
        raise Problem(PLAN_REFUSED, errors=errors)
    plan = InspectionPlan(
        id=uuid7(),
        agency_uscc=agency_of(actor),
        state="draft",
        created_by=actor.id,
        created_at=now,
        **body.model_dump(exclude={"division", "quotas", "participants"}),
        division=division,
        participants=participants,
        quotas=quotas,
    )
    session.add(plan)
    note(session, actor, now, "inspection-plan.added", str(plan.id))
    return plan


async def _participant(session: AsyncSession, code: str, index: int) -> str:
    agency = await accounts.load_agency(session, Uscc.parse(code, pointer=f"/participants/{index}").value)
    if agency is None:
        raise Problem(PLAN_REFUSED, errors=[FieldError(f"/participants/{index}", "a known agency")])
    return agency.uscc


async def _held(session: AsyncSession, actor: Actor, plan_id: UUID, state: str, if_match: str | None) -> InspectionPlan:
    plan = await store.plan(session, plan_id, lock=True)
    if plan is None or plan.agency_uscc != agency_of(actor):
        raise Problem(NOT_FOUND)
    check_version(plan.version, if_match)
    if plan.state != state:
        raise Problem(PLAN_STATE, extra={"state": plan.state})
    return plan


async def commit(
    session: AsyncSession, actor: Actor, now: datetime, plan_id: UUID, beacon: Beacon, if_match: str | None
) -> tuple[InspectionPlan, InspectionDraw]:
    """Fix plan, lists and a new secret, and publish their digests, before the public value is known.

    Raises ``NOT_FOUND``, ``PLAN_STATE``, ``DRAW_REFUSED`` and the precondition problems.
    """
    plan = await _held(session, actor, plan_id, "draft", if_match)
    if beacon.due_at <= now:
        raise Problem(DRAW_REFUSED, errors=[FieldError("/beacon/due_at", "later than the commitment")])
    _check_year(plan, beacon.due_at, "/beacon/due_at")
    pool = await _pool_of(session, plan)
    strata = await _strata(session, plan)
    conflicts = await store.conflicts(session, pool)
    _check_teams(plan, strata, pool, conflicts)
    secret, key = os.urandom(32), os.urandom(32)
    handles = {uscc: rules.handle_of(key, uscc) for stratum in strata for uscc in stratum["entities"]}
    for stratum in strata:
        stratum["entities"].sort(key=handles.__getitem__)  # both lists in one order: the nth handle is the nth entity
    material = _material(plan, strata, pool, conflicts, handles, key)
    openings = canonical_json({"inspectors": [str(each) for each in pool], "key": key.hex(), "strata": strata})
    named = {"due_at": rfc3339(beacon.due_at), "round": beacon.round, "source": beacon.source}
    commitment = rules.commitment_of(material, openings, secret, named, rfc3339(now))
    draw = InspectionDraw(
        plan_id=plan.id,
        secret=secret,
        material=material,
        openings=openings,
        commitment=commitment,
        committed_by=actor.id,
        committed_at=now,
    )
    session.add(draw)
    plan.state, plan.version = "committed", plan.version + 1
    note(session, actor, now, "inspection-draw.committed", str(plan.id), bytes.fromhex(commitment["digest"]))
    return plan, draw


def _check_year(plan: InspectionPlan, moment: datetime, pointer: str) -> None:
    """A visit counts for the year of its plan, so it is drawn in that year: no plan borrows from another year."""
    if day_of(moment).year != plan.year:
        raise Problem(DRAW_REFUSED, errors=[FieldError(pointer, f"in {plan.year}, the year of the plan")])


def _check_teams(
    plan: InspectionPlan,
    strata: Sequence[Mapping[str, Any]],
    pool: Sequence[UUID],
    conflicts: Sequence[InspectorConflict],
) -> None:
    """Whoever is drawn finds a team: once the lists are fixed it would be too late to see that somebody cannot."""
    barred = Counter(each.uscc for each in conflicts)
    if any(len(pool) - barred[uscc] < plan.inspectors_each for stratum in strata for uscc in stratum["entities"]):
        raise Problem(DRAW_REFUSED, errors=[FieldError("", "enough inspectors without a conflict for every entity")])


async def _pool_of(session: AsyncSession, plan: InspectionPlan) -> list[UUID]:
    wanted = set(plan.items)
    found = await store.inspectors(session, [plan.agency_uscc, *plan.participants])
    pool = [each.id for each in found if each.active and (not each.items or wanted & set(each.items))]
    if len(pool) < plan.inspectors_each:
        raise Problem(DRAW_REFUSED, errors=[FieldError("", f"at least {plan.inspectors_each} inspectors")])
    return pool


async def _strata(session: AsyncSession, plan: InspectionPlan) -> list[dict[str, Any]]:
    quotas: Mapping[str, Mapping[str, Any]] = plan.quotas
    classes = [each for each in rules.CLASSES if each in quotas and float(quotas[each]["ratio"]) > 0]
    await session.flush()
    rows = await store.candidates(await driver_connection(session), plan, classes)
    eligible = [
        (row["uscc"], row["risk_class"])
        for row in rows
        if not rules.is_used_up(row["visits"], quotas[row["risk_class"]])
    ]
    if not eligible:
        raise Problem(DRAW_REFUSED, errors=[FieldError("", "an entity in scope that may be drawn")])
    return rules.strata_of(eligible, quotas)


def _material(
    plan: InspectionPlan,
    strata: Sequence[Mapping[str, Any]],
    pool: Sequence[UUID],
    conflicts: Sequence[InspectorConflict],
    handles: Mapping[str, str],
    key: bytes,
) -> bytes:
    """The lists as they are published: opaque handles only, since who is in which stratum tells a class."""
    pairs = [
        [handles[each.uscc], rules.handle_of(key, str(each.inspector_id))] for each in conflicts if each.uscc in handles
    ]
    return canonical_json(
        {
            "conflicts": sorted(pairs),
            "inspectors": sorted(rules.handle_of(key, str(each)) for each in pool),
            "inspectors_each": plan.inspectors_each,
            "plan": {
                "agency_uscc": plan.agency_uscc,
                "division": plan.division,
                "id": str(plan.id),
                "industry": plan.industry,
                "items": plan.items,
                "participants": plan.participants,
                "title": plan.title,
                "year": plan.year,
            },
            "strata": [
                {
                    "entities": [handles[uscc] for uscc in stratum["entities"]],
                    "label": stratum["label"],
                    "quota": stratum["quota"],
                }
                for stratum in strata
            ],
        }
    )


async def draw(
    session: AsyncSession, actor: Actor, now: datetime, plan_id: UUID, public_value: str, if_match: str | None
) -> tuple[InspectionPlan, InspectionDraw]:
    """Draw with the public value that has become known, and enter an inspection for each entity drawn.

    Draws wait for each other: whoever has meanwhile been drawn as often as the plan allows is left out, and the next in
    rank takes the place. Raises ``NOT_FOUND``, ``PLAN_STATE``, ``DRAW_REFUSED`` and the precondition problems.
    """
    await session.flush()
    connection = await driver_connection(session)
    await store.lock_draws(connection)
    plan = await _held(session, actor, plan_id, "committed", if_match)
    found = await store.draw(session, plan_id)
    assert found is not None
    if now < datetime.fromisoformat(found.commitment["beacon"]["due_at"]):
        raise Problem(DRAW_REFUSED, errors=[FieldError("/public_value", "known by now", "the beacon is not due yet")])
    _check_year(plan, now, "")
    material, openings = orjson.loads(found.material), orjson.loads(found.openings)
    key = bytes.fromhex(openings["key"])
    visits = await store.visits(connection, plan.year)
    entities = {
        handle: uscc
        for listed, opened in zip(material["strata"], openings["strata"], strict=True)
        for handle, uscc in zip(listed["entities"], opened["entities"], strict=True)
    }
    limits = {uscc: stratum for stratum in openings["strata"] for uscc in stratum["entities"] if uscc in visits}
    excluded = sorted(rules.handle_of(key, uscc) for uscc, own in limits.items() if rules.is_used_up(visits[uscc], own))
    drawn = rules.draw(material, found.secret, public_value, excluded)
    officers = {rules.handle_of(key, each): each for each in openings["inspectors"]}
    rows = [
        (
            *(entities[each["entity"]], uuid7(), plan.id, plan.year, each["entity"]),
            *([officers[handle] for handle in each["inspectors"]], "assigned", 1, now),
        )
        for each in drawn
    ]
    await connection.copy_records_to_table("inspection", records=rows, columns=_INSPECTION)
    found.reveal = {
        "entered_at": rfc3339(now),
        "excluded": excluded,
        "public_value": public_value,
        "secret": found.secret.hex(),
    }
    found.drawn, found.drawn_at = canonical_json(drawn), now
    plan.state, plan.version = "drawn", plan.version + 1
    note(session, actor, now, "inspection-draw.drawn", str(plan.id), events.commitment(b"", found.drawn))
    return plan, found


def sizes(draw: InspectionDraw) -> tuple[list[tuple[int, int]], int]:
    """Size and quota of each stratum, and how many inspectors there are."""
    material = orjson.loads(draw.material)
    strata = [(len(stratum["entities"]), stratum["quota"]) for stratum in material["strata"]]
    return strata, len(material["inspectors"])


def outcome(draw: InspectionDraw) -> dict[str, int]:
    """How many were drawn, and how many were left out because their year is used up."""
    assert draw.drawn is not None
    assert draw.reveal is not None
    return {"drawn": len(orjson.loads(draw.drawn)), "excluded": len(draw.reveal["excluded"])}
