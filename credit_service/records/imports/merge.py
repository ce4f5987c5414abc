"""Merge a judged block into the registry: COPY into a staging table, then a few set-based statements.

New rows never pass through the object mapper. A row whose natural key is already stored is unchanged (equal content),
refused (the stored record is closed) or a correction, which goes the way of a single submission.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils import uuid7

from credit_service.audit.events import SCHEMA, attribution_of, canonical_event, commitment, new_salt
from credit_service.catalogue.models import Catalogue
from credit_service.entities.commands import noted_content
from credit_service.entities.names import keys_of
from credit_service.identity.uscc import Uscc
from credit_service.platform.context import Actor
from credit_service.platform.database import driver_connection
from credit_service.platform.days import rfc3339
from credit_service.platform.errors import Problem
from credit_service.records import commands, rules
from credit_service.records.imports import excluding
from credit_service.records.imports.judged import Judged
from credit_service.records.imports.staging import STAGED
from credit_service.records.models import Outcome
from credit_service.records.propagation import commands as propagation
from credit_service.records.rules import Draft

if TYPE_CHECKING:
    from asyncpg import Connection, Record

STAGING = """
CREATE TEMPORARY TABLE IF NOT EXISTS import_staging (
    row_number bigint, wave integer, warnings jsonb, uscc varchar(18) COLLATE "C", record_id uuid,
    item_code text COLLATE "C", entity_name text,
    document_number text COLLATE "C", authority_uscc varchar(18) COLLATE "C", authority_name text, decided_on date,
    valid_until date, legal_basis text, public_facts text, shared_facts text, restricted_facts text, content_head text,
    event_id uuid, content_digest bytea, salt bytea, commitment bytea, assessment integer
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE IF NOT EXISTS import_assessment (
    assessment integer, severity text, explanation json, rule_version text, state text, publicity_from timestamptz,
    publicity_until timestamptz, publicity_earliest_stop date, publicity_latest_stop date, repair_eligible_from date,
    disclosure_until timestamptz, notices json, standing text STORAGE MAIN,
    padding text STORAGE PLAIN DEFAULT repeat(' ', 2048)
) ON COMMIT DELETE ROWS
"""
"""Staged rows, and what the law says of them: the same of many rows, so it is staged once.

The padding makes PostgreSQL compress a standing here, as it does with tuples beyond 2 kB; the versions of all those
rows take it over compressed instead of compressing it each for itself.
"""

_MISSING_ENTITIES = """
SELECT DISTINCT ON (s.uscc) s.uscc, s.entity_name FROM import_staging s
WHERE NOT EXISTS (SELECT FROM entity e WHERE e.uscc = s.uscc)
ORDER BY s.uscc, s.row_number
"""

_NOTE_ENTITIES = """
WITH given AS (
    SELECT * FROM unnest($1::varchar[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::bytea[], $10::text[],
        $11::text[], $12::text[], $13::text[], $14::text[])
        AS t (uscc, name, flags, name_id, event_id, event, content, core, initials, core_initials, tokens)
), noted AS (
    INSERT INTO entity (uscc, name, category, division, registration_status, quality_flags, source, created_at,
        updated_at)
    SELECT uscc, name, left(uscc, 2), substr(uscc, 3, 6), 'unknown',
        CASE WHEN flags = '' THEN '{}'::text[] ELSE string_to_array(flags, ',') END, 'record', $7, $7
    FROM given ORDER BY uscc
    ON CONFLICT DO NOTHING RETURNING uscc
), named AS (
    INSERT INTO entity_name (uscc, id, name, core, initials, core_initials, tokens)
    SELECT g.uscc, g.name_id, g.name, g.core, g.initials, g.core_initials, g.tokens::int[]
    FROM given g JOIN noted USING (uscc)
), versioned AS (
    INSERT INTO entity_version (uscc, version, recorded_at, change, actor, request_id, content)
    SELECT g.uscc, 1, $7, 'entity.noted', $8, $9, g.content FROM given g JOIN noted USING (uscc)
)
INSERT INTO audit_event (uscc, id, occurred_at, action, subject_type, subject_id, actor, canonical, attribution, salt)
SELECT g.uscc, g.event_id, $7, 'entity.noted', 'entity', g.uscc, $8, g.event, $15, $16
FROM given g JOIN noted USING (uscc)
"""

_LOCK = """
SELECT uscc FROM entity WHERE uscc IN (SELECT uscc FROM import_staging) ORDER BY uscc FOR NO KEY UPDATE
"""

CONTENT = """s.content_head || s.public_facts || ',"restricted_facts":' || s.restricted_facts || ',"shared_facts":'
    || s.shared_facts || ',"uscc":"' || s.uscc || '","valid_until":'
    || coalesce('"' || s.valid_until || '"', 'null') || '}}'"""
"""The canonical content (``rules.content_of``) from its staged parts; the tests compare the two byte by byte."""

EVENT = """$4 || encode(s.commitment, 'hex') || $5 || s.event_id || $6 || s.record_id || $7 || s.uscc || $8"""
"""The canonical event (``audit.events.canonical_event``) around what differs from row to row."""

EARLIER = """(n.uscc, n.item_code, n.document_number, n.authority_uscc)
    = (s.uscc, s.item_code, s.document_number, s.authority_uscc)"""

_STORE = f"""
WITH stored AS (
    INSERT INTO record (uscc, id, item_code, document_number, authority_uscc, authority_name, source_uscc, source_name,
        entity_name, decided_on, valid_until, legal_basis, public_facts, shared_facts, restricted_facts, severity,
        explanation, rule_version, state, publicity_from, publicity_until, publicity_earliest_stop,
        publicity_latest_stop, repair_eligible_from, disclosure_until, state_from, notices, version, content_digest,
        recorded_at, changed_at)
    SELECT uscc, record_id, item_code, document_number, authority_uscc, authority_name, $1, $2,
        entity_name, decided_on, valid_until, legal_basis, public_facts::json, shared_facts::json,
        restricted_facts::json, severity, explanation, rule_version, state, publicity_from, publicity_until,
        publicity_earliest_stop, publicity_latest_stop, repair_eligible_from, disclosure_until,
        coalesce(publicity_from, $3), notices, 1, content_digest, $3, $3
    FROM import_staging s JOIN import_assessment USING (assessment)
    WHERE wave = $4 AND NOT EXISTS (SELECT FROM record_earlier_number n WHERE {EARLIER})
    ON CONFLICT ON CONSTRAINT record_natural_key DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM stored
"""

# A staged row was stored when the registry now holds its record id; the join falls away when all of a wave were.
_STORED_ROWS = "import_staging s JOIN record r ON r.uscc = s.uscc AND r.id = s.record_id"

_VERSION = f"""
INSERT INTO record_version (uscc, record_id, version, recorded_at, change, actor, request_id, salt, commitment, content,
    standing)
SELECT s.uscc, s.record_id, 1, $1, 'record.stored', $2, $3, s.salt, s.commitment,
    {CONTENT}, a.standing
FROM {{rows}} JOIN import_assessment a USING (assessment) WHERE s.wave = $4
"""

_AUDIT = f"""
INSERT INTO audit_event (uscc, id, occurred_at, action, subject_type, subject_id, actor, canonical, attribution, salt)
SELECT s.uscc, s.event_id, $1, 'record.stored', 'record', s.record_id::text, $2, convert_to({EVENT}, 'UTF8'), $9, $10
FROM {{rows}} WHERE s.wave = $3
"""

_RECEIPT = """
INSERT INTO import_receipt (import_id, row_number, outcome, uscc, record_id, warnings)
SELECT $1, s.row_number, 'stored', s.uscc, s.record_id,
    CASE WHEN a.state = 'awaiting-notice' THEN (coalesce(s.warnings, '[]') || '"awaiting-notice"')::json
        ELSE s.warnings::json END
FROM {rows} JOIN import_assessment a USING (assessment) WHERE s.wave = $2
"""

_KNOWN = f"""
SELECT s.row_number, s.uscc, s.warnings::text AS warnings, r.id, r.state, r.content_digest = s.content_digest
    AND NOT (r.state = 'awaiting-notice' AND a.state <> 'awaiting-notice') AS same
FROM import_staging s JOIN import_assessment a USING (assessment) JOIN record r
    ON r.uscc = s.uscc AND r.item_code = s.item_code AND r.document_number = s.document_number
    AND r.authority_uscc = s.authority_uscc
WHERE s.wave = $1 AND r.id <> s.record_id
UNION
SELECT s.row_number, s.uscc, s.warnings::text, r.id, r.state,
    r.content_digest = s.content_digest AND NOT (r.state = 'awaiting-notice' AND a.state <> 'awaiting-notice')
FROM record_earlier_number n JOIN record r ON r.uscc = n.uscc AND r.id = n.record_id
    JOIN import_staging s ON {EARLIER} JOIN import_assessment a USING (assessment)
WHERE s.wave = $1
ORDER BY row_number
"""

_STAGED = """
SELECT s.*, a.notices::text AS notices FROM import_staging s JOIN import_assessment a USING (assessment)
WHERE row_number = $1
"""
_STALE = """
UPDATE profile SET fresh_until = '-infinity'
WHERE fresh_until > '-infinity' AND uscc IN (
    SELECT s.uscc FROM import_staging s JOIN import_receipt r ON r.import_id = $1 AND r.row_number = s.row_number
    WHERE r.outcome IN ('stored', 'corrected'))
"""
_CHANGED = "INSERT INTO entity_change SELECT DISTINCT uscc FROM import_staging ON CONFLICT DO NOTHING"
_WARN = """
UPDATE import_receipt
SET warnings = (coalesce(import_receipt.warnings::jsonb, '[]') || '"name-differs"')::json
FROM import_staging s JOIN entity e ON e.uscc = s.uscc
WHERE import_id = $1 AND import_receipt.row_number = s.row_number AND outcome <> 'refused' AND s.entity_name <> e.name
    AND NOT EXISTS (
        SELECT FROM (SELECT e.name UNION ALL SELECT n.name FROM entity_name n WHERE n.uscc = e.uscc) AS known (name)
        WHERE lower(regexp_replace(normalize(known.name, NFKC), '\\s', '', 'g'))
            = lower(regexp_replace(normalize(s.entity_name, NFKC), '\\s', '', 'g'))
    )
"""
COPY_BYTES = 1 << 18
_RECEIPT_COLUMNS = ("import_id", "row_number", "outcome", "uscc", "record_id", "errors", "warnings")


def stored_event_frame(attribution: bytes, now: datetime) -> tuple[str, str, str, str, str]:
    """The constant pieces of a ``record.stored`` event: before its digest, event id, record id and code, and after.

    ``attribution`` is the commitment to who imports.
    """
    middle = f'","attribution":"{attribution.hex()}","before":null,"id":"'
    tail = f'","occurred_at":"{rfc3339(now)}","reason":null,"schema":"{SCHEMA}","subject":{{"id":"'
    return '{"action":"record.stored","after":"', middle, tail, '","type":"record","uscc":"', '","version":1}}'


async def _pieces(lines: bytes) -> AsyncIterator[bytes]:
    """Lines for asyncpg's COPY. It wraps a file in a class of its own, a cycle that would hold a whole block until the
    collector comes by, and reads it in other threads."""
    for start in range(0, len(lines), COPY_BYTES):
        yield lines[start : start + COPY_BYTES]


Receipt = tuple[UUID, int, str, str | None, UUID | None, str | None, str | None]


class Merger:
    """Merges the blocks of one import inside the caller's transactions."""

    def __init__(
        self,
        catalogue: Catalogue,
        import_id: UUID,
        actor: Actor,
        source: tuple[str, str],
        now: datetime,
    ) -> None:
        self._catalogue = catalogue
        self._import_id = import_id
        self._actor = actor
        self._source = source
        self._now = now
        self._corrected: list[tuple[str, UUID]] = []
        # The same for every row: whoever sees two events of one import may know that one import brought them.
        self._salt = new_salt()
        self._attribution = attribution_of(actor)
        self._attributed = commitment(self._salt, self._attribution)
        self._closed: list[tuple[int, list[dict[str, str]]]] = []

    def take_refusals(self) -> list[tuple[int, list[dict[str, str]]]]:
        """Refusals found only in the registry since the last call, such as closed records."""
        taken, self._closed = self._closed, []
        return taken

    async def merge(self, session: AsyncSession, judged: Judged) -> Counter[str]:
        """Merge one block; gives how many rows had which outcome."""
        connection = await driver_connection(session)
        outcomes: Counter[str] = Counter()
        self._corrected = []
        receipts = [self._refusal(number, errors) for number, errors in judged.refused]
        if judged.staged_count:
            # Nothing is acknowledged before the import's last transaction, which takes these to the disk with it.
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute(STAGING)
            await connection.execute(
                "TRUNCATE import_staging, import_assessment"
            )  # an earlier block of the same transaction
            staged = {"import_assessment": judged.assessments, "import_staging": judged.staged}
            for table, lines in staged.items():
                await connection.copy_to_table(table, source=_pieces(lines), columns=STAGED[table], format="text")
            await self._note_entities(connection)
            await connection.execute(_LOCK)
            concerned = await excluding.items_concerned(connection, self._catalogue)
            for code in concerned:
                for number, errors in await excluding.refuse(connection, self._catalogue, code, self._now):
                    self._refuse(number, errors, receipts)
            for wave in range(1, judged.waves + 1):
                outcomes += await self._merge_wave(session, connection, wave, receipts)
            for code in concerned:
                await excluding.end(session, connection, self._catalogue, self._actor, code, self._now)
        if receipts:
            await connection.copy_records_to_table("import_receipt", records=receipts, columns=_RECEIPT_COLUMNS)
        if judged.staged_count:
            await connection.execute(_WARN, self._import_id)
            if outcomes[Outcome.STORED.value] or outcomes[Outcome.CORRECTED.value]:
                await connection.execute(_STALE, self._import_id)
                await connection.execute(_CHANGED)
            await propagation.tell(
                session, self._catalogue, self._actor, self._now, commands.CORRECTED, self._corrected
            )
        outcomes[Outcome.REFUSED] += len([r for r in receipts if r[2] == Outcome.REFUSED])
        outcomes["natural_person"] += judged.natural_persons
        return outcomes

    def _refuse(self, number: int, errors: list[dict[str, str]], receipts: list[Receipt]) -> None:
        """Refuse a row for what the registry already holds."""
        self._closed.append((number, errors))
        receipts.append(self._refusal(number, errors))

    def _refusal(self, number: int, errors: list[dict[str, str]]) -> Receipt:
        return (self._import_id, number, Outcome.REFUSED.value, None, None, orjson.dumps(errors).decode(), None)

    async def _note_entities(self, connection: Connection[Any]) -> None:
        """Subjects that no registrar has reported yet are noted with the name the file gives."""
        missing = await connection.fetch(_MISSING_ENTITIES)
        if not missing:
            return
        columns = list(zip(*(self._noted(row["uscc"], row["entity_name"]) for row in missing), strict=True))
        first, contents = columns[:6], columns[6:]
        attributed = (self._attribution, self._salt)
        author = (self._actor.id, self._actor.request_id)
        await connection.execute(_NOTE_ENTITIES, *first, self._now, *author, *contents, *attributed)

    def _noted(self, uscc: str, name: str) -> tuple[Any, ...]:
        event_id = str(uuid7())
        code = Uscc.parse(uscc, admit_bad_check_digit=True)
        content = noted_content(code, name)
        event = canonical_event(
            event_id=event_id,
            occurred_at=self._now,
            action="entity.noted",
            uscc=uscc,
            subject_type="entity",
            subject_id=uscc,
            version=1,
            attribution=self._attributed,
            before=None,
            after=commitment(b"", content),
            reason=None,
        )
        flags = ",".join(sorted(code.quality_flags))
        core, initials, core_initials, tokens = keys_of(name)
        keys = (core, initials, core_initials, "{" + ",".join(map(str, tokens)) + "}")
        return uscc, name, flags, str(uuid7()), event_id, event, content.decode(), *keys

    async def _merge_wave(
        self, session: AsyncSession, connection: Connection[Any], wave: int, receipts: list[Receipt]
    ) -> Counter[str]:
        actor, now = self._actor, self._now
        staged = await connection.fetchval("SELECT count(*) FROM import_staging WHERE wave = $1", wave)
        stored = await connection.fetchval(_STORE, *self._source, now, wave)
        rows = "import_staging s" if stored == staged else _STORED_ROWS
        if stored:
            frame = stored_event_frame(self._attributed, now)
            await connection.execute(_VERSION.format(rows=rows), now, actor.id, actor.request_id, wave)
            attributed = (self._attribution, self._salt)
            await connection.execute(_AUDIT.format(rows=rows), now, actor.id, wave, *frame, *attributed)
            await connection.execute(_RECEIPT.format(rows=rows), self._import_id, wave)
        if stored == staged:
            return Counter({Outcome.STORED.value: stored})
        outcomes = Counter({Outcome.STORED.value: stored})
        for row in await connection.fetch(_KNOWN, wave):
            outcome, errors = await self._known(session, connection, row)
            if errors:
                self._refuse(row["row_number"], errors, receipts)
                continue
            receipts.append(
                (self._import_id, row["row_number"], outcome, row["uscc"], row["id"], None, row["warnings"])
            )
            outcomes[outcome] += 1
        return outcomes

    async def _known(
        self, session: AsyncSession, connection: Connection[Any], row: Record
    ) -> tuple[str, list[dict[str, str]]]:
        """Outcome of a row whose record is stored, or the faults that refuse it."""
        if row["same"]:
            return Outcome.UNCHANGED.value, []
        if row["state"] not in rules.OPEN_STATES:
            return Outcome.REFUSED.value, [{"pointer": "", "rule": rules.RECORD_CLOSED.slug}]
        staged = await connection.fetchrow(_STAGED, row["row_number"])
        assert staged is not None
        try:
            await commands.correct(session, self._catalogue, self._actor, self._now, self._draft(staged), row["id"])
        except Problem as problem:
            return Outcome.REFUSED.value, [{"pointer": e.pointer, "rule": e.rule} for e in problem.errors]
        self._corrected.append((row["uscc"], row["id"]))
        return Outcome.CORRECTED.value, []

    def _draft(self, staged: Record) -> Draft:
        day: date = staged["decided_on"]
        versions = self._catalogue.items[staged["item_code"]]
        facts = {name: orjson.loads(staged[name]) for name in ("public_facts", "shared_facts", "restricted_facts")}
        same = (
            "uscc",
            "entity_name",
            "document_number",
            "valid_until",
            "authority_uscc",
            "authority_name",
            "legal_basis",
        )
        return Draft(
            item=next(item for item in versions if item.in_force(day)),
            decided_on=day,
            source_uscc=self._source[0],
            source_name=self._source[1],
            notices=tuple(orjson.loads(staged["notices"])),
            **{name: staged[name] for name in same},
            **facts,
        )
