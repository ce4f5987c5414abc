"""The log end to end: a registry writes and signs, an outsider with the public key alone verifies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.api import penalty
from tests.cli.test_serve import answers, eventually, free_port, run, serving
from tests.faults.test_import_killed import ask, token_of
from tests.support import ROOT

COUNTED = "SELECT count(*) FROM {}"


async def test_an_outsider_verifies_what_a_registry_signed(data_dir: Path, tmp_path: Path) -> None:
    port, folder = free_port(), ("--data", str(data_dir))
    site = f"http://127.0.0.1:{port}"
    with serving(data_dir, port) as server:
        eventually(lambda: answers(port))
        headers = {"Authorization": f"Bearer {token_of(port, data_dir)}"}
        http = httpx.Client(base_url=site, headers=headers, timeout=60, trust_env=False)
        stored = [
            http.post("/v1/records", json=penalty(document_number=f"渝中市监处罚〔2026〕{number}号"))
            for number in range(30)
        ]
        assert {answer.status_code for answer in stored} == {201}
        record_id = stored[0].json()["id"]
        # The job runner gives places and signs by itself; nobody is asked to.
        proved: dict[str, Any] = {}

        def signed() -> bool:
            answer = httpx.get(f"{site}/v1/records/{record_id}?proof=true", timeout=60, trust_env=False)
            proved.clear()  # an earlier answer was that no head covers it yet
            proved.update(answer.json())
            return answer.status_code == 200

        eventually(signed)
        os.kill(server.pid, 9)
        server.wait()
    with serving(data_dir, port):
        eventually(lambda: answers(port))
        log = httpx.get(f"{site}/v1/log", trust_env=False).json()
        (key,) = log["keys"]
        assert run("log", "keys", "list", *folder).stdout.split() == [key]
        assert run("log", "checkpoint", *folder).returncode == 0
        checked = run("log", "verify", *folder)
        events = await ask(data_dir, COUNTED.format("audit_event"))
        assert f"{events} entries" in checked.stdout, checked.stdout + checked.stderr
        year = log["logs"][0]["number"]
        for options, target in ((["--entries"], tmp_path / "auditors"), ([], tmp_path / "public")):
            assert run("log", "export", str(target), *options, *folder).returncode == 0
        head = httpx.get(f"{site}/v1/log/{year}/checkpoint", trust_env=False).text
        (tmp_path / "seen").write_text(head)
        path = f"tile/0/000.p/{events}"
        served = httpx.get(f"{site}/v1/log/{year}/{path}", trust_env=False)
        assert served.content == (tmp_path / "public" / str(year) / path).read_bytes()
        assert "immutable" in served.headers["cache-control"]
        bundle = httpx.get(f"{site}/v1/log/{year}/tile/entries/000.p/{events}", trust_env=False)
        assert bundle.status_code == 401, "entries are for those who audit"
    trusted = ("--key", key)
    since = ("--since", str(tmp_path / "seen"))
    whole = run("verify", str(tmp_path / "auditors"), *trusted, *since)
    assert (whole.returncode, f"{events} hashes and {events} entries checked" in whole.stdout) == (0, True), whole
    assert run("verify", str(tmp_path / "public"), *trusted).returncode == 1, "no entry was checked"
    assert run("verify", str(tmp_path / "public"), *trusted, "--hashes-only").returncode == 0
    assert run("verify", str(tmp_path / "nowhere"), *trusted).returncode == 1
    command = [sys.executable, "-I", "examples/verify_log.py", str(tmp_path / "auditors" / str(year)), *trusted]
    assert subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0
    answer = tmp_path / "answer.json"
    answer.write_text(json.dumps(proved))
    assert run("verify", str(answer), *trusted).returncode == 0
    answer.write_text(json.dumps(proved | {"severity": "minor"}))
    forged = run("verify", str(answer), *trusted)
    assert (forged.returncode, "FAULT answer-altered at severity" in forged.stderr) == (1, True)
