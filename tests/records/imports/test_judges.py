"""The judging process does not outlive whom it judges for."""

from __future__ import annotations

import subprocess
import sys

import psutil

from tests.cli.test_serve import environment, eventually, runs
from tests.support import ROOT

PROGRAM = """
import os, time
from credit_service.records.imports.judges import JudgingProcess
if __name__ == "__main__":
    print(JudgingProcess().submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


def test_it_ends_with_a_server_that_was_killed() -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    judge = psutil.Process(int(server.stdout.readline()))
    assert runs(judge)
    server.kill()
    server.wait()
    eventually(lambda: not runs(judge))
