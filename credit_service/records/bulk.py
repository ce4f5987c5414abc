"""The standing records of many entities in one query, as an audience may see them at one instant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from credit_service.accounts.rules import Audience
from credit_service.records.models import State

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

_VISIBLE = """r.state = 'published' AND r.publicity_from <= $3 AND $3 < coalesce(r.publicity_until, 'infinity')"""
_SHARED = """r.state IN ('published', 'withheld') AND $3 < coalesce(r.disclosure_until, 'infinity')"""
_SEEN = {
    Audience.PUBLIC: _VISIBLE,
    Audience.SUBJECT: _VISIBLE,
    Audience.AGENCY: _SHARED,
    Audience.REGULATOR: f"({_SHARED} OR r.state = 'shielded')",
}
_FACTS = {
    Audience.PUBLIC: "r.public_facts::text, NULL",
    Audience.SUBJECT: "r.public_facts::text, NULL",
    Audience.AGENCY: "r.public_facts::text, r.shared_facts::text",
    Audience.REGULATOR: "r.public_facts::text, r.shared_facts::text",
}
_STANDING = """
SELECT r.uscc, r.id, r.item_code, r.document_number, r.decided_on, r.valid_until, r.authority_uscc, r.authority_name,
    r.severity, r.state, r.publicity_from, r.publicity_until, r.disclosure_until, r.disputed_since, r.version,
    CASE WHEN r.item_code = ANY($4::text[]) THEN ARRAY[:facts:] END
FROM record r
WHERE r.uscc = ANY($1::varchar[]) AND r.item_code = ANY($2::text[]) AND :seen:
    AND ($5::uuid[] IS NULL OR r.id = ANY($5))
"""
COMMON_ITEMS = ("administrative-licence", "administrative-penalty")
"""Items of which a registry holds by far the most records: 双公示."""
TELLING_WORDS = (
    "不履行与招标人订立的合同",
    "不正当手段取得",
    "中标人不履行",
    "串标",
    "串通投标",
    "以他人名义投标",
    "刑事",
    "吊销许可证件",
    "围标",
    "恶意投诉",
    "投标弄虚作假",
    "欺骗",
    "虚假投诉",
    "虚假材料",
    "行贿谋取中标",
    "责令停产停业",
    "贿赂",
    "隐瞒有关情况",
    "骗取中标",
)
"""Words in the facts of common items that lead to a measure somewhere in the shipped catalogue."""


def spellings(word: str) -> set[str]:
    """Regular expressions of a word in JSON text: as itself, and with its characters escaped."""
    return {re.escape(text) for text in (word, json.dumps(word)[1:-1])}


_AMOUNT = r'"fine_amount"\s*:\s*"?\d{7,}'
_TELLING_PARTS = {_AMOUNT}.union(*map(spellings, TELLING_WORDS))
# All of the rare records and those of the common ones that may tell something have an index (record_telling), which is
# partial: PostgreSQL keeps it true with every write. Migration 0021 has this condition word for word. Its expressions
# are apart, the cheap ones first, because one expression of all of it takes ten times as long with every write.
_TEXT = "(public_facts::text || shared_facts::text)"
_ESCAPED = "|".join(sorted(set().union(*map(spellings, TELLING_WORDS)).difference(TELLING_WORDS)))
TELLING = (
    "(item_code <> ALL ('{" + ",".join(COMMON_ITEMS) + "}'::text[])"
    f" OR {_TEXT} ~ '{'|'.join(TELLING_WORDS)}' OR ({_TEXT} ~ '\\d{{7}}' AND {_TEXT} ~ '{_AMOUNT}')"
    rf" OR (strpos({_TEXT}, '\u') > 0 AND {_TEXT} ~ '{_ESCAPED}'))"
)
# Decoding every column of a record that will not matter costs more than looking into its facts first.
_TEXTS = """
SELECT r.id, concat(:facts:) FROM record r
WHERE r.uscc = ANY($1::varchar[]) AND r.item_code = ANY($2::text[]) AND :seen:
"""


def _for_each(query: str) -> dict[Audience, str]:
    return {
        audience: query.replace(":facts:", _FACTS[audience]).replace(":seen:", seen) for audience, seen in _SEEN.items()
    }


_ANYTHING = re.compile("")
_QUERIES, _LOOKS = _for_each(_STANDING), _for_each(_TEXTS)
# The index holds no item codes: thirty for each of a thousand entities would be as many places to look at.
_TELLING_QUERIES = {
    audience: f"{query} AND {TELLING}".replace("r.item_code = ANY($2", "r.item_code || '' = ANY($2")
    for audience, query in _QUERIES.items()
}


@dataclass(frozen=True, slots=True)
class StandingRecord:
    """What a decision about the entity needs to know of one of its records. Empty ``facts`` were not asked for."""

    uscc: str
    id: UUID
    item_code: str
    document_number: str
    decided_on: date
    valid_until: date | None
    authority_uscc: str
    authority_name: str
    severity: str | None
    state: str
    publicity_from: datetime | None
    publicity_until: datetime | None
    disclosure_until: datetime | None
    disputed_since: datetime | None
    version: int
    texts: list[str | None] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """The facts that the audience may see, public ones first."""
        found: dict[str, Any] = {}
        for text in self.texts or ():
            found |= orjson.loads(text) if text else {}
        return found

    @property
    def is_shielded(self) -> bool:
        return self.state == State.SHIELDED


async def standing_records(
    connection: AnyConnection,
    usccs: Sequence[str],
    items: Iterable[str],
    audience: Audience,
    now: datetime,
    *,
    with_facts: Iterable[str] = (),
    only_with: tuple[frozenset[str], re.Pattern[str]] | None = None,
) -> list[StandingRecord]:
    """Records of ``items`` that stand at ``now``: never repaired, annulled, withdrawn, removed or archived ones.

    A regulator is also told of shielded records, which stand for nothing while they are. Facts come with the items of
    ``with_facts`` only. ``only_with`` leaves out records of some items whose facts' JSON a pattern is not found in.
    The order is the database's.
    """
    asked, facts = set(items), list(with_facts)
    filtered, pattern = only_with or (frozenset[str](), _ANYTHING)
    query, found = _QUERIES[audience], list[StandingRecord]()
    plain = asked - filtered
    common = plain.intersection(COMMON_ITEMS)
    told = filtered & asked if _covers(pattern) else frozenset[str]()
    rest = (filtered & asked) - told
    telling = told | (plain - common)
    if rest:
        texts = await connection.fetch(_LOOKS[audience], usccs, list(rest), now)
        ids = [identifier for identifier, text in texts if pattern.search(text)]
        found += await _fetch(connection, query, usccs, rest, now, facts, ids) if ids else []
    if telling:
        wanted = {*facts, *told}
        for record in await _fetch(connection, _TELLING_QUERIES[audience], usccs, telling, now, wanted):
            if record.item_code not in told or pattern.search("".join(filter(None, record.texts or ()))):
                found.append(record)
    if common:
        found += await _fetch(connection, query, usccs, common, now, facts)
    return found


def _covers(pattern: re.Pattern[str]) -> bool:
    """Whether the index holds every record of a common item whose facts a pattern is found in."""
    return _TELLING_PARTS.issuperset(pattern.pattern.split("|"))


async def _fetch(
    connection: AnyConnection,
    query: str,
    usccs: Sequence[str],
    items: Iterable[str],
    now: datetime,
    facts: Iterable[str],
    ids: Sequence[UUID] | None = None,
) -> list[StandingRecord]:
    return [StandingRecord(*row) for row in await connection.fetch(query, usccs, list(items), now, list(facts), ids)]
