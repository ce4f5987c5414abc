"""Facts and rule sets made at random, and the registry filled with them directly."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from hypothesis import strategies as st

from credit_service.accounts import commands as accounts
from credit_service.accounts.models import AgencyWrite
from credit_service.identity.uscc import compose
from credit_service.platform.clock import Clock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.days import day_of
from credit_service.records.models import State
from credit_service.supervision.classes import commands, documents, runs
from credit_service.supervision.classes.rules import Facts, RecordFact, RuleSet
from tests.api import AGENCY, AGENCY_NAME, CATALOGUE, Api
from tests.conftest import NOW

PROVINCE = compose("11", "500000", "00928000")
SHIPPED = documents.shipped()["example-general"]
EXAMPLE: RuleSet = documents.build(SHIPPED, CATALOGUE)
ITEMS = (
    "administrative-penalty",
    "administrative-licence",
    "abnormal-operation-list",
    "inspection-result",
    "commitment",
    "serious-dishonesty-tax",
    "taxpayer-grade-a",
    "comprehensive-evaluation",
)
KINDS = {item.code: item.kind for item in CATALOGUE.latest_items()}
LISTS = tuple(item.code for item in CATALOGUE.latest_items() if item.list_colour)
VALUES: dict[str, tuple[Any, ...]] = {
    "result": ("未发现问题", "发现问题已责令改正", "其他", 3, None, ["发现问题已责令改正", 1]),
    "fulfilment": ("全部履行", "部分履行", None),
    "penalty_categories": (["罚款"], ["罚款", "吊销许可证件"], [], "罚款"),
}
_numbers = count()

days = st.integers(-1200, 1200).map(lambda shift: day_of(NOW) + timedelta(days=shift))
past_days = st.integers(-1200, 0).map(lambda shift: day_of(NOW) + timedelta(days=shift))
instants = st.integers(-900 * 24, 900 * 24).map(lambda hours: NOW + timedelta(hours=hours)) | st.just(NOW)
maybe = st.none() | instants

records = st.builds(
    RecordFact,
    id=st.uuids(version=4),
    item_code=st.sampled_from(ITEMS),
    severity=st.sampled_from([None, "minor", "general", "serious"]),
    decided_on=past_days,
    valid_until=st.none() | days | st.just(date(2099, 12, 31)),
    state=st.sampled_from([State.PUBLISHED] * 6 + [State.WITHHELD] * 2 + list(State)).map(str),
    publicity_from=st.just(NOW - timedelta(days=5)) | maybe,
    publicity_until=maybe,
    disclosure_until=maybe,
    values=st.fixed_dictionaries({}, optional={name: st.sampled_from(found) for name, found in VALUES.items()}),
)

entities = st.builds(
    Facts,
    uscc=st.builds(lambda: compose("91", "500103", f"MA7{next(_numbers):05d}")),
    division=st.sampled_from(["500103", "500112", "110105"]),
    industry=st.sampled_from(["", "C25", "C26", "F51", "F52", "J66"]),
    category=st.sampled_from(["91", "92"]),
    registration_status=st.sampled_from(["active", "revoked", "unknown"]),
    established_on=st.none() | past_days,
    records=st.lists(records, max_size=6, unique_by=lambda record: record.id).map(tuple),
)

_windows = st.sampled_from([1, 30, 365, 730])
_conditions = st.fixed_dictionaries(
    {},
    optional={
        "items": st.lists(st.sampled_from(ITEMS), min_size=1, max_size=3, unique=True),
        "kinds": st.just(["penalty", "inspection", "commitment", "list-entry"]),
        "polarities": st.sampled_from([["distrust"], ["neutral", "distrust"]]),
        "severities": st.sampled_from([["serious"], ["minor", "general"]]),
        "within_days": _windows,
    },
).filter(bool)
_facts = st.sampled_from(
    [
        {"items": ["inspection-result"], "facts": {"result": ["发现问题已责令改正"]}, "within_days": 730},
        {"items": ["commitment"], "facts": {"fulfilment": ["部分履行", "全部未履行"]}},
        {"kinds": ["penalty"], "facts": {"penalty_categories": ["吊销许可证件"]}},
    ]
)
_entity = st.fixed_dictionaries(
    {},
    optional={
        "statuses": st.just(["revoked", "unknown"]),
        "categories": st.just(["92"]),
        "industries": st.sampled_from([["F"], ["C26", "J66"], ["C", "F51"]]),
        "younger_than_days": _windows,
        "older_than_days": _windows,
    },
).filter(bool)


@st.composite
def rule_sets(draw: st.DrawFn) -> RuleSet:
    """A rule set that the schema and the catalogue accept."""
    rules = []
    for number in range(draw(st.integers(1, 5))):
        rule: dict[str, Any] = {"id": f"rule-{number}", "label_zh": "规则", "label_en": "rule"}
        points = draw(st.integers(-12, 25).filter(bool))
        if draw(st.integers(0, 3)):
            rule |= {"records": draw(_conditions | _facts), "points": points, "at_least": draw(st.integers(1, 3))}
            sign = 1 if points > 0 else -1
            if draw(st.booleans()):
                rule |= {
                    "each_further": sign * draw(st.integers(1, 8)),
                    "most": points + sign * draw(st.integers(0, 9)),
                }
        else:
            rule |= {"entity": draw(_entity), "points": points}
        if not draw(st.integers(0, 3)):
            rule["at_least_class"] = draw(st.sampled_from(["B", "C", "D"]))
        rules.append(rule)
    document = {
        "name": "made-at-random",
        "version": "1",
        "status": "trial",
        "title_zh": "随机",
        "title_en": "random",
        "bands": {"B": 6, "C": 15, "D": 30},
        "rules": [rule for rule in rules if _possible(rule)] or [rules[0] | {"records": {"kinds": ["penalty"]}}],
    }
    for rule in document["rules"]:
        if "records" in rule and "entity" in rule:
            del rule["entity"]
    return documents.build(document, CATALOGUE)


def _possible(rule: dict[str, Any]) -> bool:
    return "records" not in rule or bool(documents._items(rule["records"], CATALOGUE))


async def enter(owner: asyncpg.Connection[Any], population: Sequence[Facts], now: datetime = NOW) -> None:
    """Write entities and their records as they stand, behind the service's back."""
    await owner.executemany(
        "INSERT INTO entity (uscc, name, category, division, industry, registration_status, established_on, source,"
        " created_at, updated_at) VALUES ($1, '测试有限公司', $2, $3, $4, $5, $6, 'registrar', $7, $7)"
        " ON CONFLICT (uscc) DO NOTHING",
        [
            (f.uscc, f.category, f.division, f.industry or None, f.registration_status, f.established_on, now)
            for f in population
        ],
    )
    await owner.executemany(
        "INSERT INTO record (uscc, id, item_code, document_number, authority_uscc, authority_name, source_uscc,"
        " source_name, entity_name, decided_on, valid_until, legal_basis, public_facts, shared_facts, restricted_facts,"
        " severity, explanation, rule_version, state, state_from, notices, publicity_from, publicity_until,"
        " disclosure_until, version, content_digest, recorded_at, changed_at)"
        " VALUES ($1, $2::uuid, $3, ($2::uuid)::text, $4, $5, $4, $5, '测试有限公司', $6, $7, '依据', $8, $9, '{}',"
        " $10, '[]', 'test',"
        " $11, $12, '[]', $13, $14, $15, 1, '\\x00', $12, $12)",
        [
            (
                *(f.uscc, r.id, r.item_code, AGENCY, AGENCY_NAME, r.decided_on, r.valid_until),
                orjson.dumps({k: v for k, v in r.values.items() if k != "fulfilment"}).decode(),
                orjson.dumps({k: v for k, v in r.values.items() if k == "fulfilment"}).decode(),
                *(r.severity, r.state, now, r.publicity_from, r.publicity_until, r.disclosure_until),
            )
            for f in population
            for r in f.records
        ],
    )


def penalty_fact(**changes: Any) -> RecordFact:
    """A serious penalty of ten days ago in its publicity term."""
    plain = RecordFact(
        id=uuid.uuid4(),
        item_code="administrative-penalty",
        severity="serious",
        decided_on=day_of(NOW) - timedelta(days=10),
        valid_until=None,
        state=State.PUBLISHED,
        publicity_from=NOW - timedelta(days=9),
        publicity_until=NOW + timedelta(days=300),
        disclosure_until=NOW + timedelta(days=1000),
        values={},
    )
    return replace(plain, **changes)


def company(*found: RecordFact, number: int = 1, **changes: Any) -> Facts:
    plain = Facts(
        uscc=compose("91", "500103", f"MA0{number:05d}"),
        division="500103",
        industry="F51",
        category="91",
        registration_status="active",
        established_on=date(2015, 1, 1),
        records=found,
    )
    return replace(plain, **changes)


PROPOSER = Actor("client:one", "test", AGENCY)
FIRST, SECOND = Actor("operator", "test"), Actor("operator-two", "test")


async def adopt(
    database: Database, clock: Clock, document: dict[str, Any] = SHIPPED, *, chunk: int = 10_000
) -> tuple[UUID, UUID]:
    """Propose and activate a rule set by two people; gives it and the run it began, which is not worked on yet."""
    async with database.transaction() as session:
        row = await commands.propose(session, CATALOGUE, FIRST, clock.now(), document)
    async with database.transaction() as session:
        row, _ = await commands.activate(session, SECOND, clock.now(), row.id, "*")
        run = await runs.start(session, SECOND, clock.now(), runs.FULL, row, chunk=chunk)
    return row.id, run.id


COUNTED = "SELECT tag, division, industry, risk_class, entities FROM class_count WHERE entities <> 0"
RECOUNTED = """
SELECT tag, division, industry, risk_class, count(*) FROM class_tag GROUP BY 1, 2, 3, 4
UNION ALL SELECT '', division, industry, risk_class, count(*) FROM entity_class GROUP BY 2, 3, 4
"""
FLOWED = """
SELECT tag, division, industry, risk_class, sum(change)::bigint FROM class_flow GROUP BY 1, 2, 3, 4
HAVING sum(change) <> 0
"""
TAGGED = "SELECT uscc, tag FROM class_tag"
EXPANDED = "SELECT uscc, unnest(tags) FROM entity_class"


async def check_exact(owner: asyncpg.Connection[Any]) -> None:
    """Counts, flows, tags and history all say what the classes themselves say."""
    counted = sorted(tuple(row) for row in await owner.fetch(COUNTED))
    assert counted == sorted(tuple(row) for row in await owner.fetch(RECOUNTED))
    assert counted == sorted(tuple(row) for row in await owner.fetch(FLOWED))
    assert sorted(map(tuple, await owner.fetch(TAGGED))) == sorted(map(tuple, await owner.fetch(EXPANDED)))
    newest = await owner.fetch("SELECT DISTINCT ON (uscc) uscc, risk_class FROM class_history ORDER BY uscc, id DESC")
    assert dict(map(tuple, newest)) == dict(map(tuple, await owner.fetch("SELECT uscc, risk_class FROM entity_class")))


async def below_a_province(api: Api) -> None:
    """Give the bureau of the tests an authority above it."""
    async with api.database.transaction() as session:
        setup = Actor("test", "setup")
        body = AgencyWrite(name="重庆市市场监督管理局", division="500000", level="province", grants=[])
        await accounts.put_agency(session, CATALOGUE, setup, api.clock.now(), PROVINCE, body)
        bureau = await accounts.read_agency(session, AGENCY)
        body = AgencyWrite(**bureau.model_dump(exclude={"uscc"}) | {"parent_uscc": PROVINCE})
        await accounts.put_agency(session, CATALOGUE, setup, api.clock.now(), AGENCY, body)
