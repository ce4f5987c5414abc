"""The service is killed in the middle of non-public reading: the access log loses no more than it says it may."""

from __future__ import annotations

import os
import time
from itertools import pairwise
from pathlib import Path

import httpx
import psutil
import pytest

from credit_service.audit.accesses import MOST_UNWRITTEN, WRITTEN_WITHIN_SECONDS
from tests.api import AGENCY, COMPANY, penalty
from tests.cli.test_serve import SECONDS, answers, eventually, free_port, serving
from tests.faults.test_import_killed import ask, token_of

READ_SECONDS = 2.0
LEAST_READ = 20
GRACE_SECONDS = 1.0
GRACE_ANSWERS = 5
"""What a loaded machine may add to the time between an answer and its commit; in the time of its slowest answer too."""


@pytest.mark.parametrize("durable", [False, True], ids=["batched", "durable"])
async def test_a_kill_loses_the_stated_accesses_at_most(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    monkeypatch.setenv("CREDIT_ACCESS_LOG_DURABLE", str(durable).lower())
    monkeypatch.setattr("tests.cli.test_serve.environment", lambda: dict(os.environ))
    port = free_port()
    read_at: list[float] = []
    with serving(data_dir, port) as server:
        eventually(lambda: answers(port))
        headers = {"Authorization": f"Bearer {token_of(port, data_dir)}", "Credit-Purpose": "supervision"}
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=SECONDS, trust_env=False
        ) as client:
            body = penalty(authority_uscc=AGENCY)
            assert client.post("/v1/records", json=body).status_code == 201
            children = psutil.Process(server.pid).children(recursive=True)
            ends = time.monotonic() + READ_SECONDS
            while time.monotonic() < ends or len(read_at) <= LEAST_READ:
                assert client.get(f"/v1/entities/{COMPANY}").status_code == 200
                read_at.append(time.monotonic())
        killed = time.monotonic()
        for process in [server, *(child for child in children if child.name() != "postgres")]:
            process.kill()
        server.wait()
        logged = await ask(data_dir, "SELECT count(*) FROM access_log")
    lost = len(read_at) - logged
    slowest = max(later - moment for moment, later in pairwise(read_at))
    unwritten = WRITTEN_WITHIN_SECONDS + GRACE_SECONDS + GRACE_ANSWERS * slowest
    late = [moment for moment in read_at if killed - moment <= unwritten]
    assert logged > 0
    assert lost >= 0, "an access stands in the log twice"
    assert lost <= (0 if durable else min(len(late), MOST_UNWRITTEN))
