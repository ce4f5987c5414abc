"""A screening: one snapshot, one instant, set-based queries, and rows of plain values.

Every block of a screening reads the same snapshot (REPEATABLE READ), so all of it holds for the same registry.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from credit_service.accounts.purpose import note_subjects
from credit_service.accounts.rules import Audience
from credit_service.catalogue.models import Catalogue
from credit_service.entities import names
from credit_service.entities.archive import ARCHIVED, hidden_from
from credit_service.entities.ranking import Candidate, Normalisation, rank
from credit_service.identity import batch
from credit_service.identity.personal import holds_identity_number
from credit_service.identity.uscc import normalise
from credit_service.measures.rules import Consequence, MeasureIndex, legal_view
from credit_service.platform.clock import Clock
from credit_service.platform.database import Database
from credit_service.platform.days import rfc3339
from credit_service.records.bulk import StandingRecord, standing_records
from credit_service.supervision.screening.models import Status

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

CANDIDATES = 10
SAME_CORES = 50
NAMES_A_TURN = 200
"""Names compared before other requests have their turn."""

_ENTITIES = f"""
SELECT uscc, name, registration_status, quality_flags,
    {ARCHIVED} AS gone
FROM entity WHERE uscc = ANY($1::varchar[])
"""  # noqa: S608 - composed of our own constants
_NAMES = """
SELECT t.token, n.uscc, n.name, n.core, n.used_from, n.used_until
FROM unnest($1::int[]) AS t (token)
CROSS JOIN LATERAL (
    SELECT uscc, name, core, used_from, used_until FROM entity_name WHERE tokens @> ARRAY[t.token] LIMIT $2
) AS n
"""
_FLAG_OF = {batch.CHECK_17_WRONG: "check-digit-17", batch.CHECK_18_WRONG: "check-digit-18"}

Row = dict[str, Any]
_KNOWN, _UNKNOWN, _ARCHIVED = Status.KNOWN.value, Status.UNKNOWN.value, Status.ARCHIVED.value


@dataclass
class Screening:
    """A screening under way, on one snapshot. Rows come block by block; totals are kept for the end."""

    connection: AnyConnection
    catalogue: Catalogue
    audience: Audience
    scenario: str | None
    holds_at: datetime
    counts: Counter[str] = field(default_factory=Counter)
    items_named: set[str] = field(default_factory=set)
    measures_named: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lists = frozenset(item.code for item in self.catalogue.latest_items() if item.list_colour)
        index = MeasureIndex(self.catalogue, self.holds_at, self.scenario) if self.scenario else None
        self._index = index
        self._items = self._lists | (index.items if index else frozenset())
        self._with_facts = index.items_with_facts if index else frozenset()
        only_with = index.only_with if index else None
        # A listing is told of whether or not its facts lead to a measure.
        self._only_with = (only_with[0] - self._lists, only_with[1]) if only_with else None

    async def codes(self, texts: Sequence[str], first_index: int = 0) -> list[Row]:
        """One row for each text that should be a code, in order."""
        values = [normalise(text) for text in texts]
        verdicts = batch.check_batch(values).tolist()
        asked = {value for value, verdict in zip(values, verdicts, strict=True) if _has_form(verdict)}
        entities = {row["uscc"]: row for row in await self.connection.fetch(_ENTITIES, list(asked))}
        records = await self._records(list(entities))
        note_subjects(entities)
        rows = []
        for index, (value, verdict) in enumerate(zip(values, verdicts, strict=True), first_index):
            row = _code_row(index, value, verdict)
            entity = entities.get(value)
            if entity is not None:
                self._tell(row, entity, records.get(value, ()))
            rows.append(self._counted(row))
        return rows

    async def names(self, texts: Sequence[str], first_index: int = 0) -> list[Row]:
        """One row for each name, with the entities that bear it or bore it, however it is typed."""
        refused = {text for text in texts if holds_identity_number(text)}
        wanted = {text: _name_tokens(text) for text in texts if text not in refused}
        tokens = {token for found in wanted.values() for token in found}
        by_token: dict[int, list[Candidate]] = defaultdict(list)
        for token, *values in await self.connection.fetch(_NAMES, list(tokens), SAME_CORES):
            by_token[token].append(Candidate(*values))
        gone = await self._gone({candidate.uscc for found in by_token.values() for candidate in found})
        rows = []
        for index, text in enumerate(texts, first_index):
            if index % NAMES_A_TURN == 0:
                await asyncio.sleep(0)
            found = {candidate for token in wanted.get(text, ()) for candidate in by_token[token]}
            shown = [candidate for candidate in found if candidate.uscc not in gone]
            rows.append(self._counted(_name_row(index, text, shown, refused=text in refused)))
        return rows

    def result(self, identifier: str, rows: list[Row]) -> Row:
        """The whole result of rows that are all at hand."""
        return {**self.head(identifier), **self.totals(), "subjects": rows}

    def head(self, identifier: str) -> Row:
        """What is known before the first row."""
        return {
            "id": identifier,
            "holds_at": rfc3339(self.holds_at),
            "audience": self.audience.value,
            "scenario": self.scenario,
            "catalogue": {"edition": self.catalogue.edition, "sha256": self.catalogue.digest},
        }

    def totals(self) -> Row:
        """What is known after the last row."""
        items = (self.catalogue.latest(code) for code in sorted(self.items_named))
        lists = {
            item.code: {"name_zh": item.name_zh, "name_en": item.name_en, "colour": item.list_colour} for item in items
        }
        return {"counts": dict(self.counts), "lists": lists, "measures": self.measures_named}

    async def _records(self, usccs: list[str]) -> dict[str, list[StandingRecord]]:
        found = await standing_records(
            self.connection,
            usccs,
            self._items,
            self.audience,
            self.holds_at,
            with_facts=self._with_facts,
            only_with=self._only_with,
        )
        by_entity: dict[str, list[StandingRecord]] = defaultdict(list)
        for record in found:
            by_entity[record.uscc].append(record)
        return by_entity

    async def _gone(self, usccs: Iterable[str]) -> set[str]:
        if not hidden_from(self.audience):
            return set()
        return {row["uscc"] for row in await self.connection.fetch(_ENTITIES, list(usccs)) if row["gone"]}

    def _tell(self, row: Row, entity: Any, records: Sequence[StandingRecord]) -> None:
        """What the registry says of a known entity, as the audience may see it."""
        _, name, registration_status, quality_flags, gone = entity
        if gone and hidden_from(self.audience):
            row["status"] = _ARCHIVED
            return
        row["status"], row["name"], row["registration_status"] = _KNOWN, name, registration_status
        if records or quality_flags:
            self._tell_records(row, set(quality_flags), records)

    def _tell_records(self, row: Row, flags: set[str], records: Sequence[StandingRecord]) -> None:
        hits: list[Row] = []
        measures: list[Row] = []
        for record in sorted(records, key=_order) if len(records) > 1 else records:
            if record.is_shielded:
                flags.add("shielded")
                continue
            found = self._index.consequences(record) if self._index else []
            if record.disputed_since is not None:
                flags.add("disputed")
            if found or record.item_code in self._lists:
                self.items_named.add(record.item_code)
                hits.append(_hit(record))
                measures += [self._measure(each) for each in found]
        row |= {name: value for name, value in (("hits", hits), ("measures", measures)) if value}
        if flags:
            row["flags"] = sorted(flags)

    def _measure(self, consequence: Consequence) -> Row:
        measure = consequence.measure
        if measure.code not in self.measures_named:
            self.measures_named[measure.code] = legal_view(self.catalogue, measure)
        return {
            "measure": measure.code,
            "record_id": str(consequence.record.id),
            "outcome": consequence.outcome.value,
            "established": consequence.established,
            "fact": consequence.fact,
            "until": consequence.until.isoformat() if consequence.until else None,
            "paused": consequence.paused,
        }

    def _counted(self, row: Row) -> Row:
        self.counts[row["status"]] += 1
        if "hits" in row:
            self.counts["with_hits"] += 1
        return row


def _has_form(verdict: int) -> bool:
    """Whether a text is a code, even one with a wrong check digit: some were issued and registered so."""
    return verdict == batch.VALID or verdict in _FLAG_OF


def _code_row(index: int, value: str, verdict: int) -> Row:
    if verdict == batch.NATURAL_PERSON:
        return {"index": index, "status": Status.REFUSED.value, "rule": batch.RULES[verdict]}
    if not _has_form(verdict):
        return {"index": index, "status": Status.INVALID.value, "rule": batch.RULES[verdict]}
    row: Row = {"index": index, "status": _UNKNOWN, "code": value}
    if verdict != batch.VALID:
        row["flags"] = [_FLAG_OF[verdict]]
    return row


def _order(record: StandingRecord) -> tuple[Any, ...]:
    return (-record.decided_on.toordinal(), str(record.id))


def _hit(record: StandingRecord) -> Row:
    return {
        "list": record.item_code,
        "record_id": str(record.id),
        "version": record.version,
        "document_number": record.document_number,
        "decided_on": record.decided_on.isoformat(),
        "authority_name": record.authority_name,
        "severity": record.severity,
        "publicity_until": rfc3339(record.publicity_until) if record.publicity_until else None,
        "disputed_since": rfc3339(record.disputed_since) if record.disputed_since else None,
    }


def _name_tokens(text: str) -> tuple[int, int]:
    return names.whole_token(names.folded(text)), names.whole_token(names.core_of(text))


def _name_row(index: int, text: str, found: Iterable[Candidate], *, refused: bool) -> Row:
    if refused:
        return {"index": index, "status": Status.REFUSED.value, "rule": batch.RULES[batch.NATURAL_PERSON]}
    same = [match for match in rank(text, found) if match.normalisation is not Normalisation.SIMILAR][:CANDIDATES]
    row: Row = {"index": index, "status": Status.NO_CANDIDATE.value, "name": text}
    if same:
        row["status"] = Status.CANDIDATES.value
        row["candidates"] = [
            {
                "uscc": match.candidate.uscc,
                "matched_name": match.candidate.name,
                "matched_former": match.candidate.used_until is not None,
                "normalisation": match.normalisation.value,
                "per_mille": round(match.score * 1000),
            }
            for match in same
        ]
    return row


@asynccontextmanager
async def screening(
    database: Database, clock: Clock, catalogue: Catalogue, audience: Audience, scenario: str | None
) -> AsyncIterator[Screening]:
    """A screening on a snapshot of its own, for as long as the block lasts."""
    pool = await database.pool()
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        # The snapshot is taken by the first statement; the instant is read right before it.
        holds_at = clock.now()
        await connection.execute("SELECT 1")
        yield Screening(connection, catalogue, audience, scenario, holds_at)
