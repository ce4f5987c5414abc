"""The demonstration data set: deterministic, synthetic, loaded by the same merge, audit and rendering as real data."""

from __future__ import annotations

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col
from uuid_utils.compat import uuid7

from credit_service.accounts import commands as accounts
from credit_service.accounts import tokens
from credit_service.accounts.keys import KeyStore
from credit_service.accounts.models import AgencyWrite, Client, ClientCreate, Grant
from credit_service.accounts.rules import Principal, Role
from credit_service.audit import events
from credit_service.catalogue.loader import configured
from credit_service.catalogue.models import Catalogue, Item
from credit_service.demo import supervision
from credit_service.demo.cases import open_cases
from credit_service.demo.population import DemoAgency, DemoEntity, agencies, entities
from credit_service.demo.records import drafts
from credit_service.demo.welcome import welcome
from credit_service.entities import profile
from credit_service.entities.commands import content_of
from credit_service.entities.models import Entity
from credit_service.entities.names import keys_of
from credit_service.platform.clock import Clock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database, driver_connection
from credit_service.platform.days import day_of, start_of
from credit_service.platform.settings import Settings
from credit_service.records import life
from credit_service.records.imports.judged import Judged
from credit_service.records.imports.merge import Merger
from credit_service.records.imports.staging import assessment_line, staged_line, standing_text
from credit_service.records.models import Record, State
from credit_service.records.rules import Draft, assess
from credit_service.records.standing import Action

TOKEN_SECONDS = 7 * 24 * 3600
ACTOR = Actor("demo", "demo-data")
CLOSED_EACH = 3
PENALTIES_CLOSED_EACH = 40
ARCHIVED_AT_ONCE = 500
RENDERED_AT_ONCE = 250


def load(service_url: str, *, base_url: str, keys_directory: Path, clock: Clock) -> str:
    """Load the data set unless it is there, and give the text that welcomes a newcomer."""
    return asyncio.run(_load(service_url, base_url, keys_directory, clock.now()))


async def _load(service_url: str, base_url: str, keys_directory: Path, now: datetime) -> str:
    database = Database(service_url, role="credit_service", application_name="credit-service-demo")
    try:
        async with database.transaction() as session:
            empty = not (await session.execute(select(func.count()).select_from(Entity))).scalar_one()
        catalogue = configured(Settings())
        offices = agencies(tuple(catalogue.items))
        if empty:
            with Progress(console=Console(stderr=True), transient=True) as progress:
                await _fill(database, catalogue, offices, now, progress)
        shown, name = await _example(database)
        keys = KeyStore(keys_directory)
        granted = {
            principal.role: tokens.issue(
                keys, issuer=base_url, principal=principal, now=now, lifetime_seconds=TOKEN_SECONDS
            )
            for principal in _principals(offices[0], shown)
        }
        return welcome(base_url, granted, shown, name, offices[0])
    finally:
        await database.close()


def _principals(office: DemoAgency, entity: str) -> list[Principal]:
    agency = {Role.SUBMITTER: office.uscc, Role.REGULATOR: office.uscc}
    return [
        Principal(
            id=f"client:demo-{role.value}",
            role=role,
            agency_uscc=agency.get(role),
            entity_uscc=entity if role is Role.SUBJECT else None,
        )
        for role in Role
        if role is not Role.PUBLIC
    ]


async def _fill(
    database: Database, catalogue: Catalogue, offices: list[DemoAgency], now: datetime, progress: Progress
) -> None:
    population = entities(day_of(now))
    task = progress.add_task("演示数据 Demonstration data", total=7)
    async with database.transaction() as session:
        await _enter_agencies(session, catalogue, offices, now)
        await _enter_entities(session, population, now)
    progress.advance(task)
    written = list(drafts(catalogue, population, offices, day_of(now)))
    progress.advance(task)
    async with database.transaction() as session:
        await _enter_records(session, catalogue, written, now)
    progress.advance(task, 2)
    async with database.transaction() as session:
        await _close_some(session, catalogue, now)
    progress.advance(task)
    await _render([entity.uscc for entity in population], database, now)
    async with database.transaction() as session:
        await _enter_clients(session, offices[0], now)
        officer = next(p for p in _principals(offices[0], "") if p.role is Role.SUBMITTER)
        await open_cases(session, catalogue, officer, now)
    progress.advance(task)
    await supervision.load(database, catalogue, offices[0], now)
    progress.advance(task)


async def _enter_agencies(
    session: AsyncSession, catalogue: Catalogue, offices: list[DemoAgency], now: datetime
) -> None:
    for office in offices:
        prefix = office.division[:2] if office.division.endswith("0000") else office.division[:4]
        grants = [Grant(item_code=code, division_prefix=prefix) for code in office.items]
        body = AgencyWrite(name=office.name, division=office.division, level=office.level, grants=grants)
        await accounts.put_agency(session, catalogue, ACTOR, now, office.uscc, body)


async def _enter_entities(session: AsyncSession, population: Sequence[DemoEntity], now: datetime) -> None:
    connection = await driver_connection(session)
    await session.flush()
    rows: list[tuple[Any, ...]] = [
        (
            *(e.uscc, e.name, e.uscc[:2], e.division, e.industry, e.status, e.established_on, e.deregistered_on),
            *(now if e.archived else None, [], "registrar", 1, now, now),
        )
        for e in population
    ]
    columns = "uscc name category division industry registration_status established_on deregistered_on archived_at"
    columns += " quality_flags source version created_at updated_at"
    await connection.copy_records_to_table("entity", records=rows, columns=columns.split())
    names: list[tuple[Any, ...]] = [(e.uscc, uuid7(), e.name, None, None, *keys_of(e.name)) for e in population]
    names += [
        (e.uscc, uuid7(), e.former_name, None, day_of(now), *keys_of(e.former_name))
        for e in population
        if e.former_name
    ]
    await connection.copy_records_to_table("entity_name", records=names)
    contents = [(entity.uscc, registered_content(entity, now)) for entity in population]
    versions = [
        (uscc, 1, now, "entity.registered", ACTOR.id, ACTOR.request_id, content.decode()) for uscc, content in contents
    ]
    await connection.copy_records_to_table("entity_version", records=versions)
    logged = [_registered(uscc, content, now) for uscc, content in contents]
    await connection.copy_records_to_table(
        "audit_event", records=[events.row_of(event) for event in logged], columns=events.COLUMNS
    )


def registered_content(entity: DemoEntity, now: datetime) -> bytes:
    """What an entity's first version says."""
    names = [{"name": entity.name, "used_from": None, "used_until": None}]
    if entity.former_name:
        names.append({"name": entity.former_name, "used_from": None, "used_until": day_of(now).isoformat()})
    row = Entity(
        uscc=entity.uscc,
        name=entity.name,
        category=entity.uscc[:2],
        division=entity.division,
        industry=entity.industry,
        registration_status=entity.status,
        established_on=entity.established_on,
        deregistered_on=entity.deregistered_on,
        archived_at=now if entity.archived else None,
        source="registrar",
        created_at=now,
        updated_at=now,
    )
    return content_of(row, names)


def _registered(uscc: str, content: bytes, now: datetime) -> Any:
    return events.new_event(
        ACTOR,
        now,
        "entity.registered",
        uscc=uscc,
        subject_type="entity",
        subject_id=uscc,
        after=events.commitment(b"", content),
    )


async def _enter_records(session: AsyncSession, catalogue: Catalogue, written: list[Draft], now: datetime) -> None:
    groups: dict[tuple[str, str], list[Draft]] = defaultdict(list)
    for draft in written:
        groups[draft.item.code, draft.source_uscc].append(draft)
    for (code, source), group in groups.items():
        lines = [_line(catalogue, draft, number, now) for number, draft in enumerate(group, 1)]
        staged, assessments = ("".join(texts).encode() for texts in zip(*lines, strict=True))
        judged = Judged(rows=len(lines), staged=staged, assessments=assessments, staged_count=len(lines))
        merger = Merger(catalogue, uuid7(), ACTOR, (source, group[0].source_name), now)
        outcomes: Counter[str] = await merger.merge(session, judged)
        if outcomes["stored"] != len(lines):
            raise RuntimeError(f"demo data of {code}: {dict(outcomes)}")


def _line(catalogue: Catalogue, draft: Draft, number: int, now: datetime) -> tuple[str, str]:
    """A draft and its assessment staged as if it had first been shown the day after its decision."""
    shown = min(now, start_of(draft.decided_on + timedelta(days=1)))
    assessment = assess(catalogue, draft, first_published_at=shown)
    standing = standing_text(draft, assessment, now)
    line = staged_line(number, 1, draft, os.urandom(32), standing, number)
    return line, assessment_line(number, draft, assessment, standing)


def _closings(item: Item) -> Iterator[Action]:
    """What the later life of this item's records can bring."""
    if item.repair_rule is not None:
        yield Action.REPAIR
    yield from (Action.ANNUL, Action.WITHDRAW)
    if item.list_colour is not None:
        yield Action.REMOVE
    if item.polarity == "distrust":
        yield Action.SHIELD


async def _close_some(session: AsyncSession, catalogue: Catalogue, now: datetime) -> None:
    """A few records of each item in each state that only later steps of their life would bring."""
    statement = (
        select(Record)
        .where(col(Record.state).in_((State.PUBLISHED, State.WITHHELD)))
        .order_by(col(Record.item_code), col(Record.document_number))
    )
    found: dict[str, list[Record]] = defaultdict(list)
    for record in (await session.execute(statement)).scalars().all():
        if record.disclosure_until is None or record.disclosure_until > now:
            found[record.item_code].append(record)
    for code, records in found.items():
        each = PENALTIES_CLOSED_EACH if code == "administrative-penalty" else CLOSED_EACH
        for action in _closings(catalogue.latest(code)):
            open_ones = (r for r in records if r.state in _STANDING and _may(action, r, day_of(now)))
            for record in list(islice(open_ones, each)):
                await life.move(
                    session, catalogue, ACTOR, now, record, action, reason="演示数据 demonstration", render=False
                )
    while await life.archive_due(session, catalogue, ACTOR, now, ARCHIVED_AT_ONCE, render=False):
        await session.flush()


_STANDING = (State.PUBLISHED, State.WITHHELD)


def _may(action: Action, record: Record, today: date) -> bool:
    """A repair comes after the shortest term; what a term has ended stays, so that such are shown too."""
    if action is Action.REPAIR:
        return record.repair_eligible_from is not None and record.repair_eligible_from <= today
    return record.publicity_latest_stop is None or record.publicity_latest_stop > today


async def _render(usccs: list[str], database: Database, now: datetime) -> None:
    pool = await database.pool()
    async with pool.acquire() as connection:
        for start in range(0, len(usccs), RENDERED_AT_ONCE):
            async with connection.transaction():
                await profile.render(connection, usccs[start : start + RENDERED_AT_ONCE], now)


async def _enter_clients(session: AsyncSession, office: DemoAgency, now: datetime) -> None:
    example, _ = await _example_in(session)
    for principal in _principals(office, example):
        body = ClientCreate(
            client_id=principal.id.removeprefix("client:"),
            name=f"演示 {principal.role.value}",
            role=principal.role,
            agency_uscc=principal.agency_uscc,
            entity_uscc=principal.entity_uscc,
        )
        if await session.get(Client, body.client_id) is None:
            await accounts.create_client(session, ACTOR, now, body)


async def _example(database: Database) -> tuple[str, str]:
    async with database.transaction() as session:
        return await _example_in(session)


async def _example_in(session: AsyncSession) -> tuple[str, str]:
    """Code and name of the enterprise with the most open records: the one the welcome text points at."""
    statement = (
        select(col(Record.uscc), col(Entity.name))
        .join(Entity, col(Entity.uscc) == col(Record.uscc))
        .where(col(Entity.category) == "91", col(Entity.registration_status) == "active")
        .group_by(col(Record.uscc), col(Entity.name))
        .order_by(func.count().desc(), col(Record.uscc))
        .limit(1)
    )
    uscc, name = (await session.execute(statement)).one()
    return uscc, name
