"""The examples, run as a newcomer runs them: against a served demonstration, over HTTP."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_serve import SECONDS, environment, free_port, serving
from tests.support import ROOT, reachable_folder


@pytest.fixture(scope="module")
def demonstration() -> Iterator[tuple[str, str]]:
    """Address and administrator's token of a demonstration whose clock can be moved."""
    folder = reachable_folder("credit-service-example-")
    port = free_port()
    with serving(folder, port, "--demo", "--movable-clock"):
        printed = folder.with_name(f"{folder.name}.log").read_text()
        found = re.search(r"^\s*administrator\s+(\S+)$", printed, re.MULTILINE)
        assert found is not None, printed
        yield f"http://127.0.0.1:{port}", found[1]


def run_example(name: str, demonstration: tuple[str, str], *arguments: str) -> str:
    address, token = demonstration
    command = [sys.executable, str(Path("examples") / name), token, *arguments]
    variables = environment() | {"CREDIT_SERVER": address}
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_why_an_entity_is_class_c_and_what_would_make_it_b(demonstration: tuple[str, str]) -> None:
    told = run_example("why_this_class.py", demonstration)
    assert "is class C with" in told
    assert "is among what makes it B" in told


def test_an_inspection_is_drawn_and_verified_by_a_third_party(demonstration: tuple[str, str], tmp_path: Path) -> None:
    """It moves the clock about and puts it back."""
    file = tmp_path / "draw.json"
    told = run_example("inspection_draw.py", demonstration, str(file))
    assert told.count(": True") == 5
    assert "published results: ['发现问题已责令改正']" in told
    command = [sys.executable, "-m", "credit_service", "draw", "verify", str(file)]
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    assert "verified:" in done.stdout


def test_repairs_and_objections_from_application_to_decision(demonstration: tuple[str, str]) -> None:
    """Runs first: it moves the clock about and puts it back."""
    told = run_example("repair_and_objection.py", demonstration)
    assert re.findall(r"public: (True|False)", told) == ["False", "False", "True"]
    assert "eligible from 2026-09-22" in told
    assert "apply again from 2026-11-03" in told
    assert "no new application before 2029-11-02" in told
    assert "accept: 3 working-days after 2026-09-28, last day 2026-10-08, met" in told
    assert "own-decision: 3 working-days after 2026-09-29, last day 2026-10-09, met" in told
    assert "the same officer: 409" in told
    assert told.count("申请复查 objection.request-review") == 1


def test_a_procurement_office_checks_bidders(demonstration: tuple[str, str], tmp_path: Path) -> None:
    """The kept answer is verified by the command line, without the service."""
    told = run_example("check_bidders.py", demonstration, str(tmp_path))
    assert told.startswith("500 bidders at ")
    assert "required" in told
    assert "refused legal-entities-only" in told
    assert "11010519491231002X" not in (tmp_path / "answer.json").read_text(encoding="utf-8")
    command = [sys.executable, "-m", "credit_service", "verify-screening", "answer.json", "--keys", "keys.json"]
    variables = environment() | {"PYTHONPATH": str(ROOT)}
    good = subprocess.run(
        command, check=False, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=SECONDS
    )
    assert good.stdout.startswith("500 subjects, holds at "), good.stderr
    answer = tmp_path / "answer.json"
    answer.write_bytes(answer.read_bytes().replace(b'"required"', b'"optional"'))
    bad = subprocess.run(
        command, check=False, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=SECONDS
    )
    assert bad.returncode != 0
    assert "not the one that was signed" in bad.stderr


def test_a_penalty_from_notice_to_automatic_stop(demonstration: tuple[str, str]) -> None:
    told = run_example("life_of_a_penalty.py", demonstration)
    assert re.findall(r"public: (True|False)", told) == ["False", "True", "True", "False", "False"]
    assert "stored ['awaiting-notice']" in told
    assert "2028-02-27T16:00:00+00:00" in told
