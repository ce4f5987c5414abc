"""``serve`` and ``worker`` on a configured server, with the service's own login and nothing more."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from tests.cli.test_serve import COMMAND, SECONDS, answers, environment, eventually, free_port
from tests.support import ROOT, DatabaseUrls


def test_the_service_needs_no_more_than_its_own_login(own_database_urls: DatabaseUrls, tmp_path: Path) -> None:
    port = free_port()
    settings = {"CREDIT_DATABASE_URL": own_database_urls.service, "CREDIT_KEYS_DIR": str(tmp_path / "keys")}
    command = [*COMMAND, "serve", "--port", str(port), "--no-jobs"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment() | settings)
    try:
        eventually(lambda: answers(port, "/readyz") or process.poll() is not None)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()


def test_the_job_runner_ends_in_order(own_database_urls: DatabaseUrls) -> None:
    settings = {"CREDIT_DATABASE_URL": own_database_urls.service}
    process = subprocess.Popen([*COMMAND, "worker"], cwd=ROOT, env=environment() | settings)
    try:
        time.sleep(3)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
