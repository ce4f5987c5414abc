"""Entities by class, place, list, kind of record and date: pages in three orders, and counts that are exact.

A page starts where an index says, whatever its depth. Counts by class, place and one list or kind are sums of the
maintained ``class_count``, whose size follows the divisions and industries and not the entities; only with a date, or
with a list and a kind at once, are the entities themselves counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from credit_service.identity import industries
from credit_service.platform.days import end_of, start_of
from credit_service.supervision.classes.rules import CLASSES

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

ORDERS: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "division": (("division", "uscc"), ("varchar", "varchar"), "ASC"),
    "risk": (("risk_class", "points", "uscc"), ("varchar", "integer", "varchar"), "DESC"),
    "since": (("since", "uscc"), ("timestamptz", "varchar"), "DESC"),
}
"""Orders by name: columns, their types, direction. ``risk`` begins with the worst, ``since`` with the newest."""

MOST_POINTS = 2**31 - 1
AFTER_EVERY_CODE = "~"

_COLUMNS = """c.uscc, e.name, c.risk_class, c.points, c.division, c.industry, c.tags, c.since, c.evaluated_at,
    c.rule_set_id, e.registration_status"""
_PENDING = """
SELECT EXISTS (SELECT FROM entity_change)
    OR EXISTS (SELECT FROM entity_class WHERE fresh_until <= $1 AND fresh_until <> 'infinity')
    OR EXISTS (SELECT FROM class_run WHERE kind = 'full' AND state = 'open')
"""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which entities. Empty members ask for nothing; ``since_from`` and ``since_to`` are days in Asia/Shanghai."""

    classes: tuple[str, ...] = ()
    division: str = ""
    industry: str = ""
    list_code: str | None = None
    kind: str | None = None
    since_from: date | None = None
    since_to: date | None = None

    @property
    def tags(self) -> list[str]:
        named = ((self.list_code, "list"), (self.kind, "kind"))
        return [f"{prefix}:{value}" for value, prefix in named if value is not None]

    @property
    def counted_ahead(self) -> bool:
        """Whether the maintained counts answer."""
        return self.since_from is None and self.since_to is None and len(self.tags) <= 1


def within(column: str, prefix: str, arguments: list[Any]) -> str:
    """That a code column begins with a prefix, as a range an index is read by."""
    arguments += [prefix, prefix + ":"]  # the colon follows the nine
    return f"{column} >= ${len(arguments) - 1} AND {column} < ${len(arguments)}"


def _conditions(filters: Filters, arguments: list[Any], place: str) -> list[str]:
    """``place`` is the table whose columns say class and place: a tag's own where a tag leads."""
    found = []
    if len(filters.classes) == 1:
        arguments.append(filters.classes[0])
        found.append(f"{place}.risk_class = ${len(arguments)}")
    elif filters.classes:
        arguments.append(list(filters.classes))
        found.append(f"{place}.risk_class = ANY(${len(arguments)}::varchar[])")
    if filters.division:
        found.append(within(f"{place}.division", filters.division, arguments))
    if filters.industry:
        found.append(within(f"{place}.industry", filters.industry, arguments))
    if filters.since_from is not None:
        arguments.append(start_of(filters.since_from))
        found.append(f"c.since >= ${len(arguments)}")
    if filters.since_to is not None:
        arguments.append(end_of(filters.since_to))
        found.append(f"c.since < ${len(arguments)}")
    return found


def _from(filters: Filters, arguments: list[Any], order: str) -> tuple[str, list[str], str]:
    """The tables, the conditions, and the table that class and place are read from."""
    tags = filters.tags
    if tags and order == "division":
        arguments.append(tags[0])
        dated = filters.since_from is not None or filters.since_to is not None
        tables = "class_tag t JOIN entity_class c ON c.uscc = t.uscc" if dated else "class_tag t"
        conditions, place, rest = [f"t.tag = ${len(arguments)}"], "t", tags[1:]
    else:
        tables, conditions, place, rest = "entity_class c", [], "c", tags
    for tag in rest:
        arguments.append(tag)
        conditions.append(f"EXISTS (SELECT FROM class_tag o WHERE o.uscc = {place}.uscc AND o.tag = ${len(arguments)})")
    return tables, conditions + _conditions(filters, arguments, place), place


def page_query(filters: Filters, order: str, after: Sequence[Any] | None, limit: int) -> tuple[str, list[Any]]:
    """The statement of a page of ``limit`` + 1 rows, and its arguments.

    The page's codes are found in an index alone, then looked up. Where classes are asked for, and in the order of
    places always, each class is read in its own order and the pages are merged; so is each industry of a class.
    Nothing is passed over because it is of another class, however they are spread.
    """
    arguments: list[Any] = []
    cells = [] if filters.tags and order == "division" else _cells(filters, order)
    tables, conditions, place = _from(_beside(filters, order, cells), arguments, order)
    names, _, direction = ORDERS[order]
    keys = [*cells, *(name for name in names if name not in cells)]
    conditions += _span(filters, order, after, cells, place, arguments)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    by = ", ".join(f"{{0}}.{name} {direction}" for name in names)
    # A number: a plan made for any limit takes a tenth of all entities for the page, and reads them all.
    end = f"LIMIT {limit + 1:d}"
    inner = ", ".join(f"{place}.{name} {direction}" for name in keys)
    found = f"SELECT {', '.join(f'{place}.{name}' for name in names)} FROM {tables} {where} ORDER BY {inner} {end}"
    if cells:
        members = _members(filters, cells, after if order == "risk" else None, arguments)
        found = f"SELECT p.* FROM {members} CROSS JOIN LATERAL ({found}) p ORDER BY {by.format('p')} {end}"
    sql = f"""
        SELECT {_COLUMNS} FROM ({found}) f JOIN entity_class c ON c.uscc = f.uscc JOIN entity e ON e.uscc = c.uscc
        ORDER BY {by.format("f")}
    """
    return sql, arguments


def _cells(filters: Filters, order: str) -> list[str]:
    """The columns whose every value asked for is read apart, in the order of the page."""
    if filters.industry and order == "division":
        return ["risk_class", "industry"]
    return ["risk_class"] if filters.classes or order == "division" else []


def _beside(filters: Filters, order: str, cells: list[str]) -> Filters:
    """What is left to ask of each row where cells and the span of the order have asked the rest."""
    rest = filters
    if cells:
        rest = replace(rest, classes=(), industry="" if "industry" in cells else rest.industry)
    if order == "division":
        return replace(rest, division="")
    return replace(rest, since_from=None, since_to=None) if order == "since" else rest


def _span(
    filters: Filters,
    order: str,
    after: Sequence[Any] | None,
    cells: list[str],
    place: str,
    arguments: list[Any],
) -> list[str]:
    """Where in its index a page begins and the pages end, each as one comparison of rows.

    An equality beside a comparison that starts with the same column would win: the index would be read from the
    beginning of the class, and whatever lies before the page be passed over. So a cell is a span too.
    """
    names, types, direction = ORDERS[order]
    onward, back = (">", "<") if direction == "ASC" else ("<", ">")
    start, end = _bounds(filters, order, after)
    values = [f"cell.{name}" for name in cells]
    own = [name for name in names if name not in cells]
    if order == "risk" and cells:
        values += [f"cell.{name}" for name in own] if start else []
    else:
        for value, kind in zip(start, types, strict=False):
            arguments.append(value)
            values.append(f"${len(arguments)}::{kind}")
    found = []
    if values:
        strict = "" if start else "="
        found.append(f"({_row(place, [*cells, *own][: len(values)])}) {onward}{strict} ({', '.join(values)})")
    last = [f"cell.{name}" for name in cells]
    if end is not None:
        arguments.append(end)
        last.append(f"${len(arguments)}::{types[0]}")
    if last:
        # The end of places is the first that is outside; of dates, which are read backwards, the last that is inside.
        strict = "" if end is not None and order == "division" else "="
        found.append(f"({_row(place, [*cells, *own][: len(last)])}) {back}{strict} ({', '.join(last)})")
    return found


def _row(place: str, names: list[str]) -> str:
    return ", ".join(f"{place}.{name}" for name in names)


def _bounds(filters: Filters, order: str, after: Sequence[Any] | None) -> tuple[list[Any], Any]:
    """After which place a page begins (none: at the beginning), and where the order's first column ends."""
    starts = [list(after)] if after is not None else []
    if order == "division" and filters.division:
        return max(([filters.division, ""], *starts)), filters.division + ":"  # the colon follows the nine
    if order != "since":
        return starts[0] if starts else [], None
    if filters.since_to is not None:
        starts.append([end_of(filters.since_to), ""])
    return min(starts, default=[]), start_of(filters.since_from) if filters.since_from is not None else None


def _members(filters: Filters, cells: list[str], after: Sequence[Any] | None, arguments: list[Any]) -> str:
    """The values of ``cells`` as a table; with ``after``, a place in the order of risk, each with where it begins."""
    classes = list(filters.classes or CLASSES)
    if after is not None:
        own = [each for each in classes if each <= after[0]]
        arguments.append(own)
        arguments.append([after[1] if each == after[0] else MOST_POINTS for each in own])
        arguments.append([after[2] if each == after[0] else AFTER_EVERY_CODE for each in own])
        one, two, three = range(len(arguments) - 2, len(arguments) + 1)
        arrays = f'${one}::varchar[] COLLATE "C", ${two}::integer[], ${three}::varchar[] COLLATE "C"'
        return f"unnest({arrays}) AS cell (risk_class, points, uscc)"
    arguments.append(classes)
    listed = f'unnest(${len(arguments)}::varchar[] COLLATE "C") AS class_of (risk_class)'
    if "industry" not in cells:
        return f"(SELECT * FROM {listed}) AS cell"
    arguments.append([code for code in industries.codes() if code.startswith(filters.industry)])
    return f'(SELECT * FROM {listed}, unnest(${len(arguments)}::varchar[] COLLATE "C") AS own (industry)) AS cell'


def place_of(order: str, row: Any) -> list[Any]:
    """Where a page goes on after a row."""
    return [row[name] for name in ORDERS[order][0]]


async def page(
    connection: AnyConnection, filters: Filters, order: str, after: Sequence[Any] | None, limit: int
) -> list[Any]:
    """``limit`` rows and one more, if there are so many; in the caller's transaction.

    The plan is made for the values asked for: one for any class and place would be chosen after some pages, and read
    all of a class where a few rows of its index do.
    """
    sql, arguments = page_query(filters, order, after, limit)
    await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
    return list(await connection.fetch(sql, *arguments))


async def count(connection: AnyConnection, filters: Filters) -> dict[str, int]:
    """How many entities there are of each class; exact, as of the transaction."""
    arguments: list[Any] = []
    if filters.counted_ahead:
        arguments.append((*filters.tags, "")[0])
        conditions = ["c.tag = $1", *_conditions(filters, arguments, "c")]
        sql = f"SELECT risk_class, sum(entities)::bigint AS n FROM class_count c WHERE {' AND '.join(conditions)}"
    else:
        tables, conditions, place = _from(filters, arguments, "division")
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        sql = f"SELECT {place}.risk_class, count(*) AS n FROM {tables} {where}"
        return {row["risk_class"]: row["n"] for row in await connection.fetch(f"{sql} GROUP BY 1", *arguments)}
    return {row["risk_class"]: row["n"] for row in await connection.fetch(f"{sql} GROUP BY 1", *arguments) if row["n"]}


async def is_pending(connection: AnyConnection, now: datetime) -> bool:
    """Whether some class has yet to follow a change, the time or a new rule set."""
    return bool(await connection.fetchval(_PENDING, now))


_MIGRATED = """
WITH touched AS (SELECT DISTINCT uscc FROM class_history WHERE since >= $1 AND since < $2)
SELECT coalesce(was.risk_class, '') AS before, now.risk_class AS after, count(*) AS n
FROM touched t
CROSS JOIN LATERAL (
    SELECT * FROM class_history h WHERE h.uscc = t.uscc AND h.since < $2 ORDER BY since DESC, id DESC LIMIT 1
) now
LEFT JOIN LATERAL (
    SELECT * FROM class_history h WHERE h.uscc = t.uscc AND h.since < $1 ORDER BY since DESC, id DESC LIMIT 1
) was ON true
{where} GROUP BY 1, 2
"""


async def distribution(connection: AnyConnection, filters: Filters, day: date | None) -> dict[str, int]:
    """Entities of each class now, or at the end of a day: the sum of every change up to it."""
    if day is None:
        return await count(connection, filters)
    arguments: list[Any] = [(*filters.tags, "")[0], day]
    conditions = ["f.tag = $1", "f.day <= $2", *_conditions(filters, arguments, "f")]
    rows = await connection.fetch(
        f"SELECT risk_class, sum(change)::bigint AS n FROM class_flow f WHERE {' AND '.join(conditions)} GROUP BY 1",
        *arguments,
    )
    return {row["risk_class"]: row["n"] for row in rows if row["n"]}


async def migration(
    connection: AnyConnection, first: date, last: date, division: str, industry: str
) -> dict[tuple[str, str], int]:
    """From which class (empty: none yet) to which, between the ends of two days; places are those of the later one.

    Only entities with a change between are looked at; all others stay what the later distribution says they are.
    """
    filters = Filters(division=division, industry=industry)
    arguments: list[Any] = [end_of(first), end_of(last)]
    conditions = _conditions(filters, arguments, "now")
    sql = _MIGRATED.format(where=f"WHERE {' AND '.join(conditions)}" if conditions else "")
    found = {(row["before"], row["after"]): row["n"] for row in await connection.fetch(sql, *arguments)}
    for risk_class, total in (await distribution(connection, filters, last)).items():
        stayed = total - sum(n for (_, after), n in found.items() if after == risk_class)
        if stayed:
            found[risk_class, risk_class] = found.get((risk_class, risk_class), 0) + stayed
    return found
