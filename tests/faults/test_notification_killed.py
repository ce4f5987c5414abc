"""The job runner is killed while it sends; started again, it loses nothing and repeats only what was under way."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from pathlib import Path

from credit_service.notifications.rules import Channel, message_id
from credit_service.platform.clock import FixedClock, SystemClock
from credit_service.platform.database import Database
from credit_service.worker import SENDERS
from tests.api import COMPANY
from tests.cli.test_serve import COMMAND, environment
from tests.notifications.servers import web_server
from tests.notifications.support import WEBHOOK_KEY, Office, case_of, settings_for
from tests.support import ROOT, DatabaseUrls

OWED = 40
BEFORE = 11
LONGEST_SECONDS = 180
DELIVERED = "SELECT count(*) FROM notification WHERE state = 'delivered'"


def start(urls: DatabaseUrls, folder: Path) -> subprocess.Popen[bytes]:
    settings = {
        "CREDIT_DATABASE_URL": urls.service,
        "CREDIT_DATA_DIR": str(folder),
        "CREDIT_WEBHOOK_KEY": WEBHOOK_KEY,
        "CREDIT_WEBHOOK_LOOPBACK": "true",
        "CREDIT_LOG_LEVEL": "warning",
    }
    return subprocess.Popen([*COMMAND, "worker"], cwd=ROOT, env=environment() | settings)


async def test_a_killed_sender_neither_loses_nor_doubles(own_database_urls: DatabaseUrls, tmp_path: Path) -> None:
    database = Database(own_database_urls.service, role="credit_service")
    office = Office(database, FixedClock(SystemClock().now()), settings_for(tmp_path))
    pool = await database.pool()
    with web_server() as receiver:
        await office.contact(Channel.WEBHOOK, receiver.url)
        for number in range(OWED):
            await office.owe(case_of(), str(number))
        worker = start(own_database_urls, tmp_path)
        try:
            for _ in range(BEFORE):
                assert receiver.entered.acquire(timeout=LONGEST_SECONDS)
            receiver.gate.clear()  # from here on messages are taken and not acknowledged
            deadline = time.monotonic() + LONGEST_SECONDS
            while len(receiver.requests) - await pool.fetchval(DELIVERED) < SENDERS:  # until each sender waits for it
                assert time.monotonic() < deadline
                time.sleep(0.05)
            worker.kill()
            worker.wait()
            taken, delivered = len(receiver.requests), await pool.fetchval(DELIVERED)
            assert 0 < delivered < taken < OWED, "the kill was to come in the middle of sending"
            under_way = await pool.fetchval("SELECT count(*) FROM notification_delivery WHERE state = 'sending'")
            assert 0 < under_way <= SENDERS
            receiver.gate.set()
            worker = start(own_database_urls, tmp_path)
            deadline = time.monotonic() + LONGEST_SECONDS
            while await pool.fetchval("SELECT count(*) FROM notification WHERE state <> 'delivered'"):
                assert time.monotonic() < deadline, "a notification was lost"
                assert worker.poll() is None
                time.sleep(0.2)
        finally:
            worker.kill()
            worker.wait()
    arrived = Counter(headers["webhook-id"] for _, headers, _ in receiver.requests)
    assert set(arrived) == {message_id(COMPANY, str(number)) for number in range(OWED)}
    repeated = {name for name, times in arrived.items() if times > 1}
    interrupted = await pool.fetchval(
        "SELECT count(*) FROM notification_delivery WHERE state = 'failed' AND detail->>'answer' = 'interrupted'"
    )
    assert interrupted == under_way
    assert len(repeated) <= under_way
    assert max(arrived.values()) <= 2
    told = await pool.fetchval("SELECT count(*) FROM audit_event WHERE action = 'notification.delivered'")
    assert told == OWED, "each outcome is in the audit events once"
    await database.close()
