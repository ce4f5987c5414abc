"""Run an import: rows are judged in a process of their own while the database merges the block before.

One transaction a block (``atomicity=row``) or one for the whole file (``file``). A block's transaction also moves
``rows_done`` on, so an import that is cut off anywhere goes on there when the same file comes with the same key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import structlog
from sqlalchemy import update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col
from uuid_utils.compat import uuid7

from credit_service.accounts import commands as accounts
from credit_service.accounts.commands import SubmittingAgency
from credit_service.audit import events
from credit_service.catalogue.models import Catalogue
from credit_service.entities.commands import admitted_codes
from credit_service.platform import jobs
from credit_service.platform.clock import Clock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.errors import (
    CONFLICT,
    INVALID_REQUEST,
    FieldError,
    Problem,
)
from credit_service.platform.idempotency import IDEMPOTENCY_KEY_REUSED
from credit_service.records import store
from credit_service.records.imports import readers, rendering
from credit_service.records.imports.blocks import BlockResult, Position
from credit_service.records.imports.judged import Context
from credit_service.records.imports.merge import Merger
from credit_service.records.imports.stream import judged_blocks, limited
from credit_service.records.imports.templates import AUTOMATIC, Plan, template_of
from credit_service.records.models import Import, ImportReceipt, Outcome
from credit_service.records.rules import AGENCY_NOT_GRANTED

logger = structlog.get_logger(__name__)

MOST_KEPT_REFUSALS = 20_000
ATTEMPTS = 3
FINISHED = frozenset({"completed", "refused"})


@dataclass(frozen=True)
class Request:
    """What the sender asks for."""

    key: str
    template: str
    atomicity: str
    file_name: str
    content_type: str
    notice_attestation: str | None = None


@asynccontextmanager
async def _alone(database: Database, agency: str, key: str) -> AsyncIterator[None]:
    """Hold the import's lock; it falls with the connection, so a killed server leaves none behind."""
    connection = await database.connect()
    try:
        if not await connection.fetchval(
            "SELECT pg_try_advisory_lock(hashtextextended($1, 0))", f"import {agency} {key}"
        ):
            raise Problem(CONFLICT, detail="an import with this key is under way", headers={"Retry-After": "5"})
        yield
    finally:
        await connection.close()


class Importer:
    """One import, from its first byte to its last profile."""

    def __init__(
        self, database: Database, clock: Clock, catalogue: Catalogue, executor: Executor, actor: Actor, request: Request
    ) -> None:
        self._database = database
        self._clock = clock
        self._catalogue = catalogue
        self._executor = executor
        self._actor = actor
        self._request = request
        self._refusals: list[tuple[int, list[dict[str, str]]]] = []

    async def run(self, stream: AsyncIterator[bytes], most_bytes: int) -> tuple[Import, bool]:
        """Import a file; gives the import and whether it had already been finished under this key.

        Raises ``AGENCY_NOT_GRANTED``, ``CONFLICT`` (the same key is under way), ``IDEMPOTENCY_KEY_REUSED``,
        ``PAYLOAD_TOO_LARGE`` and what reading the file and its header raises; a refused header leaves nothing behind.
        """
        agency_code = self._actor.agency_uscc or ""
        async with _alone(self._database, agency_code, self._request.key):
            async with self._database.transaction() as session:
                agency = await accounts.load_agency(session, agency_code)
                admitted = await admitted_codes(session)
                known = await store.import_by_key(session, agency_code, self._request.key)
            if agency is None:
                raise Problem(AGENCY_NOT_GRANTED)
            if known is not None:
                self._check_same(known)
                if known.state in FINISHED:
                    return known, True
            context = Context(
                actor=self._actor,
                source_uscc=agency.uscc,
                source_name=agency.name,
                source_level=agency.level,
                notice_attestation=self._request.notice_attestation,
                grants=agency.grants,
                now=self._clock.now(),
                admitted=admitted,
            )
            return await self._receive(stream, most_bytes, agency, context, known), False

    def _check_same(self, known: Import) -> None:
        asked = (self._request.atomicity, self._request.file_name, self._request.notice_attestation)
        template_fits = self._request.template in (AUTOMATIC, known.template)
        if not template_fits or (known.atomicity, known.file_name, known.notice_attestation) != asked:
            raise Problem(
                IDEMPOTENCY_KEY_REUSED, errors=[FieldError("header:Idempotency-Key", "same key, other import")]
            )

    async def _receive(
        self,
        stream: AsyncIterator[bytes],
        most_bytes: int,
        agency: SubmittingAgency,
        context: Context,
        known: Import | None,
    ) -> Import:
        upload = limited(stream, most_bytes)
        head = await anext(upload, b"")
        if not head:
            raise Problem(INVALID_REQUEST, detail="the file is empty", errors=[FieldError("", "not empty")])
        form = readers.sniff(head, self._request.content_type, self._request.file_name)
        async with judged_blocks(self._executor, form, head, upload, self._start(known), context) as results:
            if self._request.atomicity == "file":
                done = await self._merge_whole(results, agency, known)
            else:
                done = await self._merge_blocks(results, agency, known)
        return await self._finish(done)

    def _start(self, known: Import | None) -> Position:
        template = self._request.template
        if template != AUTOMATIC:
            template_of(template)
        done = known.rows_done if known is not None and known.atomicity == "row" else 0
        return Position(template, None, None, 1, done)

    # Merging -------------------------------------------------------------------------------------------------------

    async def _merge_blocks(
        self, results: AsyncIterator[BlockResult], agency: SubmittingAgency, known: Import | None
    ) -> Import:
        record = known
        rows = 0
        async for result in results:
            if record is None:
                record = await self._create(_plan_of(result), agency)
            rows += result.judged.rows
            if rows > record.rows_done:
                record = await self._merge_block(record, agency, result, rows)
        assert record is not None
        return record

    async def _merge_block(self, record: Import, agency: SubmittingAgency, result: BlockResult, rows: int) -> Import:
        """One block in one transaction; a deadlock with another import or writer is tried again."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._database.transaction() as session:
                    outcomes = await self._merger(record, agency).merge(session, result.judged)
                    return await self._advance(session, record, rows, outcomes)
            except (DBAPIError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    async def _merge_whole(
        self, results: AsyncIterator[BlockResult], agency: SubmittingAgency, known: Import | None
    ) -> Import:
        """All rows in one transaction; one refused row rolls all of them back and only the refusals are kept."""
        totals: Counter[str] = Counter()
        rows, merger, record = 0, None, known
        session = AsyncSession(self._database.engine, expire_on_commit=False)
        try:
            async for result in results:
                if record is None:
                    record = await self._create(_plan_of(result), agency)
                merger = merger or self._merger(record, agency)
                rows += result.judged.rows
                totals += await merger.merge(session, result.judged)
                refusals = [*result.judged.refused, *merger.take_refusals()]
                self._refusals += refusals[: MOST_KEPT_REFUSALS - len(self._refusals)]
            assert record is not None
            if totals[Outcome.REFUSED]:
                await session.rollback()
                return await self._keep_refusals(record, rows, totals)
            record = await self._advance(session, record, rows, totals)
            await session.commit()
            return record
        finally:
            await session.close()

    async def _keep_refusals(self, record: Import, rows: int, totals: Counter[str]) -> Import:
        kept = Counter({name: totals[name] for name in (Outcome.REFUSED.value, "natural_person")})
        async with self._database.transaction() as session:
            for number, errors in self._refusals:
                session.add(
                    ImportReceipt(import_id=record.id, row_number=number, outcome=Outcome.REFUSED.value, errors=errors)
                )
            record = await self._advance(session, record, rows, kept)
            record.state = "refused"
            session.add(record)
        return record

    def _merger(self, record: Import, agency: SubmittingAgency) -> Merger:
        source = (agency.uscc, agency.name)
        return Merger(self._catalogue, record.id, self._actor, source, self._clock.now())

    async def _create(self, plan: Plan, agency: SubmittingAgency) -> Import:
        now = self._clock.now()
        record = Import(
            id=uuid7(),
            agency_uscc=agency.uscc,
            actor=self._actor.id,
            idempotency_key=self._request.key,
            template=plan.template,
            atomicity=self._request.atomicity,
            file_name=self._request.file_name,
            notice_attestation=self._request.notice_attestation,
            state="receiving",
            created_at=now,
            updated_at=now,
        )
        async with self._database.transaction() as session:
            session.add(record)
        return record

    async def _advance(self, session: AsyncSession, record: Import, rows: int, outcomes: Counter[str]) -> Import:
        record = await session.merge(record)
        record.rows_done = rows
        for name in ("stored", "unchanged", "corrected", "refused", "natural_person"):
            setattr(record, name, getattr(record, name) + outcomes[name])
        record.updated_at = self._clock.now()
        record.state = "receiving"
        await session.flush()
        return record

    # The end -------------------------------------------------------------------------------------------------------

    async def _finish(self, record: Import) -> Import:
        """Render what the import touched, then close it; a crash before that resumes here."""
        if record.state not in FINISHED:
            await rendering.render_public(self._database, record.id, self._clock)
        now = self._clock.now()
        async with self._database.transaction() as session:
            record = await session.merge(record)
            record.state = "completed" if record.state not in FINISHED else record.state
            record.updated_at = now
            event = events.new_event(
                self._actor,
                now,
                f"import.{record.state}",
                uscc=record.agency_uscc,
                subject_type="import",
                subject_id=str(record.id),
            )
            events.append(session, [event])
            await jobs.enqueue(session, rendering.JOB, record.id.bytes, once=str(record.id))
        return record


def _plan_of(result: BlockResult) -> Plan:
    assert result.plan is not None
    return result.plan


async def mark_interrupted(session: AsyncSession, now: datetime, before: datetime) -> None:
    """Imports that have not moved since ``before`` wait for their sender."""
    await session.execute(
        update(Import)
        .where(col(Import.state) == "receiving", col(Import.updated_at) < before)
        .values(state="interrupted", updated_at=now)
    )
