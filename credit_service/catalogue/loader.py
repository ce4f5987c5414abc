"""Load the catalogue. A broken edition is refused whole, each fault with file, line and reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import orjson
from jsonschema import Draft202012Validator, FormatChecker

from credit_service.catalogue import building
from credit_service.catalogue.models import Catalogue
from credit_service.catalogue.sources import CatalogueError, Entry, Fault, Source, line_at, read
from credit_service.catalogue.validation import RULE_REFERENCES, Sources, semantic_faults
from credit_service.platform.resources import schemas_dir

__all__ = ["RULE_REFERENCES", "CatalogueError", "Fault", "load"]


def load(directory: Path | None = None) -> Catalogue:
    """The catalogue of ``directory`` (default: the shipped one), immutable.

    Reads every ``*.yaml`` of the folder, checks each by the JSON Schema, then all of them together. Raises
    ``CatalogueError`` with every fault found.
    """
    directory = directory or schemas_dir() / "catalogue"
    paths = sorted(directory.glob("*.yaml"))
    if not paths:
        raise CatalogueError([Fault(str(directory), 1, "no catalogue files")])
    contents: dict[Path, Entry] = {}
    faults: list[Fault] = []
    for path in paths:
        contents[path], unreadable = read(path)
        faults += unreadable or _schema_faults(path, contents[path])
    if faults:
        raise CatalogueError(faults)
    sources = _sources(contents)
    faults = semantic_faults(sources)
    if faults:
        raise CatalogueError(sorted(faults, key=lambda fault: (fault.file, fault.line)))
    return _catalogue(contents, sources)


@cache
def _validator() -> Draft202012Validator:
    schema = orjson.loads((schemas_dir() / "catalogue" / "catalogue.schema.json").read_bytes())
    return Draft202012Validator(schema, format_checker=FormatChecker(["date"]))


def _schema_faults(path: Path, content: Entry) -> Iterable[Fault]:
    for error in _validator().iter_errors(content):
        place = "/".join(str(part) for part in error.absolute_path)
        yield Fault(path.name, line_at(content, error.absolute_path), f"{place}: {error.message}")


def _sources(contents: Mapping[Path, Entry]) -> Sources:
    def entries(section: str) -> list[Source]:
        return [
            Source(path.name, entry, content["edition"])
            for path, content in contents.items()
            for entry in content.get(section, ())
        ]

    return Sources(
        documents=entries("documents"),
        items=entries("items"),
        rules=entries("rules"),
        measures=entries("measures"),
        scenarios=entries("scenarios"),
        field_sets={
            name: fields for content in contents.values() for name, fields in content.get("field_sets", {}).items()
        },
    )


def _catalogue(contents: Mapping[Path, Entry], sources: Sources) -> Catalogue:
    digest = hashlib.sha256()
    for path in contents:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    items = [building.item(source.entry, sources.field_sets, source.edition) for source in sources.items]
    rules = [building.rule(source.entry, source.edition) for source in sources.rules]
    measures = [building.measure(source.entry, source.edition) for source in sources.measures]
    items, measures = building.linked(items, measures)
    return Catalogue(
        edition=max(content["edition"] for content in contents.values()),
        documents=MappingProxyType({s.entry["id"]: building.document(s.entry) for s in sources.documents}),
        items=building.versions(items, lambda item: item.code),
        rules=building.versions(rules, lambda rule: (rule.kind, rule.name)),
        measures=building.versions(measures, lambda measure: measure.code),
        scenarios=MappingProxyType({s.entry["code"]: building.scenario(s.entry) for s in sources.scenarios}),
        digest=digest.hexdigest(),
    )
