"""Rule sets as documents: read, checked by their JSON Schema and against the catalogue, made into immutable values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import yaml
from jsonschema import Draft202012Validator

from credit_service.audit.events import canonical_json
from credit_service.catalogue.models import Catalogue, Item
from credit_service.platform.errors import FieldError, Problem
from credit_service.platform.resources import schemas_dir
from credit_service.supervision.classes.rules import (
    RULE_SET_REFUSED,
    EntityCondition,
    RecordCondition,
    Rule,
    RuleSet,
)

LARGEST = 1 << 18


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(orjson.loads((schemas_dir() / "supervision" / "rule-set.schema.json").read_bytes()))


def shipped() -> dict[str, dict[str, Any]]:
    """The rule sets that come with the service, by name. They are examples: no authority's weights are published."""
    paths = sorted((schemas_dir() / "supervision").glob("*.yaml"))
    return {path.stem: parse(path.read_text(encoding="utf-8")) for path in paths}


def load(path: Path, catalogue: Catalogue) -> RuleSet:
    """A rule set from a file. Raises ``RULE_SET_REFUSED``."""
    return build(parse(path.read_text(encoding="utf-8")), catalogue)


def parse(text: str) -> dict[str, Any]:
    """YAML (or JSON, which it contains) as an object. Raises ``RULE_SET_REFUSED``."""
    if len(text) > LARGEST:
        raise Problem(RULE_SET_REFUSED, errors=[FieldError("/document", f"at most {LARGEST} characters")])
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader that takes no aliases
        canonical_json(document)  # what JSON cannot say is not admitted either
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise Problem(RULE_SET_REFUSED, errors=[FieldError("/document", "YAML or JSON without aliases")]) from error
    if not isinstance(document, dict):
        raise Problem(RULE_SET_REFUSED, errors=[FieldError("/document", "an object")])
    return document


class _Loader(yaml.SafeLoader):
    """Safe YAML without aliases: nothing in an uploaded text grows when it is read."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not admitted")
        return super().compose_node(parent, index)


def digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of the document's canonical JSON, hexadecimal."""
    return hashlib.sha256(canonical_json(document)).hexdigest()


def build(document: Mapping[str, Any], catalogue: Catalogue) -> RuleSet:
    """The rule set a document stands for. Raises ``RULE_SET_REFUSED`` with a pointer for each fault."""
    errors = list(_faults(document, catalogue))
    if errors:
        raise Problem(RULE_SET_REFUSED, errors=errors)
    bands = document["bands"]
    return RuleSet(
        name=document["name"],
        version=document["version"],
        status=document["status"],
        title_zh=document["title_zh"],
        title_en=document["title_en"],
        bands=(bands["B"], bands["C"], bands["D"]),
        rules=tuple(_rule(entry, catalogue) for entry in document["rules"]),
    )


def _faults(document: Mapping[str, Any], catalogue: Catalogue) -> Iterator[FieldError]:
    found = [
        FieldError("/document/" + "/".join(map(str, error.absolute_path)), "rule-set.schema.json", error.message[:300])
        for error in _validator().iter_errors(document)
    ]
    if found:
        yield from found
        return
    bands = document["bands"]
    if not bands["B"] < bands["C"] < bands["D"]:
        yield FieldError("/document/bands", "B < C < D")
    seen: set[str] = set()
    for index, entry in enumerate(document["rules"]):
        place = f"/document/rules/{index}"
        if entry["id"] in seen:
            yield FieldError(f"{place}/id", "unique")
        seen.add(entry["id"])
        yield from _rule_faults(entry, place, catalogue)


def _rule_faults(entry: Mapping[str, Any], place: str, catalogue: Catalogue) -> Iterator[FieldError]:
    points, most = entry.get("points", 0), entry.get("most")
    if most is not None and (most * points <= 0 or abs(most) < abs(points)):
        yield FieldError(f"{place}/most", "the sign of points, and not less than they are")
    if entry.get("each_further", 0) * points < 0:
        yield FieldError(f"{place}/each_further", "the sign of points")
    if "records" not in entry:
        return
    known = {
        "items": set(catalogue.items),
        "kinds": {item.kind for item in catalogue.latest_items()},
        "sections": {item.section for item in catalogue.latest_items()},
    }
    for name, values in known.items():
        for unknown in set(entry["records"].get(name, ())) - values:
            yield FieldError(f"{place}/records/{name}", "of the catalogue", unknown)
    covered = _items(entry["records"], catalogue)
    if not covered:
        yield FieldError(f"{place}/records", "conditions that some item of the catalogue meets")
    fields = {field.name for code in covered for item in catalogue.items[code] for field in item.fields}
    for name in entry["records"].get("facts", {}):
        if name not in fields:
            yield FieldError(f"{place}/records/facts/{name}", "a field of the items")


def _items(condition: Mapping[str, Any], catalogue: Catalogue) -> frozenset[str]:
    """The catalogue items that a condition covers."""
    attributes = {"items": "code", "kinds": "kind", "sections": "section", "polarities": "polarity"}

    def covered(item: Item) -> bool:
        return all(
            getattr(item, attribute) in condition[name] for name, attribute in attributes.items() if name in condition
        )

    return frozenset(item.code for item in catalogue.latest_items() if covered(item))


def _rule(entry: Mapping[str, Any], catalogue: Catalogue) -> Rule:
    return Rule(
        id=entry["id"],
        label_zh=entry["label_zh"],
        label_en=entry["label_en"],
        points=entry.get("points", 0),
        each_further=entry.get("each_further", 0),
        most=entry.get("most"),
        at_least=entry.get("at_least", 1),
        at_least_class=entry.get("at_least_class", "A"),
        records=_record_condition(entry["records"], catalogue) if "records" in entry else None,
        entity=_entity_condition(entry["entity"]) if "entity" in entry else None,
    )


def _record_condition(entry: Mapping[str, Any], catalogue: Catalogue) -> RecordCondition:
    return RecordCondition(
        items=_items(entry, catalogue),
        severities=frozenset(entry.get("severities", ())),
        facts={name: frozenset(values) for name, values in entry["facts"].items()} if "facts" in entry else None,
        within_days=entry.get("within_days"),
    )


def _entity_condition(entry: Mapping[str, Any]) -> EntityCondition:
    return EntityCondition(
        statuses=frozenset(entry.get("statuses", ())),
        categories=frozenset(entry.get("categories", ())),
        industries=tuple(entry.get("industries", ())),
        younger_than_days=entry.get("younger_than_days"),
        older_than_days=entry.get("older_than_days"),
    )
