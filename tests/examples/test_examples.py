"""The examples, run as a newcomer runs them: against a served demonstration, over HTTP."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_serve import environment, free_port, serving
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
    done = subprocess.run(command, check=False, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_penalty_from_notice_to_automatic_stop(demonstration: tuple[str, str]) -> None:
    told = run_example("life_of_a_penalty.py", demonstration)
    assert re.findall(r"public: (True|False)", told) == ["False", "True", "True", "False", "False"]
    assert "stored ['awaiting-notice']" in told
    assert "2028-02-27T16:00:00+00:00" in told
