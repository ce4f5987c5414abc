"""Submission templates as data, and the recognition of a file's header."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson
import yaml
from jsonschema import Draft202012Validator

from credit_service.catalogue.models import Catalogue
from credit_service.entities.rules import comparable_name
from credit_service.identity.personal import masked
from credit_service.platform.errors import FieldError, Problem, ProblemType
from credit_service.platform.resources import schemas_dir

TEMPLATE_UNKNOWN = ProblemType("import-template-unknown", 422, "没有该数据模板", "No such submission template")
HEADER_NOT_RECOGNISED = ProblemType(
    "import-header-not-recognised", 422, "表头无法识别", "The header is not that of the template"
)
AUTOMATIC = "auto"
FEWEST_CELLS = 3
"""Of a header: titles above it fill fewer."""


@dataclass(frozen=True, slots=True)
class Column:
    """What a column means. ``target`` is ``core:<column>``, ``fact:<name>``, ``person:<mark>`` or ``dropped``.

    ``also`` are further targets that the same text fills. ``values`` maps what files say to what the record holds.
    """

    target: str
    also: tuple[str, ...]
    labels: tuple[str, ...]
    codes: tuple[str, ...]
    type: str
    required: bool
    values: Mapping[str, str]

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target, *self.also)


@dataclass(frozen=True)
class Template:
    """A submission template 数据模板. With several items a column (``core:item``) says which one a row is about.

    ``document_number_from`` is the fact that stands in where a row has no document number.
    """

    name: str
    items: tuple[str, ...]
    name_zh: str
    name_en: str
    source: str
    status: str
    legal_basis_default: str | None
    document_number_from: str | None
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Which position of a file's row holds which target, in the order of the template's aliases."""

    template: str
    positions: tuple[tuple[int, str, str], ...]
    """(position in the row, target, type)"""
    labels: dict[str, str]
    """The label the file itself uses for each target: what a receipt points at."""
    values: dict[str, Mapping[str, str]]
    """For each target, what its column's words mean."""
    unknown: tuple[str, ...]


@cache
def templates() -> dict[str, Template]:
    """Every shipped template by name."""
    folder = schemas_dir() / "templates"
    validator = Draft202012Validator(orjson.loads((folder / "template.schema.json").read_bytes()))
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        content = yaml.safe_load(path.read_bytes())
        validator.validate(content)
        found[content["template"]] = Template(
            name=content["template"],
            items=tuple(content["items"]),
            name_zh=content["name_zh"],
            name_en=content["name_en"],
            source=content["source"],
            status=content["status"],
            legal_basis_default=content.get("legal_basis_default"),
            document_number_from=content.get("document_number_from"),
            columns=tuple(_column(entry) for entry in content["columns"]),
        )
    return found


def _column(entry: Mapping[str, Any]) -> Column:
    return Column(
        target=entry["target"],
        also=tuple(entry.get("also", ())),
        labels=tuple(entry["labels"]),
        codes=tuple(entry.get("codes", ())),
        type=entry.get("type", "text"),
        required=entry.get("required", False),
        values=dict(entry.get("values", {})),
    )


def template_of(name: str) -> Template:
    """Raises ``TEMPLATE_UNKNOWN``."""
    template = templates().get(name)
    if template is None:
        known = ", ".join(templates())
        raise Problem(TEMPLATE_UNKNOWN, errors=[FieldError("query:template", "known template", known)])
    return template


@cache
def item_names(catalogue: Catalogue, codes: tuple[str, ...]) -> dict[str, str]:
    """Comparable code or Chinese name, of every version of these items -> code."""
    names = {comparable_name(item.name_zh): code for code in codes for item in catalogue.items[code]}
    return names | {comparable_name(code): code for code in codes}


_MARKS = re.compile(r"[\s*＊:：]|\((?:必填|选填|必填项|选填项|万元)\)|【(?:必填|选填)】")


def header_key(cell: str) -> str:
    """A header cell reduced to what identifies it: width, spaces, line breaks, stars and 必填 marks do not count."""
    text = unicodedata.normalize("NFKC", cell).replace("(万元)", "")
    return _MARKS.sub("", text).strip("_").upper()


@cache
def _aliases(name: str) -> dict[str, tuple[int, Column]]:
    """Header key -> (rank of the alias within its column, column). A column also answers to its name in the API."""
    aliases: dict[str, tuple[int, Column]] = {}
    columns = template_of(name).columns
    for column in columns:
        for spellings in (column.labels, column.codes):
            for rank, spelling in enumerate(spellings):
                aliases.setdefault(header_key(spelling), (rank, column))
    for column in columns:
        kind, _, own = column.target.partition(":")
        if kind in ("core", "fact"):
            aliases.setdefault(header_key(own), (0, column))
    return aliases


def detect(cells: Sequence[str]) -> str:
    """The template that knows most of these header cells; of several, the one that misses fewest required columns.

    Raises ``HEADER_NOT_RECOGNISED``, also where two templates fit alike: then the sender has to name one.
    """
    keys = {header_key(cell) for cell in cells if cell.strip()}
    ranking = sorted(((*_fit(name, keys), name) for name in templates()), reverse=True)
    (known, missing, best), (next_known, next_missing, second) = ranking[:2]
    if not known:
        raise _not_recognised(list(cells)[:1], "no column of any template")
    if (known, missing) == (next_known, next_missing):
        raise _not_recognised(list(cells)[:1], f"fits {second} and {best}: name the template")
    return best


def is_header(name: str, cells: Sequence[str]) -> bool:
    """Whether a template, or any where it is to be found out, knows three of these cells: titles and groups it does
    not know.
    """
    keys = {header_key(cell) for cell in cells if cell.strip()}
    names = templates() if name == AUTOMATIC else (name,)
    return len(keys) >= FEWEST_CELLS and any(len(keys & _aliases(each).keys()) >= FEWEST_CELLS for each in names)


def _fit(name: str, keys: set[str]) -> tuple[int, int]:
    """How many header cells the template knows, and how few of its required columns are missing (0: none)."""
    aliases = _aliases(name)
    found = {id(aliases[key][1]) for key in keys if key in aliases}
    missing = sum(column.required and id(column) not in found for column in template_of(name).columns)
    return sum(key in aliases for key in keys), -missing


def recognise(name: str, cells: Sequence[str], *, columns_required: bool = True) -> Plan:
    """The plan for a file with this header, by label or code, in any order.

    Raises ``HEADER_NOT_RECOGNISED`` naming each required column that is missing, or that stands twice.
    """
    if name == AUTOMATIC:
        name = detect(cells)
    aliases = _aliases(name)
    found: list[tuple[str, int, int, Column]] = []
    unknown = []
    labels: dict[str, str] = {}
    for position, cell in enumerate(cells):
        alias = aliases.get(header_key(cell))
        if alias is None:
            if cell.strip():
                unknown.append(cell.strip()[:50])
            continue
        rank, column = alias
        for target in column.targets:
            found.append((target, rank, position, column))
            labels.setdefault(target, cell.strip())
    missing = [c for c in template_of(name).columns if columns_required and c.required and c.target not in labels]
    if missing:
        errors = [FieldError(f"header:{c.labels[0]}", "required column", "/".join(c.codes)) for c in missing]
        raise Problem(HEADER_NOT_RECOGNISED, detail=name, errors=errors)
    found.sort(key=lambda entry: (entry[0], entry[1], entry[2]))
    positions = tuple((position, target, column.type) for target, _, position, column in found if target != "dropped")
    values = {target: column.values for target, _, _, column in found if column.values}
    return Plan(name, positions, labels, values, tuple(unknown[:20]))


def _not_recognised(names: Sequence[str], rule: str) -> Problem:
    """By the first cell; where a file has no header that is a value, and may be somebody's."""
    told = [masked(name)[:50] for name in names or [""]]
    return Problem(HEADER_NOT_RECOGNISED, errors=[FieldError(f"header:{name}", rule) for name in told])
