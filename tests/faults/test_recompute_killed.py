"""The full computation of classes is killed; called again it goes on, and ends where an uninterrupted one does."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import asyncpg

from credit_service.platform.clock import SystemClock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database, connect_arguments
from credit_service.supervision.classes import runs
from tests.api import CATALOGUE
from tests.cli.test_serve import COMMAND, SECONDS, environment
from tests.supervision.classes.support import adopt, check_exact, enter
from tests.supervision.classes.test_recompute import classes, population
from tests.support import ROOT, DatabaseUrls

ENTITIES = 600
RANGES = 61  # of ten; the last one is open and empty
RECOMPUTE = [*COMMAND, "supervision", "recompute"]


def recompute(settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The command, uninterrupted."""
    return subprocess.run(
        RECOMPUTE, check=False, cwd=ROOT, env=environment() | settings, capture_output=True, text=True, timeout=SECONDS
    )


async def killed_in_the_middle(owner: asyncpg.Connection[Any], settings: dict[str, str]) -> int:
    """Start the command and kill it once it has some ranges behind it; gives how many are done."""
    process = subprocess.Popen(RECOMPUTE, cwd=ROOT, env=environment() | settings, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + SECONDS
    try:
        while await owner.fetchval("SELECT count(done_at) FROM class_run_chunk") < 2:
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < deadline
    finally:
        process.kill()
        process.wait()
    found: int = await owner.fetchval("SELECT count(done_at) FROM class_run_chunk")
    return found


async def test_a_killed_computation_goes_on(own_database_urls: DatabaseUrls) -> None:
    settings = {"CREDIT_DATABASE_URL": own_database_urls.service}
    owner = await asyncpg.connect(**connect_arguments(own_database_urls.owner))
    database = Database(own_database_urls.service, role="credit_service")
    try:
        none = recompute(settings)
        assert none.returncode == 1
        assert "no-rule-set" in none.stderr, none.stderr
        await enter(owner, population(ENTITIES))
        _, run_id = await adopt(database, SystemClock(), chunk=10)
        done = await killed_in_the_middle(owner, settings)
        assert 2 <= done < RANGES, "the kill was to come in the middle"
        await check_exact(owner)
        first = await owner.fetch("SELECT uscc, id FROM class_history")
        again = recompute(settings)
        assert again.returncode == 0, again.stderr
        assert again.stdout == f"resumed: {ENTITIES} entities judged, {ENTITIES} changed\n"
        assert await owner.fetchval("SELECT state FROM class_run WHERE id = $1", run_id) == "finished"
        # What was done before the kill was kept and not done twice.
        kept = await owner.fetch("SELECT uscc, id FROM class_history")
        assert set(map(tuple, first)) < set(map(tuple, kept))
        assert len(kept) == ENTITIES
        await check_exact(owner)
        resumed = await classes(owner)
        assert len(resumed) == ENTITIES
        # The same from nothing, uninterrupted.
        await owner.execute("TRUNCATE entity_class, class_tag, class_history, class_count, class_flow")
        whole = await runs.start_full(database, Actor("worker", "w"), SystemClock())
        await runs.work(database, CATALOGUE, SystemClock(), whole)
        assert await classes(owner) == resumed
    finally:
        await database.close()
        await owner.close()
