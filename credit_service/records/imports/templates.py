"""Submission templates as data, and the recognition of a file's header."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import orjson
import yaml
from jsonschema import Draft202012Validator

from credit_service.platform.errors import FieldError, Problem, ProblemType
from credit_service.platform.resources import schemas_dir

TEMPLATE_UNKNOWN = ProblemType("import-template-unknown", 422, "没有该数据模板", "No such submission template")
HEADER_NOT_RECOGNISED = ProblemType(
    "import-header-not-recognised", 422, "表头无法识别", "The header is not that of the template"
)
AUTOMATIC = "auto"


@dataclass(frozen=True, slots=True)
class Column:
    """What a column means. ``target`` is ``core:<column>``, ``fact:<name>``, ``person:<mark>`` or ``dropped``."""

    target: str
    labels: tuple[str, ...]
    codes: tuple[str, ...]
    type: str
    required: bool


@dataclass(frozen=True)
class Template:
    """A submission template 数据模板."""

    name: str
    item_code: str
    name_zh: str
    name_en: str
    legal_basis_default: str | None
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Which position of a file's row holds which target, in the order of the template's aliases."""

    template: str
    positions: tuple[tuple[int, str, str], ...]
    """(position in the row, target, type)"""
    labels: dict[str, str]
    """The label the file itself uses for each target: what a receipt points at."""
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
        columns = tuple(
            Column(c["target"], tuple(c["labels"]), tuple(c["codes"]), c.get("type", "text"), c.get("required", False))
            for c in content["columns"]
        )
        found[content["template"]] = Template(
            content["template"],
            content["item_code"],
            content["name_zh"],
            content["name_en"],
            content.get("legal_basis_default"),
            columns,
        )
    return found


def template_of(name: str) -> Template:
    """Raises ``TEMPLATE_UNKNOWN``."""
    template = templates().get(name)
    if template is None:
        known = ", ".join(templates())
        raise Problem(TEMPLATE_UNKNOWN, errors=[FieldError("query:template", "known template", known)])
    return template


_MARKS = re.compile(r"[\s*＊:：]|\((?:必填|选填|必填项|选填项|万元)\)|【(?:必填|选填)】")


def header_key(cell: str) -> str:
    """A header cell reduced to what identifies it: width, spaces, line breaks, stars and 必填 marks do not count."""
    text = unicodedata.normalize("NFKC", cell).replace("(万元)", "")
    return _MARKS.sub("", text).strip("_").upper()


@cache
def _aliases(name: str) -> dict[str, tuple[int, Column]]:
    """Header key -> (rank of the alias within its column, column)."""
    aliases: dict[str, tuple[int, Column]] = {}
    for column in template_of(name).columns:
        for spellings in (column.labels, column.codes):
            for rank, spelling in enumerate(spellings):
                aliases.setdefault(header_key(spelling), (rank, column))
    return aliases


def detect(cells: Sequence[str]) -> str:
    """The template that knows most of these header cells. Raises ``HEADER_NOT_RECOGNISED``."""
    keys = [header_key(cell) for cell in cells]
    scores = {name: sum(key in _aliases(name) for key in keys) for name in templates()}
    best = max(scores, key=lambda name: scores[name])
    if not scores[best]:
        raise _not_recognised(list(cells)[:1], "no column of any template")
    return best


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
        found.append((column.target, rank, position, column))
        labels.setdefault(column.target, cell.strip())
    missing = [c for c in template_of(name).columns if columns_required and c.required and c.target not in labels]
    if missing:
        errors = [FieldError(f"header:{c.labels[0]}", "required column", "/".join(c.codes)) for c in missing]
        raise Problem(HEADER_NOT_RECOGNISED, detail=name, errors=errors)
    found.sort(key=lambda entry: (entry[0], entry[1], entry[2]))
    positions = tuple((position, target, column.type) for target, _, position, column in found if target != "dropped")
    return Plan(name, positions, labels, tuple(unknown[:20]))


def _not_recognised(names: Sequence[str], rule: str) -> Problem:
    return Problem(HEADER_NOT_RECOGNISED, errors=[FieldError(f"header:{name[:50]}", rule) for name in names or [""]])
