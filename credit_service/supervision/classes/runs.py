"""Passes over the whole population in ranges: side by side, each range once, resumed wherever they were left.

A range is taken by locking its row, worked on and marked done in one transaction: a worker that dies leaves it to the
next. A full run writes classes; a what-if only counts, and keeps the entities that would move.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col
from uuid_utils.compat import uuid7

from credit_service.audit import events
from credit_service.audit.models import SYSTEM_SUBJECT
from credit_service.catalogue.models import Catalogue
from credit_service.platform import jobs
from credit_service.platform.clock import Clock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database, driver_connection
from credit_service.platform.errors import Problem
from credit_service.platform.times import PointInTime
from credit_service.supervision.classes import compiling, recompute, store
from credit_service.supervision.classes.models import ClassRun, ClassRunChunk, RuleSetRow
from credit_service.supervision.classes.rules import NO_RULE_SET, RuleSet, chosen

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

JOB = "class-run"
LANES = 2
FULL, WHAT_IF = "full", "what-if"
# Records lie scattered: the larger a range, the more of them share a page or lie on the next one. At 50,000 entities of
# a million a full run needs half the processor time of 10,000. A what-if holds its range in memory.
ENTITIES_A_CHUNK = {FULL: 50_000, WHAT_IF: 10_000}
LAST = "Z" * 18

_CHUNKS = """
INSERT INTO class_run_chunk (run_id, number, from_uscc, to_uscc, entities, changed)
SELECT $1, row_number() OVER ends, coalesce(lag(uscc) OVER ends, ''), uscc, 0, 0 FROM (
    SELECT uscc FROM (SELECT uscc, row_number() OVER (ORDER BY uscc) AS n FROM entity WHERE starts_with(division, $2)) e
    WHERE n % $3 = 0
    UNION SELECT $4::varchar COLLATE "C"
) AS cut (uscc)
WINDOW ends AS (ORDER BY uscc)
"""
_IN_CHUNK = (
    "SELECT uscc, division FROM entity WHERE uscc > $1 AND uscc <= $2 AND starts_with(division, $3) ORDER BY uscc"
)
_MOVED = ("uscc", "run_id", "before", "after", "points_before", "points_after")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come."""

    chunks: int
    done: int
    entities: int
    changed: int


async def start(
    session: AsyncSession,
    actor: Actor,
    now: datetime,
    kind: str,
    row: RuleSetRow,
    *,
    division: str = "",
    point: PointInTime | None = None,
    chunk: int | None = None,
) -> ClassRun:
    """Enter a run with its ranges and its job. A full run takes the place of those within it that are not finished."""
    if kind == FULL:
        superseded = update(ClassRun).where(
            col(ClassRun.kind) == FULL, col(ClassRun.state) == "open", col(ClassRun.division).startswith(division)
        )
        await session.execute(superseded.values(state="superseded", finished_at=now))
    in_force = await store.in_force(session)
    baseline = in_force.get(chosen(division, in_force) or "")
    run = ClassRun(
        id=uuid7(),
        kind=kind,
        rule_set_id=row.id,
        baseline_id=baseline.id if baseline is not None else None,
        division=division,
        as_of=point.as_of if point else None,
        known_at=point.known_at if point else None,
        state="open",
        started_by=actor.id,
        started_at=now,
    )
    session.add(run)
    await session.flush()
    connection = await driver_connection(session)
    await connection.execute(_CHUNKS, run.id, division, chunk or ENTITIES_A_CHUNK[kind], LAST)
    _note(session, actor, now, run, f"class-run.{kind}.started")
    await jobs.enqueue(session, JOB, run.id.bytes, once=str(run.id))
    return run


def _note(session: AsyncSession, actor: Actor, now: datetime, run: ClassRun, action: str) -> None:
    event = events.new_event(actor, now, action, uscc=SYSTEM_SUBJECT, subject_type="class-run", subject_id=str(run.id))
    events.append(session, [event])


async def start_full(database: Database, actor: Actor, clock: Clock, *, chunk: int | None = None) -> UUID:
    """Begin to compute every class anew by the rule sets in force. Raises ``NO_RULE_SET``."""
    async with database.transaction() as session:
        row = (await store.in_force(session)).get("")
        if row is None:
            raise Problem(NO_RULE_SET)
        return (await start(session, actor, clock.now(), FULL, row, chunk=chunk)).id


async def continue_full(database: Database, actor: Actor, clock: Clock) -> tuple[UUID, bool]:
    """The full run that is not finished and ``True``, or else a new one. Raises ``NO_RULE_SET``."""
    async with database.transaction() as session:
        found = await store.open_full(session)
    if found is not None:
        return found, True
    return await start_full(database, actor, clock), False


async def start_monthly(database: Database, actor: Actor, clock: Clock) -> UUID | None:
    """As ``start_full``, unless no rule set is in force."""
    try:
        return await start_full(database, actor, clock)
    except Problem as problem:
        if problem.type is not NO_RULE_SET:
            raise
        return None


async def work(
    database: Database,
    catalogue: Catalogue,
    clock: Clock,
    run_id: UUID,
    *,
    lanes: int = LANES,
    told: Callable[[int, int], None] | None = None,
) -> None:
    """Take ranges until none is left, in several lanes. ``told`` hears of each: entities judged, and changed."""

    async def lane() -> None:
        while (done := await _take(database, catalogue, clock, run_id)) is not None:
            if told is not None:
                told(*done)

    async with asyncio.TaskGroup() as group:
        for _ in range(lanes):
            group.create_task(lane())
    await _finish(database, clock, run_id)


async def resume(database: Database, catalogue: Catalogue, clock: Clock) -> int:
    """Go on with every open run; gives how many there were."""
    async with database.transaction() as session:
        found = await store.open_runs(session)
    for run_id in found:
        await work(database, catalogue, clock, run_id)
    return len(found)


async def progress(session: AsyncSession, run_id: UUID) -> Progress:
    statement = select(
        func.count(),
        func.count(col(ClassRunChunk.done_at)),
        func.coalesce(func.sum(col(ClassRunChunk.entities)), 0),
        func.coalesce(func.sum(col(ClassRunChunk.changed)), 0),
    ).where(col(ClassRunChunk.run_id) == run_id)
    return Progress(*map(int, (await session.execute(statement)).one()))


async def matrix(session: AsyncSession, run_id: UUID) -> Counter[tuple[str, str]]:
    """How many entities a what-if found in each class before (empty: none) and after."""
    found: Counter[tuple[str, str]] = Counter()
    for chunk in await store.chunks(session, run_id):
        for pair, count in (chunk.matrix or {}).items():
            before, after = pair.split(">")
            found[before, after] += count
    return found


async def _take(database: Database, catalogue: Catalogue, clock: Clock, run_id: UUID) -> tuple[int, int] | None:
    async with database.transaction() as session:
        connection = await driver_connection(session)
        run = await store.run(session, run_id)
        if run is None:
            return None
        # A division's full run and the registry's may be open at once, with ranges that overlap.
        alone = run.kind == FULL and run.division
        await (recompute.take_alone(connection) if alone else recompute.take_beside(connection))
        await session.refresh(run)
        if run.state != "open":
            return None
        statement = (
            select(ClassRunChunk)
            .where(col(ClassRunChunk.run_id) == run_id, col(ClassRunChunk.done_at).is_(None))
            .order_by(col(ClassRunChunk.number))
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        chunk = (await session.execute(statement)).scalar_one_or_none()
        if chunk is None:
            return None
        now = clock.now()
        if run.kind == FULL:
            await _judge(session, connection, catalogue, run, chunk, now)
        else:
            await _compare(session, connection, catalogue, run, chunk, now)
        chunk.done_at = now
        return chunk.entities, chunk.changed


async def _judge(
    session: AsyncSession,
    connection: AnyConnection,
    catalogue: Catalogue,
    run: ClassRun,
    chunk: ClassRunChunk,
    now: datetime,
) -> None:
    """Judge a range anew, each entity by the rule set in force for it."""
    in_force = await store.in_force(session)
    scope = [chunk.from_uscc, chunk.to_uscc]
    if run.division or len(in_force) > 1:
        rows = await connection.fetch(_IN_CHUNK, *scope, run.division)
        parts = recompute.parts_of(in_force, [(row["uscc"], row["division"]) for row in rows])
        chunk.entities = len(rows)
    else:
        counted = await connection.fetchval("SELECT count(*) FROM entity WHERE uscc > $1 AND uscc <= $2", *scope)
        parts, chunk.entities = [recompute.Part(in_force[""], scope, ranged=True)], int(counted)
    chunk.changed = await recompute.write(connection, catalogue, parts, now)


async def _compare(
    session: AsyncSession,
    connection: AnyConnection,
    catalogue: Catalogue,
    run: ClassRun,
    chunk: ClassRunChunk,
    now: datetime,
) -> None:
    """Judge those of a range whom the draft would judge by both rule sets, on the same facts at the same instant.

    One that is in force itself would judge whomever the other judges now.
    """
    draft, baseline = await store.rule_set(session, run.rule_set_id), None
    if run.baseline_id is not None:
        baseline = await store.rule_set(session, run.baseline_id)
    assert draft is not None
    in_force = await store.in_force(session)
    at_work = baseline is not None and draft.id in {row.id for row in in_force.values()}
    division = baseline.division if baseline is not None and at_work else draft.division
    prefixes = {division, *in_force}
    rows = await connection.fetch(_IN_CHUNK, chunk.from_uscc, chunk.to_uscc, run.division)
    usccs = [row["uscc"] for row in rows if chosen(row["division"], prefixes) == division]
    after = await _judged(connection, catalogue, recompute.built(draft, catalogue), run, usccs, now)
    before: dict[str, tuple[str, int]] = {}
    if baseline is not None:
        before = await _judged(connection, catalogue, recompute.built(baseline, catalogue), run, usccs, now)
    nothing = (None, None)
    moves = [
        (uscc, run.id, was[0], found[0], was[1], found[1])
        for uscc, found in after.items()
        if (was := before.get(uscc, nothing))[0] != found[0]
    ]
    pairs = Counter(f"{before.get(uscc, nothing)[0] or ''}>{found[0]}" for uscc, found in after.items())
    chunk.matrix, chunk.entities, chunk.changed = dict(pairs), len(after), len(moves)
    await connection.copy_records_to_table("class_move", records=moves, columns=_MOVED)


async def _judged(
    connection: AnyConnection, catalogue: Catalogue, rule_set: RuleSet, run: ClassRun, usccs: list[str], now: datetime
) -> dict[str, tuple[str, int]]:
    if run.as_of is not None and run.known_at is not None:
        compiled = compiling.past(rule_set, catalogue, usccs, run.as_of, run.known_at, now)
    else:
        compiled = compiling.present(rule_set, catalogue, usccs, now, ranged=False)
    await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
    rows: list[Any] = await connection.fetch(compiled.sql, *compiled.arguments)
    return {row["uscc"]: (row["risk_class"], row["points"]) for row in rows}


async def _finish(database: Database, clock: Clock, run_id: UUID) -> None:
    """Close the run when its last range is done; whoever finds it so first does."""
    async with database.transaction() as session:
        left = select(col(ClassRunChunk.number)).where(
            col(ClassRunChunk.run_id) == run_id, col(ClassRunChunk.done_at).is_(None)
        )
        now = clock.now()
        closed = await session.execute(
            update(ClassRun)
            .where(col(ClassRun.id) == run_id, col(ClassRun.state) == "open", ~left.exists())
            .values(state="finished", finished_at=now)
            .returning(ClassRun)
        )
        run = closed.scalar_one_or_none()
        if run is not None:
            _note(session, Actor("worker", "worker"), now, run, f"class-run.{run.kind}.finished")
