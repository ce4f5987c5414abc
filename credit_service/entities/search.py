"""HTTP of the search by name: candidates with the reason for each, never an identification."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel
from pydantic import Field as ApiField

from credit_service.accounts.dependencies import requires
from credit_service.accounts.rules import Permission, Principal, audience_of
from credit_service.entities import names
from credit_service.entities.archive import ARCHIVED, hidden_from
from credit_service.entities.ranking import Candidate, Match, Normalisation, is_initials, most_alike, rank
from credit_service.identity.personal import holds_identity_number
from credit_service.identity.uscc import NATURAL_PERSON_IDENTIFIER
from credit_service.platform.database import Database
from credit_service.platform.errors import FieldError, Problem

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

router = APIRouter(tags=["entities 信用主体"])

NAMES_WEIGHED = 4000
"""Names that a search reads at most, by the rarest of its tokens."""
STATISTICS_SECONDS = 300.0

_BY_TOKENS = """
SELECT uscc, name, core, used_from, used_until FROM entity_name WHERE tokens && $1::int[] LIMIT $2
"""
_BY_INITIALS = """
(SELECT uscc, name, core, used_from, used_until FROM entity_name WHERE initials >= $1 AND initials < $2 LIMIT $3)
UNION (SELECT uscc, name, core, used_from, used_until FROM entity_name
    WHERE core_initials >= $1 AND core_initials < $2 LIMIT $3)
"""
_STATISTICS = """
SELECT s.most_common_elems::text::int[] AS tokens, s.most_common_elem_freqs AS shares, c.reltuples AS rows
FROM pg_class c JOIN pg_stats s ON s.schemaname = 'public' AND s.tablename = c.relname AND s.attname = 'tokens'
WHERE c.oid = 'entity_name'::regclass
"""
_ENTITIES = f"""
SELECT uscc, name, division, registration_status,
    {ARCHIVED} AS gone
FROM entity WHERE uscc = ANY($1::varchar[])
"""  # noqa: S608 - composed of our own constants


class NameMatch(BaseModel):
    """One candidate. The name is alike; whether it is the organisation that is meant, only its code can tell."""

    uscc: str = ApiField(description="统一社会信用代码")
    name: str = ApiField(description="名称 Present name")
    division: str = ApiField(description="行政区划代码 GB/T 2260")
    registration_status: str = ApiField(description="登记状态")
    matched_name: str = ApiField(description="匹配的名称 Name that answers the search")
    matched_former: bool = ApiField(description="匹配的是曾用名 Whether it is a former name")
    used_from: date | None = ApiField(description="该名称启用日期")
    used_until: date | None = ApiField(description="该名称停用日期 First day no longer in use")
    normalisation: Normalisation = ApiField(description="匹配方式 What was taken away before the names were alike")
    score: float = ApiField(description="相近程度 0 to 1; 1 for the same characters")
    status: str = ApiField(
        default="candidate", description="candidate: 名称相符不等于主体相同 A name is not an identity"
    )


class NameMatches(BaseModel):
    """The candidates for a name, the best first."""

    matches: list[NameMatch] = ApiField(description="候选主体 Candidates")


class TokenStatistics:
    """How common each token is, as PostgreSQL's own statistics have it: a search reads by the rarest first."""

    def __init__(self) -> None:
        self._shares: dict[int, float] = {}
        self._rarest, self._rows = 0.0, 0.0
        self._read_at = float("-inf")

    async def rarest(self, connection: AnyConnection, tokens: Iterable[int]) -> list[int]:
        """The rarest tokens, as many as together stand in ``NAMES_WEIGHED`` names; one at least."""
        if time.monotonic() - self._read_at >= STATISTICS_SECONDS:
            await self._read(connection)
        expected = sorted((self._shares.get(token, self._rarest) * self._rows, token) for token in set(tokens))
        chosen: list[int] = []
        total = 0.0
        for count, token in expected:
            total += count
            if chosen and total > NAMES_WEIGHED:
                break
            chosen.append(token)
        return chosen

    async def _read(self, connection: AnyConnection) -> None:
        row = await connection.fetchrow(_STATISTICS)
        if row is not None and row["tokens"]:
            self._shares = dict(zip(row["tokens"], row["shares"], strict=False))
            self._rarest, self._rows = min(self._shares.values()) / 2, max(row["rows"], 0.0)
        self._read_at = time.monotonic()


class NameSearch:
    """The search of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._statistics = TokenStatistics()

    async def find(self, name: str, limit: int, *, show_archived: bool) -> list[NameMatch]:
        """Up to ``limit`` entities whose present or former names are alike, the best first."""
        pool = await self._database.pool()
        async with pool.acquire() as connection:
            return await self.find_on(connection, name, limit, show_archived=show_archived)

    async def find_on(
        self, connection: AnyConnection, name: str, limit: int, *, show_archived: bool
    ) -> list[NameMatch]:
        """As ``find``, on a connection whose snapshot the answer shall be of."""
        ranked = rank(name, await self._candidates(connection, name))
        found: list[NameMatch] = []
        for start in range(0, len(ranked), limit):
            found += await self._shown(connection, ranked[start : start + limit], show_archived)
            if len(found) >= limit:
                break
        return found[:limit]

    async def _candidates(self, connection: AnyConnection, name: str) -> list[Candidate]:
        core, whole = names.core_of(name), names.folded(name)
        as_typed = [*names.tokens_of(core), names.whole_token(core), names.whole_token(whole)]
        tokens = [
            *await self._statistics.rarest(connection, as_typed),
            *await self._statistics.rarest(connection, names.tokens_meant(core)),
        ]
        rows = await connection.fetch(_BY_TOKENS, tokens, 2 * NAMES_WEIGHED)
        if is_initials(whole):
            rows += await connection.fetch(_BY_INITIALS, whole, whole + "~", NAMES_WEIGHED // 4)
        chosen = most_alike(name, [row[2] for row in rows], [row[1] for row in rows])
        return [Candidate(*rows[place]) for place in chosen]

    async def _shown(self, connection: AnyConnection, ranked: Sequence[Match], show_archived: bool) -> list[NameMatch]:
        rows = await connection.fetch(_ENTITIES, [match.candidate.uscc for match in ranked])
        entities = {row["uscc"]: row for row in rows if show_archived or not row["gone"]}
        return [_view(match, **entities[match.candidate.uscc]) for match in ranked if match.candidate.uscc in entities]


def _view(match: Match, *, uscc: str, name: str, division: str, registration_status: str, gone: bool) -> NameMatch:
    held = match.candidate
    return NameMatch(
        uscc=uscc,
        name=name,
        division=division,
        registration_status=registration_status,
        matched_name=held.name,
        matched_former=held.used_until is not None,
        used_from=held.used_from,
        used_until=held.used_until,
        normalisation=match.normalisation,
        score=match.score,
    )


def refuse_person(name: str, pointer: str) -> None:
    """Raises ``NATURAL_PERSON_IDENTIFIER`` for an identity number where a name belongs; it is not repeated."""
    if holds_identity_number(name):
        raise Problem(NATURAL_PERSON_IDENTIFIER, errors=[FieldError(pointer, "legal-entities-only")])


@router.get("/v1/entities", response_model=NameMatches)
async def search_entities(
    request: Request,
    principal: Annotated[Principal, Depends(requires(Permission.READ_ENTITY))],
    name: Annotated[
        str, Query(min_length=2, max_length=200, description="名称、简称、曾用名或拼音首字母 Name or initials")
    ],
    limit: Annotated[int, Query(ge=1, le=50, description="最多候选数")] = 10,
) -> NameMatches:
    """名称查询 Entities by present or former name, however it is typed. Names are public registration data."""
    refuse_person(name, "query:name")
    search: NameSearch = request.app.state.name_search
    whole = not hidden_from(audience_of(principal, ""))
    return NameMatches(matches=await search.find(name, limit, show_archived=whole))
