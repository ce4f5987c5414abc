"""Every text that a request may hold is masked, refused or read as something else: none is kept as it was typed."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import AfterValidator, BaseModel

from credit_service.app import api_routes, create_app
from credit_service.identity.clean_text import CleanText, Reference
from credit_service.platform.settings import Settings

CODES = {"uscc", "codes", "add", "remove", "participants", "item_code", "items", "industry", "scenario", "measure"}
"""Read as a code of a standard or of the catalogue; what is none is refused and not repeated."""
TIMES = {"as_of", "known_at"}
ELSEWHERE = {
    ("RecordSubmission", "legal_basis"): "masked by records.commands, which says so in the receipt",
    ("RecordSubmission", "facts"): "checked by catalogue.facts",
    ("RecordChange", "facts"): "checked by catalogue.facts",
    ("ApplicationWrite", "content"): "refused by measures.commands",
    ("ApplicationWrite", "finding"): "refused by measures.commands",
    ("FeedbackWrite", "content"): "refused by measures.commands",
    ("FeedbackWrite", "explanation"): "refused by measures.commands",
    ("WatchlistWrite", "name"): "refused by watchlists.commands",
    ("ReviewWrite", "note"): "refused by watchlists.commands",
    ("ScreeningRequest", "names"): "refused by screening.reading",
    ("RuleSetDraft", "document"): "read by the schema of rule sets",
    ("ContactWrite", "address"): "read as an address of its channel",
    ("Verification", "code"): "compared only",
    ("ClientCreate", "jwks"): "read as public keys",
    ("DrawWrite", "public_value"): "a public value, part of the seed as it was published",
}


def _guards(annotation: Any) -> set[Any]:
    return {each.func for each in typing.get_args(annotation)[1:] if isinstance(each, AfterValidator)}


GUARDS = _guards(CleanText) | _guards(Reference)


def texts(kind: Any, metadata: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """What is asked of each text within an annotation."""
    if typing.get_origin(kind) is typing.Annotated:
        yield from texts(kind.__origin__, (*metadata, *kind.__metadata__))
    elif kind is str:
        yield metadata
    else:
        for part in typing.get_args(kind):
            yield from texts(part, metadata)


def models(kind: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        yield kind
    for part in typing.get_args(kind):
        yield from models(part)


def unguarded(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[tuple[str, str]]:
    if model in seen:
        return
    seen.add(model)
    for name, field in model.model_fields.items():
        for metadata in texts(field.annotation, tuple(field.metadata)):
            guarded = any(isinstance(each, AfterValidator) and each.func in GUARDS for each in metadata)
            if not guarded and not any(getattr(each, "pattern", None) for each in metadata):
                yield model.__name__, name
        for part in models(field.annotation):
            yield from unguarded(part, seen)


def test_every_text_of_a_request_is_guarded(tmp_path: Path) -> None:
    app, seen = create_app(Settings(data_dir=tmp_path)), set[type[BaseModel]]()
    found = {
        place
        for route in api_routes(app)
        if route.body_field is not None
        for model in models(route.body_field.field_info.annotation)
        for place in unguarded(model, seen)
    }
    assert len(seen) > 40
    found = {(model, name) for model, name in found if name.rpartition("_")[2] not in CODES and name not in TIMES}
    assert {place for place in found if place[1] not in CODES} == set(ELSEWHERE)
