"""A rule set as one SQL statement that judges a whole population: what ``rules.evaluate`` says of one entity.

Whatever an uploaded rule set says reaches the database as a parameter; the text is made of our own words, of numbers
and of the catalogue's codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from credit_service.catalogue.models import Catalogue
from credit_service.entities.history import ENTITIES_AT, RECORDS_AT
from credit_service.identity import industries
from credit_service.platform.days import day_of
from credit_service.supervision.classes.rules import EntityCondition, Rule, RuleSet, ages

LAST_DAY = "date '9999-12-31'"
OF_RANGE = "uscc > ($1::varchar[])[1] AND uscc <= ($1::varchar[])[2]"
OF_CODES = "uscc = ANY($1::varchar[])"

INDUSTRY = """CASE WHEN {0} IS NULL THEN '' WHEN {0} < 'A'
        THEN coalesce(({1}::json ->> left({0}, 2)) || left({0}, 2), '') ELSE left({0}, 3) END"""
"""The division of GB/T 4754 with its section, ``F51``, of ``F5191``, ``5191`` or ``F``."""


@dataclass
class _Parameters:
    """Values of a statement, numbered as they are named."""

    values: list[Any]

    def name(self, value: Any, kind: str) -> str:
        self.values.append(value)
        return f"${len(self.values)}::{kind}"


@dataclass(frozen=True, slots=True)
class Compiled:
    """``sql`` gives uscc, division, industry, risk_class, points, fresh_until and tags for each entity in scope.

    ``where`` is the scope as a condition on ``uscc``, for what is joined to it.
    """

    sql: str
    arguments: list[Any] = field(repr=False)
    where: str = OF_CODES


def present(rule_set: RuleSet, catalogue: Catalogue, scope: list[str], at: datetime, *, ranged: bool) -> Compiled:
    """Judge by the rows as they are: of a range (from, to] of codes, or of the codes named."""
    parameters = _Parameters([scope, at])
    where = OF_RANGE if ranged else OF_CODES
    return _compile(rule_set, catalogue, parameters, at, "record", "entity", where)


def past(
    rule_set: RuleSet, catalogue: Catalogue, usccs: list[str], as_of: datetime, known_at: datetime, now: datetime
) -> Compiled:
    """Judge by what held in law at ``as_of`` by what was known at ``known_at``."""
    parameters = _Parameters([usccs, as_of, ["regulator"], known_at, now])
    # $3 and $5 say whose eyes; the supervisor's see everything, and the statement has to name its parameters.
    records = f"({RECORDS_AT})"
    return _compile(rule_set, catalogue, parameters, as_of, records, f"({ENTITIES_AT})", OF_CODES)


def _compile(
    rule_set: RuleSet,
    catalogue: Catalogue,
    parameters: _Parameters,
    at: datetime,
    records: str,
    entities: str,
    where: str,
) -> Compiled:
    today = f"date '{day_of(at).isoformat()}'"
    sections = orjson.dumps({code[1:]: code[0] for code in industries.codes() if len(code) > 1}).decode()
    industry = INDUSTRY.format("e.industry", parameters.name(sections, "text"))
    rules = rule_set.rules
    held = {
        index: f"coalesce(t.n{index}, 0) >= {rule.at_least}"
        if rule.records is not None
        else _is(rule.entity, parameters)
        for index, rule in enumerate(rules)
    }
    points = " + ".join(_points(index, rule, held[index]) for index, rule in enumerate(rules))
    floors = [
        f"CASE WHEN {held[index]} THEN '{rule.at_least_class}' ELSE 'A' END"
        for index, rule in enumerate(rules)
        if rule.at_least_class > "A"
    ]
    b, c, d = rule_set.bands
    sql = f"""
WITH tag (bit, tag) AS (VALUES {_tags(catalogue)}),
subject AS (
    SELECT e.uscc, e.division, {industry} AS industry, e.category, e.registration_status,
        {today} - e.established_on AS age, e.established_on
    FROM {entities} e WHERE e.{where}
), tally AS ({_tally(rule_set, catalogue, parameters, today, records, where)}
), judged AS (
    SELECT s.uscc, s.division, s.industry, greatest(0, {points}) AS points,
        greatest('A', {", ".join(floors) or "'A'"}) AS worst, t.bits,
        least(t.boundary, {_age_boundary(rule_set, today)}) AS fresh_until
    FROM subject s LEFT JOIN tally t USING (uscc)
), named AS (
    SELECT d.bits, (SELECT array_agg(tag ORDER BY tag) FROM (
        SELECT DISTINCT tag FROM tag WHERE get_bit(d.bits, tag.bit) = 1) AS own) AS tags
    FROM (SELECT DISTINCT bits FROM judged WHERE bits IS NOT NULL) d
)
SELECT j.uscc, j.division, j.industry,
    greatest(worst, CASE WHEN points >= {d} THEN 'D' WHEN points >= {c} THEN 'C' WHEN points >= {b} THEN 'B'
        ELSE 'A' END) COLLATE "C" AS risk_class,
    points::integer, coalesce(fresh_until, 'infinity') AS fresh_until, coalesce(named.tags, '{{}}'::text[]) AS tags
FROM judged j LEFT JOIN named USING (bits)
"""
    return Compiled(sql, parameters.values, where)


def _tally(
    rule_set: RuleSet, catalogue: Catalogue, parameters: _Parameters, today: str, records: str, where: str
) -> str:
    """For each entity how many records each rule counts (``n`` and the rule's number), its tags, the next boundary.

    OFFSET 0 keeps each step apart: what a record says is read once, and a row is narrow before rows are grouped.
    """
    rules = [(index, rule) for index, rule in enumerate(rule_set.rules) if rule.records is not None]
    read = sorted({name for _, rule in rules for name in _facts(rule)})
    days = sorted({rule.records.within_days for _, rule in rules if rule.records and rule.records.within_days})
    said = "".join(f", {_said(name, place, parameters)} AS said{place}" for place, name in enumerate(read))
    looked = "".join(f", i.looks{index}" for index, _ in rules)
    met = "".join(f", {_meets(index, rule, read, parameters)} AS met{index}" for index, rule in rules)
    counts = "".join(f", count(*) FILTER (WHERE met{index}) AS n{index}" for index, _ in rules)
    lapses = "".join(f", CASE WHEN i.within{each} AND r.age < {each} THEN r.decided_on + {each} END" for each in days)
    return f"""
    SELECT uscc, min(coalesce(pending, boundary)) AS boundary,
        bit_or(bits) FILTER (WHERE pending IS NULL) AS bits{counts}
    FROM (
        SELECT uscc, pending, bits, least(ends, lapses::timestamp AT TIME ZONE 'Asia/Shanghai') AS boundary{met}
        FROM (
            SELECT r.uscc, r.severity, r.age, r.pending{looked}{said},
                CASE WHEN r.state = 'published' THEN i.published ELSE i.tagged END AS bits,
                least(r.publicity_until, r.disclosure_until) AS ends,
                least(CASE WHEN r.state = 'withheld' AND r.valid_until < {LAST_DAY} THEN r.valid_until + 1 END{lapses})
                    AS lapses
            FROM (
                SELECT *, {today} - decided_on AS age,
                    CASE WHEN state = 'published' AND publicity_from > $2 THEN publicity_from END AS pending
                FROM {records} s
                WHERE {where} AND state IN ('published', 'withheld')
                    AND $2::timestamptz < coalesce(publicity_until, 'infinity')
                    AND $2 < coalesce(disclosure_until, 'infinity')
                    AND (state = 'published' OR valid_until IS NULL OR valid_until >= {today})
            ) r JOIN (VALUES {_items(catalogue, rules, read, days)}
            ) i ({", ".join(_item_columns(rules, read, days))}) USING (item_code) OFFSET 0
        ) r OFFSET 0
    ) r GROUP BY uscc"""


def _item_columns(rules: list[tuple[int, Rule]], read: list[str], days: list[int]) -> list[str]:
    looks = [f"looks{index}" for index, _ in rules]
    return [
        "item_code",
        "tagged",
        "published",
        *looks,
        *(f"reads{place}" for place in range(len(read))),
        *_within(days),
    ]


def _within(days: list[int]) -> list[str]:
    return [f"within{each}" for each in days]


def _facts(rule: Rule) -> Mapping[str, frozenset[str]]:
    return (rule.records.facts if rule.records is not None else None) or {}


def _items(catalogue: Catalogue, rules: list[tuple[int, Rule]], read: list[str], days: list[int]) -> str:
    """Each item: its tags, with those of what is shown; which rules look at it, which facts they read, within when."""
    places = _places(catalogue)
    rows = []
    for item in catalogue.latest_items():
        looking = [rule for _, rule in rules if rule.records is not None and item.code in rule.records.items]
        tagged = {f"kind:{item.kind}", *([f"list:{item.code}"] if item.list_colour else [])}
        published = tagged | ({f"shown:{item.code}"} if item.list_colour else set())
        said = [
            *(rule in looking for _, rule in rules),
            *(any(name in _facts(rule) for rule in looking) for name in read),
            *(any(rule.records is not None and rule.records.within_days == each for rule in looking) for each in days),
        ]
        bits = (f"B'{''.join('01'[name in own] for name in places)}'" for own in (tagged, published))
        rows.append(f"('{_word(item.code)}', {', '.join([*bits, *(str(each).lower() for each in said)])})")
    return ", ".join(rows)


def _places(catalogue: Catalogue) -> dict[str, int]:
    lists = [item.code for item in catalogue.latest_items() if item.list_colour]
    kinds = sorted({item.kind for item in catalogue.latest_items()})
    names = [f"kind:{kind}" for kind in kinds] + [f"{of}:{code}" for of in ("list", "shown") for code in lists]
    return {name: place for place, name in enumerate(names)}


def _tags(catalogue: Catalogue) -> str:
    return ", ".join(f"({place}, '{_word(name)}'::text COLLATE \"C\")" for name, place in _places(catalogue).items())


def _word(text: str) -> str:
    """A code of the catalogue, which its own schema holds to letters, digits and hyphens."""
    assert text.replace("-", "").replace(":", "").isalnum(), text
    assert text.isascii(), text
    return text


def _meets(index: int, rule: Rule, read: list[str], parameters: _Parameters) -> str:
    condition = rule.records
    assert condition is not None
    parts = [f"looks{index}", "pending IS NULL"]
    if condition.severities:
        parts.append(f"severity = ANY({parameters.name(sorted(condition.severities), 'text[]')})")
    if condition.within_days is not None:
        parts.append(f"age < {condition.within_days}")
    for name, values in _facts(rule).items():
        parts.append(f"said{read.index(name)} && {parameters.name(sorted(values), 'text[]')}")
    return f"({' AND '.join(parts)})"


def _said(name: str, place: int, parameters: _Parameters) -> str:
    """The text, or the texts of the list, under a name; the facts of items that nobody asks are not read at all."""
    key = parameters.name(name, "text")
    value = f"coalesce(r.public_facts -> {key}, r.shared_facts -> {key}, r.restricted_facts -> {key})"
    return f"""CASE WHEN i.reads{place} THEN (
        SELECT CASE json_typeof(said.value) WHEN 'string' THEN ARRAY[said.value #>> '{{}}'] WHEN 'array' THEN ARRAY(
            SELECT member.value #>> '{{}}' FROM json_array_elements(said.value) AS member (value)
            WHERE json_typeof(member.value) = 'string') END
        FROM (SELECT {value} AS value OFFSET 0) AS said) END"""


def _is(condition: EntityCondition | None, parameters: _Parameters) -> str:
    assert condition is not None
    parts = []
    if condition.statuses:
        parts.append(f"s.registration_status = ANY({parameters.name(sorted(condition.statuses), 'text[]')})")
    if condition.categories:
        parts.append(f"s.category = ANY({parameters.name(sorted(condition.categories), 'text[]')})")
    if condition.industries:
        prefixes = parameters.name(list(condition.industries), "text[]")
        parts.append(f"(left(s.industry, 1) = ANY({prefixes}) OR s.industry = ANY({prefixes}))")
    if condition.younger_than_days is not None:
        parts.append(f"coalesce(s.age < {condition.younger_than_days}, false)")
    if condition.older_than_days is not None:
        parts.append(f"coalesce(s.age >= {condition.older_than_days}, false)")
    return " AND ".join(parts)


def _points(index: int, rule: Rule, held: str) -> str:
    if rule.records is None or not rule.each_further:
        amount = str(rule.points)
    else:
        amount = f"({rule.points} + {rule.each_further} * (t.n{index} - {rule.at_least}))"
    if rule.most is not None:
        amount = f"{'least' if rule.points >= 0 else 'greatest'}({amount}, {rule.most})"
    return f"CASE WHEN {held} THEN {amount} ELSE 0 END"


def _age_boundary(rule_set: RuleSet, today: str) -> str:
    moments = [
        f"CASE WHEN s.age < {days} THEN s.established_on + {days} END::timestamp AT TIME ZONE 'Asia/Shanghai'"
        for days in sorted(ages(rule_set))
    ]
    return ", ".join(moments) or "NULL::timestamptz"
