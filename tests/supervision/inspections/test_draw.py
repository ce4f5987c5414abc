"""The draw: repeated by an independent program, fair, and any tampering noticed."""

from __future__ import annotations

import hashlib
import importlib.util
import random
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from credit_service.audit.events import canonical_json
from credit_service.cli import app
from credit_service.supervision.inspections import rules
from tests.support import ROOT


def independent() -> ModuleType:
    """examples/verify_draw.py, which imports nothing of the service."""
    spec = importlib.util.spec_from_file_location("verify_draw", ROOT / "examples" / "verify_draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


VERIFY = independent()
handles = st.binary(min_size=16, max_size=16).map(bytes.hex)


@st.composite
def materials(draw: st.DrawFn) -> dict[str, Any]:
    entities = draw(st.lists(handles, min_size=1, max_size=40, unique=True))
    inspectors = sorted(draw(st.lists(handles, min_size=1, max_size=8, unique=True)))
    cut = draw(st.integers(0, len(entities)))
    parts = [sorted(part) for part in (entities[:cut], entities[cut:]) if part]
    pairs = st.tuples(st.sampled_from(entities), st.sampled_from(inspectors)).map(list)
    return {
        "strata": [
            {"label": str(number), "quota": draw(st.integers(0, len(part))), "entities": part}
            for number, part in enumerate(parts, 1)
        ],
        "inspectors": inspectors,
        "inspectors_each": draw(st.integers(1, 3)),
        "conflicts": sorted(draw(st.lists(pairs, max_size=10, unique_by=tuple))),
        "plan": {"title": "抽查计划"},
    }


@given(material=materials(), secret=st.binary(min_size=32, max_size=32), value=st.text(min_size=1), data=st.data())
@settings(max_examples=150, deadline=None)
def test_an_independent_program_draws_the_same(
    material: dict[str, Any], secret: bytes, value: str, data: st.DataObject
) -> None:
    value = value.encode("utf-8", "ignore").decode() or "1"
    everybody = [handle for stratum in material["strata"] for handle in stratum["entities"]]
    excluded = data.draw(st.lists(st.sampled_from(everybody), max_size=5, unique=True))
    drawn = rules.draw(material, secret, value, excluded)
    assert drawn == VERIFY.draw(material, secret, value, set(excluded))
    chosen = {each["entity"] for each in drawn}
    for stratum in material["strata"]:
        able = set(stratum["entities"]) - set(excluded)
        assert len(chosen & set(stratum["entities"])) == min(stratum["quota"], len(able))
    assert not chosen & set(excluded)
    for each in drawn:
        assert not any([each["entity"], inspector] in material["conflicts"] for inspector in each["inspectors"])
        assert len(set(each["inspectors"])) == len(each["inspectors"]) <= material["inspectors_each"]


def example(entities: int = 40, quota: int = 10) -> tuple[dict[str, Any], bytes]:
    """A published draw with its openings, as the service makes them."""
    key, secret = b"k" * 32, b"s" * 32
    names = sorted((f"entity-{number}" for number in range(entities)), key=lambda name: rules.handle_of(key, name))
    officers = [f"officer-{number}" for number in range(5)]
    material = {
        "strata": [{"label": "1", "quota": quota, "entities": [rules.handle_of(key, name) for name in names]}],
        "inspectors": sorted(rules.handle_of(key, name) for name in officers),
        "inspectors_each": 2,
        "conflicts": [],
        "plan": {"title": "抽查"},
    }
    openings = canonical_json({"key": key.hex(), "inspectors": officers, "strata": [{"entities": names}]})
    beacon = {"source": "福利彩票", "round": "2026052", "due_at": "2026-05-07T13:15:00.000000Z"}
    commitment = rules.commitment_of(canonical_json(material), openings, secret, beacon, "2026-05-06T02:00:00.000000Z")
    document = {
        "material": material,
        "commitment": commitment,
        "reveal": {
            "secret": secret.hex(),
            "public_value": "03 08 12 25 31 33 + 07",
            "excluded": [],
            "entered_at": "2026-05-08T01:00:00.000000Z",
        },
        "drawn": rules.draw(material, secret, "03 08 12 25 31 33 + 07"),
    }
    return orjson.loads(orjson.dumps(document)), openings


def _set(document: dict[str, Any], place: str, value: Any) -> None:
    *path, last = place.split(".")
    for step in path:
        document = document[step]
    document[last] = value


def tampered(change: str) -> dict[str, Any]:
    document, _ = example()
    stratum, drawn = document["material"]["strata"][0], document["drawn"]
    changes: dict[str, Any] = {
        "public value": lambda: _set(document, "reveal.public_value", "1"),
        "secret": lambda: _set(document, "reveal.secret", "00" * 32),
        "list": stratum["entities"].pop,
        "quota": lambda: stratum.update(quota=11),
        "inspectors": document["material"]["inspectors"].pop,
        "drawn": lambda: drawn[0].update(entity="00" * 16),
        "team": drawn[0]["inspectors"].reverse,
        "excluded": lambda: _set(document, "reveal.excluded", [drawn[0]["entity"]]),
        "beacon": lambda: _set(document, "commitment.beacon.due_at", "2026-05-01T00:00:00Z"),
        "entered early": lambda: _set(document, "reveal.entered_at", "2026-05-07T13:14:59Z"),
    }
    changes[change]()
    return document


CHANGES = ["public value", "secret", "list", "quota", "inspectors", "drawn", "team", "excluded", "beacon"]


@pytest.mark.parametrize("change", [*CHANGES, "entered early"])
def test_tampering_is_noticed(change: str) -> None:
    assert rules.faults_of(tampered(change))
    if change != "entered early":
        assert not all(VERIFY.verify(tampered(change)).values())


def test_the_command_line_verifies(tmp_path: Path) -> None:
    document, openings = example()
    assert rules.faults_of(document, openings) == []
    assert all(VERIFY.verify(document).values())
    file, opened = tmp_path / "draw.json", tmp_path / "openings.json"
    file.write_bytes(orjson.dumps(document))
    opened.write_bytes(openings)
    run = CliRunner()
    done = run.invoke(app, ["draw", "verify", str(file), "--openings", str(opened)])
    assert done.exit_code == 0, done.output
    assert "10 of 40 entities" in done.output
    assert run.invoke(app, ["draw", "verify", str(file), "--digest", "0" * 64]).exit_code == 1
    whole = run.invoke(app, ["verify", str(file), "--digest", document["commitment"]["digest"]])
    assert (whole.exit_code, "10 drawn of 40 entities checked" in whole.output) == (0, True), whole.output
    for change in (*CHANGES, "entered early"):
        file.write_bytes(orjson.dumps(tampered(change)))
        assert run.invoke(app, ["draw", "verify", str(file)]).exit_code == 1
        found = run.invoke(app, ["verify", str(file)])
        assert (found.exit_code, "FAULT draw-differs" in found.output) == (1, True), change
    empty, _ = example(0, 0)
    file.write_bytes(orjson.dumps(empty))
    found = run.invoke(app, ["verify", str(file)])
    assert (found.exit_code, "FAULT report-empty" in found.output) == (1, True), found.output
    opened.write_bytes(openings.replace(b"entity-1", b"entity-X"))
    file.write_bytes(orjson.dumps(document))
    assert run.invoke(app, ["draw", "verify", str(file), "--openings", str(opened)]).exit_code == 1
    file.write_bytes(b"{}")
    assert run.invoke(app, ["draw", "verify", str(file)]).exit_code == 1


def test_every_entity_has_the_same_chance() -> None:
    """Chi-squared over 2,000 draws of 10 from 40: 39 degrees of freedom, far from the 1-in-10^9 bound of 116."""
    document, _ = example()
    chance = random.Random(5)
    drawn: Counter[str] = Counter()
    for _ in range(2000):
        found = rules.draw(document["material"], chance.randbytes(32), "7")
        drawn.update(each["entity"] for each in found)
    statistic = sum((drawn[handle] - 500) ** 2 / 500 for handle in document["material"]["strata"][0]["entities"])
    assert statistic < 116


def test_the_digest_by_hand() -> None:
    assert rules.digest(b"a", b"bc") == hashlib.sha256(b"\x00\x00\x00\x01a\x00\x00\x00\x02bc").digest()
    assert rules.quota_of("0.05", 101) == 6
    assert rules.quota_of("0", 10) == 0
    assert rules.quota_of("1.0", 7) == 7


def test_class_a_is_left_in_peace_without_a_reason() -> None:
    quotas = {each: {"ratio": ratio} for each, ratio in zip("ABCD", ("0.01", "0.05", "0.2", "0.6"), strict=True)}
    assert [error.pointer for error in rules.check_quotas(quotas, None)] == ["/class_a_reason"]
    assert rules.check_quotas(quotas, "专项整治方案") == []
    del quotas["A"]
    assert rules.check_quotas(quotas, None) == []
    assert [e.pointer for e in rules.check_quotas({"C": {"ratio": "0.5"}, "D": {"ratio": "0.4"}}, None)] == [
        "/quotas/D/ratio"
    ]
    assert [error.pointer for error in rules.check_quotas({"D": {"ratio": "0"}}, None)] == ["/quotas"]
