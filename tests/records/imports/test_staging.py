"""A staged line writes each field once; it must say what the rules and the commitments of single submissions say."""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from credit_service.catalogue.loader import load
from credit_service.entities.commands import _NO_INSTANT, _new, content_of, noted_content
from credit_service.identity.uscc import Uscc, compose
from credit_service.records import rules
from credit_service.records.imports.staging import STAGED, staged_line
from credit_service.records.rules import Draft
from credit_service.records.standing import commitment

ITEM = load().latest("administrative-penalty")
CODE = compose("91", "110000", "12345678")
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
facts: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), texts | st.lists(texts, max_size=2) | st.integers(0, 9)
)


@given(st.tuples(texts, texts, texts, texts), st.tuples(facts, facts, facts), st.booleans(), st.binary(min_size=32))
def test_staged_as_the_rules_state_it(
    names: tuple[str, str, str, str], found: tuple[Any, Any, Any], ends: bool, salt: bytes
) -> None:
    name, document, authority, basis = names
    draft = Draft(
        item=ITEM,
        uscc=CODE,
        entity_name=name,
        document_number=document,
        decided_on=date(2026, 5, 6),
        valid_until=date(2027, 5, 6) if ends else None,
        authority_uscc=CODE,
        authority_name=authority,
        source_uscc=CODE,
        source_name=authority,
        legal_basis=basis,
        public_facts=found[0],
        shared_facts=found[1],
        restricted_facts=found[2],
    )
    standing = b'{"severity":null,"state":"published"}'
    line = staged_line(1, 1, draft, salt, standing, 3)
    staged = dict(zip(STAGED["import_staging"], line.removesuffix("\n").split("\t"), strict=True))
    content = rules.content_of(draft)
    assert staged["content_digest"] == "\\\\x" + rules.content_digest(content).hex()
    assert staged["commitment"] == "\\\\x" + commitment(salt, content, standing).hex()
    assert content.decode().startswith(staged["content_head"].replace("\\\\", "\\"))
    assert (
        content.decode()
        .removeprefix(staged["content_head"].replace("\\\\", "\\"))
        .startswith(staged["public_facts"].replace("\\\\", "\\"))
    )


@given(texts)
def test_an_entity_is_noted_as_the_model_would_have_it(name: str) -> None:
    entity = _new(Uscc.parse(CODE), name, "record", _NO_INSTANT)
    names: list[dict[str, str | None]] = [{"name": name, "used_from": None, "used_until": None}]
    assert noted_content(Uscc.parse(CODE), name) == content_of(entity, names)
