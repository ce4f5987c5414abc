"""A rule set as one SQL statement that judges a whole population: what ``rules.evaluate`` says of one entity.

Whatever an uploaded rule set says reaches the database as a parameter; the text is made of our own words, of numbers
and of the catalogue's codes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from credit_service.catalogue.models import Catalogue
from credit_service.entities.history import ENTITIES_AT, RECORDS_AT
from credit_service.identity import industries
from credit_service.platform.days import day_of
from credit_service.supervision.classes.rules import EntityCondition, Rule, RuleSet, ages, windows

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
    """``sql`` gives uscc, division, industry, risk_class, points, fresh_until and tags for each entity in scope."""

    sql: str
    arguments: list[Any] = field(repr=False)


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
    of_records = [(index, rule) for index, rule in enumerate(rules) if rule.records is not None]
    counts = "".join(
        f", count(*) FILTER (WHERE {_meets(rule, bit, parameters)}) AS n{index}"
        for bit, (index, rule) in enumerate(of_records)
    )
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
WITH item (item_code, mask, tagged, shown) AS (VALUES {_items(catalogue, [rule for _, rule in of_records])}),
tag (bit, tag) AS (VALUES {_tags(catalogue)}),
subject AS (
    SELECT e.uscc, e.division, {industry} AS industry, e.category, e.registration_status,
        {today} - e.established_on AS age, e.established_on
    FROM {entities} e WHERE e.{where}
), counted AS (
    SELECT r.uscc, i.mask, r.severity, r.age, r.public_facts, r.shared_facts, r.restricted_facts,
        i.tagged | CASE WHEN r.state = 'published' THEN i.shown ELSE {_no_bits(catalogue)} END AS bits, r.pending,
        least(r.publicity_until, r.disclosure_until,
            CASE WHEN r.state = 'withheld' AND r.valid_until < {LAST_DAY} THEN r.valid_until + 1 END::timestamp
                AT TIME ZONE 'Asia/Shanghai',
            {_lapse(rule_set, catalogue, [rule for _, rule in of_records])}) AS boundary
    FROM (
        SELECT uscc, item_code, severity, {today} - decided_on AS age, decided_on, valid_until, state, publicity_until,
            disclosure_until, public_facts, shared_facts, restricted_facts,
            CASE WHEN state = 'published' AND publicity_from > $2 THEN publicity_from END AS pending
        FROM {records} s
        WHERE {where} AND state IN ('published', 'withheld')
            AND $2::timestamptz < coalesce(publicity_until, 'infinity')
            AND $2 < coalesce(disclosure_until, 'infinity')
            AND (state = 'published' OR valid_until IS NULL OR valid_until >= {today})
    ) r JOIN item i USING (item_code)
), tally AS (
    SELECT uscc, min(coalesce(pending, boundary)) AS boundary,
        bit_or(bits) FILTER (WHERE pending IS NULL) AS bits{counts}
    FROM counted GROUP BY uscc
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
    return Compiled(sql, parameters.values)


def _items(catalogue: Catalogue, rules: list[Rule]) -> str:
    """Each item with the rules that look at it (bit n from the left: the nth rule about records) and its tags."""
    places = _places(catalogue)
    size = len(places)
    rows = []
    for item in catalogue.latest_items():
        mask = "".join("1" if rule.records and item.code in rule.records.items else "0" for rule in rules) or "0"
        tagged, shown = ["0"] * size, ["0"] * size
        tagged[places[f"kind:{item.kind}"]] = "1"
        if item.list_colour:
            tagged[places[f"list:{item.code}"]] = "1"
            shown[places[f"shown:{item.code}"]] = "1"
        rows.append(f"('{_word(item.code)}', B'{mask}', B'{''.join(tagged)}', B'{''.join(shown)}')")
    return ", ".join(rows)


def _places(catalogue: Catalogue) -> dict[str, int]:
    lists = [item.code for item in catalogue.latest_items() if item.list_colour]
    kinds = sorted({item.kind for item in catalogue.latest_items()})
    names = [f"kind:{kind}" for kind in kinds] + [f"{of}:{code}" for of in ("list", "shown") for code in lists]
    return {name: place for place, name in enumerate(names)}


def _tags(catalogue: Catalogue) -> str:
    return ", ".join(f"({place}, '{_word(name)}'::text COLLATE \"C\")" for name, place in _places(catalogue).items())


def _no_bits(catalogue: Catalogue) -> str:
    return f"B'{'0' * len(_places(catalogue))}'"


def _word(text: str) -> str:
    """A code of the catalogue, which its own schema holds to letters, digits and hyphens."""
    assert text.replace("-", "").replace(":", "").isalnum(), text
    assert text.isascii(), text
    return text


def _meets(rule: Rule, bit: int, parameters: _Parameters) -> str:
    condition = rule.records
    assert condition is not None
    parts = ["pending IS NULL", f"get_bit(mask, {bit}) = 1"]
    if condition.severities:
        parts.append(f"severity = ANY({parameters.name(sorted(condition.severities), 'text[]')})")
    if condition.within_days is not None:
        parts.append(f"age < {condition.within_days}")
    test = " AND ".join(parts)
    for name, values in (condition.facts or {}).items():
        # CASE keeps the facts of other items from being read at all.
        test = f"CASE WHEN {test} THEN {_says(name, sorted(values), parameters)} ELSE false END"
    return test


def _says(name: str, values: list[str], parameters: _Parameters) -> str:
    key, wanted = parameters.name(name, "text"), parameters.name(values, "text[]")
    value = f"coalesce(public_facts -> {key}, shared_facts -> {key}, restricted_facts -> {key})"
    return f"""coalesce(CASE json_typeof({value})
        WHEN 'array' THEN EXISTS (SELECT FROM json_array_elements({value}) AS member (value)
            WHERE json_typeof(member.value) = 'string' AND member.value #>> '{{}}' = ANY({wanted}))
        WHEN 'string' THEN {value} #>> '{{}}' = ANY({wanted}) ELSE false END, false)"""


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


def _lapse(rule_set: RuleSet, catalogue: Catalogue, rules: list[Rule]) -> str:
    """When a record grows too old for a rule that looks at its item now."""
    days = sorted({each for item in catalogue.items for each in windows(rule_set, item)})
    if not days:
        return "NULL::timestamptz"
    return f"least({', '.join(_window(each, rules) for each in days)})::timestamp AT TIME ZONE 'Asia/Shanghai'"


def _window(days: int, rules: list[Rule]) -> str:
    looking = "".join("1" if rule.records is not None and rule.records.within_days == days else "0" for rule in rules)
    none = "0" * len(rules)
    return f"CASE WHEN r.age < {days} AND i.mask & B'{looking}' <> B'{none}' THEN r.decided_on + {days} END"


def _age_boundary(rule_set: RuleSet, today: str) -> str:
    moments = [
        f"CASE WHEN s.age < {days} THEN s.established_on + {days} END::timestamp AT TIME ZONE 'Asia/Shanghai'"
        for days in sorted(ages(rule_set))
    ]
    return ", ".join(moments) or "NULL::timestamptz"
