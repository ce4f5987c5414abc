"""Cases go on while the job runner is killed, the database restarts and the clock is stepped."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from datetime import timedelta
from pathlib import Path

from credit_service.catalogue.loader import load as load_catalogue
from credit_service.catalogue.store import synchronise
from credit_service.deadlines import jobs
from credit_service.platform import migration
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.embedded import EmbeddedServer
from tests.faults.caseload import Caseload, Planned, Runner, caseload, reckon, settle
from tests.notifications.servers import Receiver, web_server
from tests.support import FAST, DatabaseUrls

WORKFLOWS = 200
WHILE_RESTARTING = 48
STEPPED = 16
KILLS, MOST_SENT = 12, 12
"""However fast either side is, fewer than half of the messages are sent before the last kill."""
LONGEST_SECONDS = 180


async def test_the_job_runner_killed_at_random_while_two_hundred_cases_are_decided(
    own_database_urls: DatabaseUrls, tmp_path: Path
) -> None:
    chance = random.Random(20260506)
    database = Database(own_database_urls.service, role="credit_service", pool_size=10)
    async with caseload(database, tmp_path) as load:
        runner = Runner(own_database_urls.service, tmp_path, load.clock_file)
        with web_server() as receiver:
            await load.listen(receiver)
            await load.acquaint(WORKFLOWS)
            work = asyncio.create_task(load.carry_all(WORKFLOWS))
            try:
                for number in range(KILLS):
                    receiver.closes_at = len(receiver.requests) + chance.randint(1, MOST_SENT)
                    receiver.gate.set()
                    # Every other one dies while its messages are taken and not answered, the others whenever it is.
                    taken = await _closed(receiver, runner, work, None if number % 2 == 0 else chance.uniform(0, 4))
                    assert taken or number % 2, "the kill was to come in the middle of sending"
                    runner.kill()
                receiver.closes_at = None
                receiver.gate.set()
                await work
                sent_before = len(receiver.requests)
                await settle(runner, await database.pool(), LONGEST_SECONDS)
            finally:
                work.cancel()
                runner.kill()
            assert KILLS // 2 <= sent_before < len(receiver.requests), "the kills were to come in the middle"
            await reckon(load, await database.pool(), receiver, WORKFLOWS)
    await database.close()


async def _closed(receiver: Receiver, runner: Runner, work: asyncio.Task[None], seconds: float | None) -> bool:
    """Wait until the receiver answers no more, or some seconds; a runner that ends is started again meanwhile."""
    ends = time.monotonic() + (LONGEST_SECONDS if seconds is None else seconds)
    while receiver.gate.is_set() and time.monotonic() < ends:
        runner.ensure()
        if work.done():
            work.result()
        await asyncio.sleep(0.02)
    return not receiver.gate.is_set()


async def test_the_database_restarts_under_load(data_dir: Path, tmp_path: Path) -> None:
    durable = {name: value for name, value in FAST.items() if name == "shared_buffers"}
    server = EmbeddedServer(data_dir / "data", options=durable)
    await asyncio.to_thread(server.start)
    try:
        await asyncio.to_thread(migration.upgrade, server.owner_url)
        await synchronise(server.owner_url, load_catalogue())
        database = Database(server.service_url, role="credit_service", pool_size=10)
        async with caseload(database, tmp_path) as load:
            await _restart_under_load(load, server, tmp_path)
        await database.close()
    finally:
        await asyncio.to_thread(server.stop)


async def _restart_under_load(load: Caseload, server: EmbeddedServer, folder: Path) -> None:
    runner = Runner(server.service_url, folder, load.clock_file)
    with web_server() as receiver:
        await load.listen(receiver)
        await load.acquaint(WHILE_RESTARTING)
        runner.ensure()
        work = asyncio.create_task(load.carry_all(WHILE_RESTARTING))
        try:
            for number, blow in ((8, signal.SIGINT), (24, signal.SIGQUIT)):
                while len(load.cases) < number:
                    assert not work.done(), "the blow was to come in the middle"
                    await asyncio.sleep(0.02)
                assert server.pid is not None
                os.kill(server.pid, blow)  # in order, and as after a loss of power
                await asyncio.sleep(0.5)
                await asyncio.to_thread(server.stop)
                await asyncio.to_thread(server.start)
                runner.ensure()
            await work
            await settle(runner, await load.database.pool(), LONGEST_SECONDS)
        finally:
            work.cancel()
            runner.kill()
        assert load.repeats > 0, "somebody was to be cut off"
        await reckon(load, await load.database.pool(), receiver, WHILE_RESTARTING)


async def test_the_clock_is_stepped_a_day_and_more(own_database_urls: DatabaseUrls, tmp_path: Path) -> None:
    database = Database(own_database_urls.service, role="credit_service", pool_size=10)
    async with caseload(database, tmp_path) as load:
        runner, day = Runner(own_database_urls.service, tmp_path, load.clock_file), timedelta(days=1)
        pool = await database.pool()
        with web_server() as receiver:
            await load.listen(receiver)
            await load.acquaint(STEPPED)
            plans = [Planned(number) for number in range(STEPPED)]
            try:
                runner.ensure()
                for plan in plans:
                    await load.open(plan)
                for steps, index in ((day, 0), (-day, 1), (45 * day, 2)):
                    load.clock.move_to(load.clock.now() + steps)
                    if steps > day:
                        await _escalate_as_several_would(load)
                        load.clock.move_to(load.clock.now() - day)
                        await _escalate_as_several_would(load)
                    runner.kill()
                    runner.ensure()
                    for plan in plans:
                        for later in [index] if index < 2 else range(index, len(plan.steps)):
                            if later < len(plan.steps):
                                await load.step(plan, later)
                await settle(runner, pool, LONGEST_SECONDS)
            finally:
                runner.kill()
            await reckon(load, pool, receiver, STEPPED)
        overdue = await pool.fetch("SELECT id, case_id, stage FROM stage_deadline WHERE escalated_at IS NOT NULL")
        said = await pool.fetch("SELECT case_id FROM notification WHERE template = 'deadline-overdue'")
        assert overdue, "forty-five days are more than any time-limit"
        assert sorted(row["case_id"] for row in said) == sorted(row["case_id"] for row in overdue)
    await database.close()


async def _escalate_as_several_would(load: Caseload) -> None:
    """Several runners at once attend to what is over, besides the one that is a process."""
    now, actor = load.clock.now(), Actor("worker", "test")
    await asyncio.gather(*(jobs.attend(load.database, actor, now) for _ in range(3)))
