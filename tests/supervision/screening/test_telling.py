"""The index of telling records leaves out nothing: what it answers is what a look at every record finds."""

from __future__ import annotations

import itertools
import json
import re

import asyncpg
import pytest

from credit_service.accounts.rules import Audience
from credit_service.catalogue.loader import load
from credit_service.measures.rules import MeasureIndex
from credit_service.records import bulk
from tests.api import COMPANY, Api
from tests.conftest import NOW
from tests.supervision.screening.listings import listing

CATALOGUE = load()
FACTS = [
    {"violation_type": "欠缴税款", "fine_amount": "5000.00"},
    *({"violation_type": f"有{word}行为"} for word in bulk.TELLING_WORDS),
    {"penalty_categories": ["罚款", "吊销许可证件"], "fine_amount": None},
    {"fine_amount": "2000000.00"},
    {"fine_amount": "1999999.99"},
]
ITEMS = ("administrative-penalty", "administrative-licence", "judgment", "serious-dishonesty-tax")
STATES = ("published", "withheld", "shielded", "repaired")
# Facts as the service writes them, and as an escaping writer would; public, and shared with agencies only.
_COPY = """
INSERT INTO record SELECT r.* FROM record t, json_populate_record(t, json_build_object(
    'id', gen_random_uuid(), 'document_number', $1::text, 'item_code', $2::text, 'state', $3::text,
    'public_facts', $4::json, 'shared_facts', $5::json, 'disputed_since', $6::timestamptz)) AS r
WHERE t.uscc = $7 AND t.document_number = '列入1号'
"""


async def _copies(api: Api, owner: asyncpg.Connection) -> None:
    await listing(api)
    rows = itertools.product(ITEMS, STATES, FACTS, (True, False), (True, False))
    records = []
    for number, (item, state, facts, escaped, shared) in enumerate(rows):
        text = json.dumps(facts, ensure_ascii=escaped)
        public, other = ("{}", text) if shared else (text, "{}")
        records.append((str(number), item, state, public, other, NOW if number % 3 else None, COMPANY))
    await owner.executemany(_COPY, records)


@pytest.mark.parametrize("parts", [None, frozenset[str]()], ids=["indexed", "words the index does not know"])
async def test_the_index_answers_what_a_look_at_every_record_finds(
    api: Api, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, parts: frozenset[str] | None
) -> None:
    if parts is not None:
        monkeypatch.setattr(bulk, "_TELLING_PARTS", parts)
    await _copies(api, owner)
    found_any = 0
    for scenario, audience in itertools.product(("procurement", "licence", "bidding", "financing"), Audience):
        index = MeasureIndex(CATALOGUE, NOW, scenario)
        items, facts = [*index.items, "serious-dishonesty-tax"], [*index.items_with_facts]
        every = await owner.fetch(bulk._QUERIES[audience], [COMPANY], items, NOW, facts, None)
        plain = [bulk.StandingRecord(*row) for row in every]
        strict, pattern = index.only_with or (frozenset[str](), re.compile(""))
        wanted = [r for r in plain if r.item_code not in strict or pattern.search("".join(filter(None, r.texts or ())))]
        found = await bulk.standing_records(
            owner, [COMPANY], items, audience, NOW, with_facts=facts, only_with=index.only_with
        )
        assert sorted(map(repr, found)) == sorted(map(repr, wanted))
        assert sum(len(index.consequences(r)) for r in found) == sum(len(index.consequences(r)) for r in plain)
        found_any += len(found) < len(plain) and any(r.item_code == "administrative-penalty" for r in found)
    assert found_any > 0


def test_the_index_knows_every_word_of_the_shipped_catalogue() -> None:
    """A catalogue with other words is answered as well, only slower: then the index is due for a migration."""
    indexes = [MeasureIndex(CATALOGUE, NOW, scenario) for scenario in sorted(CATALOGUE.scenarios)]
    patterns = [index.only_with[1] for index in indexes if index.only_with]
    assert len(patterns) >= 3
    assert all(bulk._covers(pattern) for pattern in patterns)
    assert not bulk._covers(re.compile("另一词"))
    assert not bulk._covers(re.compile(""))
