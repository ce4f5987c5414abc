"""The server is killed in the middle of an import; the sender waits, goes on, and nothing is lost or doubled."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from credit_service.platform.database import connect_arguments
from credit_service.platform.embedded import EmbeddedServer
from tests.cli.test_serve import COMMAND, SECONDS, answers, environment, eventually, free_port, run, serving
from tests.records.imports.files import AGENCY, AGENCY_NAME, csv_file, penalty
from tests.support import ROOT

ROWS = 12_000


def token_of(port: int, data_dir: Path) -> str:
    """Make an agency and a client as an operator would, and fetch a token over HTTP."""
    folder = ("--data", str(data_dir))
    grant = ("--grant", "administrative-penalty:5001")
    agency = run("agency", "put", AGENCY, "--name", AGENCY_NAME, "--division", "500103", *grant, *folder)
    assert agency.returncode == 0, agency.stderr
    client = ("client", "create", "system-a", "--name", "业务系统", "--role", "agency-submitter", "--agency", AGENCY)
    made = run(*client, *folder)
    assert made.returncode == 0, made.stderr
    secret = dict(line.split("=", 1) for line in made.stdout.split())["client_secret"]
    answer = httpx.post(
        f"http://127.0.0.1:{port}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=("system-a", secret),
        trust_env=False,
    )
    token: str = answer.json()["access_token"]
    return token


async def ask(data_dir: Path, query: str) -> Any:
    connection = await asyncpg.connect(**connect_arguments(EmbeddedServer(data_dir).owner_url))
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_a_killed_import_resumes_without_loss_or_doubles(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "penalties.csv"
    file.write_bytes(csv_file([penalty(number, facts="违法事实" * 100) for number in range(ROWS)], "gb18030"))
    receipts = tmp_path / "receipts.ndjson"
    port = free_port()
    with serving(data_dir, port) as server:
        eventually(lambda: answers(port))
        token = token_of(port, data_dir)
        options = ("--server", f"http://127.0.0.1:{port}", "--receipts", str(receipts), "--wait", str(SECONDS))
        command = [*COMMAND, "import", str(file), *options]
        sender = subprocess.Popen(command, cwd=ROOT, env={**environment(), "CREDIT_TOKEN": token, "NO_PROXY": "*"})
        while True:
            done = await ask(data_dir, "SELECT coalesce(max(rows_done), 0) FROM import")
            if done or sender.poll() is not None:
                break
        os.kill(server.pid, 9)
        server.wait()
    assert 0 < done < ROWS, "the kill was to come in the middle"
    assert sender.poll() is None
    with serving(data_dir, port):
        assert sender.wait(SECONDS) == 0
        stored = await ask(data_dir, "SELECT count(*) FROM record")
        versions = await ask(data_dir, "SELECT count(*) FROM record_version")
        events = await ask(data_dir, "SELECT count(*) FROM audit_event WHERE action = 'record.stored'")
        profiles = await ask(data_dir, "SELECT count(*) FROM profile WHERE audience = 'public'")
        assert stored == versions == events == profiles == ROWS
        assert (
            await ask(data_dir, "SELECT count(DISTINCT subject_id) FROM audit_event WHERE action = 'record.stored'")
            == ROWS
        )
        assert await ask(data_dir, "SELECT state || stored || rows_done FROM import") == f"completed{ROWS}{ROWS}"
    told = [json.loads(line) for line in receipts.read_text().splitlines()]
    assert [receipt["row"] for receipt in told] == list(range(1, ROWS + 1))
    assert {receipt["outcome"] for receipt in told} == {"stored"}
