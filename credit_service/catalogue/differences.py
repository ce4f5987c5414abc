"""What differs between two editions, or between the law of two days: pure, for editors who review a change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from credit_service.catalogue.models import Catalogue
from credit_service.catalogue.views import CatalogueView, catalogue_view, everything

Entries = Mapping[tuple[str, str], Any]
Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry (document, item, rule or measure) that is ``added``, ``removed`` or ``changed``.

    ``changes`` maps dotted paths to the value before and after; ``None`` where there is none.
    """

    section: str
    key: str
    change: str
    changes: dict[str, tuple[Any, Any]]


def between_editions(before: Catalogue, after: Catalogue) -> list[Difference]:
    """Every version of every entry that is not the same in both."""
    return _differences(_versions(everything(before)), _versions(everything(after)))


def between_days(catalogue: Catalogue, before: date, after: date) -> list[Difference]:
    """What the catalogue says differently of a decision made on another day."""
    return _differences(_holding(catalogue_view(catalogue, before)), _holding(catalogue_view(catalogue, after)))


def _versions(view: CatalogueView) -> Entries:
    return {
        **{("document", d.id): _plain(d) for d in view.documents},
        **{("item", f"{i.code} ({i.effective_from})"): _plain(i) for i in view.items},
        **{("rule", f"{r.kind} {r.version}"): _plain(r) for r in view.rules},
        **{("measure", f"{m.code} ({m.effective_from})"): _plain(m) for m in view.measures},
    }


def _holding(view: CatalogueView) -> Entries:
    return {
        **{("item", i.code): _plain(i) for i in view.items},
        **{("rule", f"{r.kind} {r.name}"): _plain(r) for r in view.rules},
        **{("measure", m.code): _plain(m) for m in view.measures},
    }


def _plain(view: Any) -> Plain:
    """The entry by dotted path. Its edition is left out: a file's date is no change of law."""
    return dict(_flat(view.model_dump(mode="json", exclude={"edition"}), ""))


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        value = {_name(part, index): part for index, part in enumerate(value)}
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _flat(part, f"{path}.{key}" if path else key)
    else:
        yield path, value


def _name(part: Mapping[str, Any], index: int) -> str:
    """How a part of a list is told apart: fields by name, bases by document and article."""
    if "document" in part:
        return f"{part['document']} {part.get('article') or ''}".rstrip()
    return str(part.get("name") or index)


def _differences(before: Entries, after: Entries) -> list[Difference]:
    found = []
    for section, key in sorted(before.keys() | after.keys()):
        old, new = before.get((section, key)), after.get((section, key))
        change = "added" if old is None else "removed" if new is None else "changed"
        left, right = old or {}, new or {}
        paths = [*left, *(path for path in right if path not in left)]
        changes = {path: (left.get(path), right.get(path)) for path in paths if left.get(path) != right.get(path)}
        if changes:
            found.append(Difference(section, key, change, changes))
    return found
