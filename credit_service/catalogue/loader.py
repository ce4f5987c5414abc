"""Load the catalogue. A broken edition is refused whole, each fault with file, line and reason."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

import orjson
from jsonschema import Draft202012Validator, FormatChecker

from credit_service.catalogue import building
from credit_service.catalogue.models import Catalogue, Supplement, Words
from credit_service.catalogue.sources import CatalogueError, Entry, Fault, Source, line_at, read
from credit_service.catalogue.supplement import local_faults, refined
from credit_service.catalogue.validation import RULE_REFERENCES, Sources, semantic_faults
from credit_service.platform.resources import schemas_dir
from credit_service.platform.settings import Settings

__all__ = ["RULE_REFERENCES", "CatalogueError", "Fault", "configured", "load"]

_LOCAL_KEYS = ("supplement", "refinements")


def configured(settings: Settings) -> Catalogue:
    """The catalogue that the settings name. Raises ``CatalogueError``."""
    return load(settings.catalogue_dir, settings.catalogue_supplement_dir)


def load(directory: Path | None = None, supplement: Path | None = None) -> Catalogue:
    """The catalogue of ``directory`` (default: the shipped one) with a local supplement's folder, immutable.

    Reads every ``*.yaml`` of each folder, checks each by the JSON Schema, then all of them together. Raises
    ``CatalogueError`` with every fault found.
    """
    contents = _contents(directory or schemas_dir() / "catalogue")
    sources = _sources(contents)
    _refuse(_national_faults(contents, sources))
    if supplement is None:
        _refuse(semantic_faults(sources))
        return _catalogue(contents, sources, None, {})
    return _supplemented(contents, sources, supplement)


def _supplemented(contents: dict[Path, Entry], national: Sources, folder: Path) -> Catalogue:
    added = _contents(folder, shown_as=f"{folder.name}/")
    names = {path: f"{folder.name}/{path.name}" for path in added}
    headers = [
        Source(names[path], content["supplement"], content["edition"])
        for path, content in added.items()
        if "supplement" in content
    ]
    if len(headers) != 1:
        raise CatalogueError([Fault(str(folder), 1, "a supplement says once whose it is: supplement: {division, ...}")])
    local = _sources(added, names)
    refinements = _entries(added, names, "refinements")
    both = _together(national, local)
    _refuse([*semantic_faults(both), *local_faults(national, local, refinements, headers[0])])
    rules = refined(national.rules, refinements)
    # What a refinement sets is checked as any rule's body is.
    _refuse(
        Fault(refinement.file, refinement.entry.line_of("set"), error.message)
        for refinement in refinements
        for source in rules
        if source.entry["version"] == refinement.entry["version"]
        for error in _validator().iter_errors({"edition": source.edition, "rules": [_without_refines(source.entry)]})
    )
    header = headers[0]
    whose = Supplement(**header.entry, edition=header.edition)
    return _catalogue(contents, replace(both, rules=rules), whose, added)


def _without_refines(entry: Entry) -> dict[str, object]:
    return {name: value for name, value in entry.items() if name != "refines"}


def _refuse(faults: Iterable[Fault]) -> None:
    found = sorted(faults, key=lambda fault: (fault.file, fault.line))
    if found:
        raise CatalogueError(found)


def _contents(directory: Path, shown_as: str = "") -> dict[Path, Entry]:
    """The files of a folder, each of which meets the schema. Raises ``CatalogueError``."""
    paths = sorted(directory.glob("*.yaml"))
    if not paths:
        raise CatalogueError([Fault(str(directory), 1, "no catalogue files")])
    contents: dict[Path, Entry] = {}
    faults: list[Fault] = []
    for path in paths:
        contents[path], unreadable = read(path)
        faults += unreadable or _schema_faults(path, contents[path])
    if faults:
        raise CatalogueError(Fault(shown_as + fault.file, fault.line, fault.reason) for fault in faults)
    return contents


@cache
def _validator() -> Draft202012Validator:
    schema = orjson.loads((schemas_dir() / "catalogue" / "catalogue.schema.json").read_bytes())
    return Draft202012Validator(schema, format_checker=FormatChecker(["date"]))


def _schema_faults(path: Path, content: Entry) -> Iterable[Fault]:
    for error in _validator().iter_errors(content):
        place = "/".join(str(part) for part in error.absolute_path)
        yield Fault(path.name, line_at(content, error.absolute_path), f"{place}: {error.message}")


def _entries(contents: Mapping[Path, Entry], names: Mapping[Path, str], section: str) -> list[Source]:
    return [
        Source(names.get(path, path.name), entry, content["edition"])
        for path, content in contents.items()
        for entry in content.get(section, ())
    ]


def _sources(contents: Mapping[Path, Entry], names: Mapping[Path, str] | None = None) -> Sources:
    sections = ("documents", "items", "rules", "measures", "scenarios")
    return Sources(
        **{section: _entries(contents, names or {}, section) for section in sections},
        field_sets={
            name: fields for content in contents.values() for name, fields in content.get("field_sets", {}).items()
        },
        words={code: words for content in contents.values() for code, words in content.get("words", {}).items()},
    )


def _together(national: Sources, local: Sources) -> Sources:
    return Sources(
        documents=[*national.documents, *local.documents],
        items=[*national.items, *local.items],
        rules=[*national.rules, *local.rules],
        measures=[*national.measures, *local.measures],
        scenarios=[*national.scenarios, *local.scenarios],
        field_sets={**local.field_sets, **national.field_sets},
        words={**local.words, **national.words},
    )


def _national_faults(contents: Mapping[Path, Entry], sources: Sources) -> Iterable[Fault]:
    """What only a supplement's files may hold."""
    for path, content in contents.items():
        for key in _LOCAL_KEYS:
            if key in content:
                yield Fault(path.name, content.line_of(key), f"{key} belongs into the folder of a local supplement")
    for source in sources.items:
        if "local" in source.entry:
            yield source.fault("local belongs to an item of a local supplement", "local")


def _catalogue(
    contents: Mapping[Path, Entry], sources: Sources, supplement: Supplement | None, added: Mapping[Path, Entry]
) -> Catalogue:
    digest = hashlib.sha256()
    for path in (*contents, *added):
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
        words=MappingProxyType({code: Words(**words) for code, words in sources.words.items()}),
        supplement=supplement,
        digest=digest.hexdigest(),
    )
