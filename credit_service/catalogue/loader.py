"""Read, validate and build the catalogue. A broken edition is refused whole, each fault with file, line and reason."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
import yaml
from jsonschema import Draft202012Validator

from credit_service.catalogue.models import Catalogue, Document, Field, Item, LegalBasis, Measure, Rule
from credit_service.platform.resources import schemas_dir

RULE_REFERENCES = ("severity", "publicity", "retention", "notice", "repair", "objection")
SECTIONS = ("documents", "items", "rules", "measures")


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason to refuse an edition."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class CatalogueError(Exception):
    """The catalogue cannot be loaded; ``faults`` lists every reason found."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class _Mapping(dict[str, Any]):
    """A YAML mapping that remembers the line it began on."""

    line: int = 1


class _Loader(yaml.CSafeLoader):
    """Safe YAML without implicit dates (they stay text until the schema has seen them), with line numbers."""


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> _Mapping:
    loader.flatten_mapping(node)
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", node.value[index][0].start_mark)
    mapping = _Mapping(loader.construct_mapping(node, deep=True))
    mapping.line = node.start_mark.line + 1
    return mapping


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))


@dataclass(frozen=True, slots=True)
class _Source:
    """An entry of a file with where it stands."""

    file: str
    entry: _Mapping
    edition: str

    def fault(self, reason: str) -> Fault:
        return Fault(self.file, self.entry.line, reason)


def load(directory: Path | None = None) -> Catalogue:
    """The catalogue of ``directory`` (default: the shipped one). Raises ``CatalogueError``."""
    directory = directory or schemas_dir() / "catalogue"
    files = sorted(directory.glob("*.yaml"))
    if not files:
        raise CatalogueError([Fault(str(directory), 1, "no catalogue files")])
    faults: list[Fault] = []
    contents = {path: _read(path, faults) for path in files}
    for path, content in contents.items():
        faults += _schema_faults(path, content)
    if faults:
        raise CatalogueError(faults)
    catalogue, semantic = _build(contents)
    if semantic:
        raise CatalogueError(semantic)
    return catalogue


def _read(path: Path, faults: list[Fault]) -> _Mapping:
    try:
        content = yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506 - a subclass of the safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        faults.append(Fault(path.name, mark.line + 1 if mark else 1, getattr(error, "problem", None) or "not YAML"))
        return _Mapping(edition="0000-00-00")
    if not isinstance(content, _Mapping):
        faults.append(Fault(path.name, 1, "a catalogue file is a mapping"))
        return _Mapping(edition="0000-00-00")
    return content


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(orjson.loads((schemas_dir() / "catalogue" / "catalogue.schema.json").read_bytes()))


def _schema_faults(path: Path, content: _Mapping) -> Iterable[Fault]:
    for error in _validator().iter_errors(content):
        line, value = content.line, content
        for part in error.absolute_path:
            value = value[part]
            line = getattr(value, "line", line)
        place = "/".join(str(part) for part in error.absolute_path)
        yield Fault(path.name, line, f"{place}: {error.message}")


def _entries(contents: Mapping[Path, _Mapping], section: str) -> list[_Source]:
    return [
        _Source(path.name, entry, content["edition"])
        for path, content in contents.items()
        for entry in content.get(section, ())
    ]


def _build(contents: Mapping[Path, _Mapping]) -> tuple[Catalogue, list[Fault]]:
    sources = {section: _entries(contents, section) for section in SECTIONS}
    field_sets = {name: fields for content in contents.values() for name, fields in content.get("field_sets", {}).items()}
    faults: list[Fault] = []
    documents = _unique(sources["documents"], "id", faults)
    measures = _unique(sources["measures"], "code", faults)
    rules = _intervals(sources["rules"], lambda entry: (entry["kind"], entry["name"]), faults)
    items = _intervals(sources["items"], lambda entry: entry["code"], faults)
    faults += _reference_faults(sources, documents, measures, rules, field_sets)
    if faults:
        return Catalogue("", {}, {}, {}, {}), faults
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in contents)).hexdigest()
    catalogue = Catalogue(
        edition=max(content["edition"] for content in contents.values()),
        documents=MappingProxyType({key: _document(source.entry) for key, source in documents.items()}),
        items=MappingProxyType(
            {code: tuple(_item(source, field_sets) for source in versions) for code, versions in items.items()}
        ),
        rules=MappingProxyType({key: tuple(_rule(s.entry) for s in versions) for key, versions in rules.items()}),
        measures=MappingProxyType({key: _measure(source.entry) for key, source in measures.items()}),
        digest=digest,
    )
    return catalogue, []


def _unique(sources: list[_Source], key: str, faults: list[Fault]) -> dict[str, _Source]:
    found: dict[str, _Source] = {}
    for source in sources:
        if source.entry[key] in found:
            faults.append(source.fault(f"{source.entry[key]} is declared twice"))
        found[source.entry[key]] = source
    return found


def _intervals(sources: list[_Source], key: Any, faults: list[Fault]) -> dict[Any, list[_Source]]:
    """Versions by name, the oldest first; two of them never hold on one day."""
    found: dict[Any, list[_Source]] = defaultdict(list)
    for source in sources:
        found[key(source.entry)].append(source)
    for versions in found.values():
        versions.sort(key=lambda source: source.entry["effective_from"])
        for earlier, later in zip(versions, versions[1:], strict=False):
            end = earlier.entry.get("effective_to")
            if end is None or end > later.entry["effective_from"]:
                faults.append(later.fault(f"{key(later.entry)}: overlaps the version of {earlier.file}:{earlier.entry.line}"))
        for source in versions:
            end = source.entry.get("effective_to")
            if end is not None and end <= source.entry["effective_from"]:
                faults.append(source.fault("effective_to is not after effective_from"))
    return found


def _reference_faults(
    sources: Mapping[str, list[_Source]],
    documents: Mapping[str, Any],
    measures: Mapping[str, Any],
    rules: Mapping[tuple[str, str], Any],
    field_sets: Mapping[str, Any],
) -> Iterable[Fault]:
    for source in (*sources["items"], *sources["rules"], *sources["measures"]):
        for basis in source.entry.get("legal_basis", ()):
            if basis["document"] not in documents:
                yield source.fault(f"unknown document {basis['document']}")
    for source in sources["items"]:
        entry = source.entry
        for kind in RULE_REFERENCES:
            name = entry.get(f"{kind}_rule")
            if name is not None and (kind, name) not in rules:
                yield source.fault(f"unknown {kind} rule {name}")
        for code in entry.get("measures", ()):
            if code not in measures:
                yield source.fault(f"unknown measure {code}")
        if entry.get("field_set") is not None and entry["field_set"] not in field_sets:
            yield source.fault(f"unknown field set {entry['field_set']}")
        names = [f["name"] for f in (*field_sets.get(entry.get("field_set"), ()), *entry.get("fields", ()))]
        for name in {name for name in names if names.count(name) > 1}:
            yield source.fault(f"field {name} stands twice")
    for source in sources["measures"]:
        if source.entry["kind"] == "A" and not source.entry.get("legal_basis"):
            yield source.fault(f"measure {source.entry['code']} reduces rights and names no statute")


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _bases(entry: Mapping[str, Any]) -> tuple[LegalBasis, ...]:
    return tuple(LegalBasis(b["document"], b.get("article"), b["status"]) for b in entry.get("legal_basis", ()))


def _document(entry: Mapping[str, Any]) -> Document:
    return Document(
        id=entry["id"],
        title_zh=entry["title_zh"],
        title_en=entry["title_en"],
        number=entry.get("number"),
        effective_from=_day(entry.get("effective_from")),
        effective_to=_day(entry.get("effective_to")),
        status=entry["status"],
    )


def _field(entry: Mapping[str, Any]) -> Field:
    conditions = entry.get("required_if")
    return Field(
        name=entry["name"],
        label_zh=entry["label_zh"],
        type=entry["type"],
        publication=entry["publication"],
        required=entry.get("required", False),
        required_if=MappingProxyType({k: tuple(v) for k, v in conditions.items()}) if conditions else None,
        max_length=entry.get("max_length"),
        values=tuple(entry.get("values", ())),
        template_code=entry.get("template_code"),
    )


def _item(source: _Source, field_sets: Mapping[str, Any]) -> Item:
    entry = source.entry
    fields = (*field_sets.get(entry.get("field_set"), ()), *entry.get("fields", ()))
    return Item(
        code=entry["code"],
        name_zh=entry["name_zh"],
        name_en=entry["name_en"],
        kind=entry["kind"],
        polarity=entry["polarity"],
        list_colour=entry.get("list"),
        section=entry["section"],
        authority_zh=entry["authority_zh"],
        authority_en=entry["authority_en"],
        legal_basis=_bases(entry),
        severity_rule=entry["severity_rule"],
        publicity_rule=entry["publicity_rule"],
        retention_rule=entry.get("retention_rule"),
        notice_rule=entry.get("notice_rule"),
        repair_rule=entry.get("repair_rule"),
        objection_rule=entry.get("objection_rule"),
        measures=tuple(entry.get("measures", ())),
        fields=tuple(_field(f) for f in fields),
        effective_from=date.fromisoformat(entry["effective_from"]),
        effective_to=_day(entry.get("effective_to")),
        edition=source.edition,
        status=entry["status"],
    )


def _rule(entry: Mapping[str, Any]) -> Rule:
    return Rule(
        kind=entry["kind"],
        name=entry["name"],
        version=entry["version"],
        effective_from=date.fromisoformat(entry["effective_from"]),
        effective_to=_day(entry.get("effective_to")),
        applies_to_older_decisions=entry.get("applies_to_older_decisions", False),
        legal_basis=_bases(entry),
        status=entry["status"],
        body=MappingProxyType(dict(entry["body"])),
        note=entry.get("note"),
    )


def _measure(entry: Mapping[str, Any]) -> Measure:
    return Measure(
        code=entry["code"],
        name_zh=entry["name_zh"],
        name_en=entry["name_en"],
        kind=entry["kind"],
        needs_statute=entry["kind"] == "A",
        legal_basis=_bases(entry),
        implementer=entry.get("implementer"),
        minimum_term=entry.get("minimum_term"),
        maximum_term=entry.get("maximum_term"),
        status=entry["status"],
    )
