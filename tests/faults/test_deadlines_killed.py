"""Two processes that look after time-limits are killed again and again: nobody is told twice, nobody is forgotten."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from credit_service.deadlines import commands
from credit_service.deadlines.models import Stage
from credit_service.platform.calendar import PACKAGE
from credit_service.platform.database import Database
from tests.cli.test_serve import environment
from tests.deadlines.test_commands import ACTOR, TERMS, at, new_stage
from tests.support import ROOT, DatabaseUrls

CASES = 200
KILLS = 6
LONGEST_SECONDS = 180
LOOKING = """
import asyncio, sys
from datetime import datetime
from credit_service.deadlines import jobs
from credit_service.platform.context import Actor
from credit_service.platform.database import Database

jobs.AT_ONCE = 5

async def look():
    database = Database(sys.argv[1], role="credit_service", pool_size=2)
    while True:
        await jobs.attend(database, Actor("worker", "worker"), datetime.fromisoformat(sys.argv[2]))
        await asyncio.sleep(0.01)

asyncio.run(look())
"""


def looking(urls: DatabaseUrls) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", LOOKING, urls.service, at("2026-05-15 09:00").isoformat()]
    return subprocess.Popen(command, cwd=ROOT, env=environment())


async def test_killed_workers_neither_forget_nor_repeat(own_database_urls: DatabaseUrls, tmp_path: Path) -> None:
    database = Database(own_database_urls.service, role="credit_service")
    pool = await database.pool()
    async with database.transaction() as session:
        for _ in range(CASES):
            stage: Stage = new_stage()
            await commands.start(
                session, PACKAGE, ACTOR, at("2026-05-06 10:00"), stage, TERMS, agency=ACTOR.agency_uscc or ""
            )
    count = "SELECT count(*) FROM notification"
    workers = [looking(own_database_urls) for _ in range(2)]
    deadline, kills, seen = time.monotonic() + LONGEST_SECONDS, 0, 0
    try:
        while (told := await pool.fetchval(count)) < CASES:
            assert time.monotonic() < deadline, "a time-limit was forgotten"
            if kills < KILLS and told > seen:  # in the middle of the work, wherever it is
                time.sleep(random.uniform(0, 0.01))
                victim = random.randrange(2)
                workers[victim].kill()
                workers[victim].wait()
                kills, seen = kills + 1, told
                workers[victim] = looking(own_database_urls)
            time.sleep(0.005)
        time.sleep(0.2)
    finally:
        for process in workers:
            process.kill()
            process.wait()
    assert kills >= 2, "the kills were to come in the middle of the work"
    escalated = await pool.fetchval("SELECT count(*) FROM stage_deadline WHERE escalated_at IS NOT NULL")
    audited = await pool.fetchval("SELECT count(*) FROM audit_event WHERE action = 'deadline.escalated'")
    told = await pool.fetchval("SELECT count(DISTINCT case_id) FROM notification")
    assert (escalated, audited, told, await pool.fetchval(count)) == (CASES, CASES, CASES, CASES)
    assert await pool.fetchval("SELECT count(*) FROM stage_deadline WHERE closed_as IS NOT NULL") == 0
    await database.close()
