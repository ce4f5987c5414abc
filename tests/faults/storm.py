"""A mixed load of writes on a real installation while something breaks, and the account of it afterwards.

``python -m tests.faults.storm --writes 2000`` prints the fault table: fault, strikes, acknowledged, abandoned, found,
lost, doubled, halves. Writers behave as an agency's system should: each write has an Idempotency-Key and is sent again,
the same, until it is answered; one in ten gives up at the first failure, and nobody tells it what became of its write.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil

from credit_service.accounts.keys import KeyStore
from credit_service.accounts.rules import Principal, Role
from credit_service.accounts.tokens import issue
from credit_service.identity.uscc import compose
from credit_service.platform.clock import SystemClock
from credit_service.platform.database import connect_arguments
from credit_service.platform.embedded import EmbeddedServer
from tests.api import AGENCY, AGENCY_NAME, penalty
from tests.cli.test_serve import COMMAND, environment, free_port, processes_of, run
from tests.support import ROOT, reachable_folder

WRITERS = 8
PATIENCE_SECONDS = 120.0
NO_TLS = ssl.create_default_context()
"""One for all clients, for each of which httpx would read the authorities' certificates anew, and none needs them."""
COMPANIES = [compose("91", "500103", f"MA{number:06d}") for number in range(1, 41)]


@dataclass
class Written:
    """What a writer knows of one of its records: versions acknowledged, and whether a write is in doubt."""

    document: str
    record: str | None = None
    versions: int = 0
    in_doubt: bool = False


@dataclass
class Account:
    """What was promised to the writers, and what the registry holds."""

    fault: str
    pace: int = 40
    strikes: int = 0
    acknowledged: int = 0
    abandoned: int = 0
    found: int = 0
    lost: int = 0
    doubled: int = 0
    halves: int = 0
    refusals: list[str] = field(default_factory=list)
    log: str = ""

    @property
    def settled(self) -> int:
        return self.acknowledged + self.abandoned

    def row(self) -> str:
        names = ("fault", "strikes", "acknowledged", "abandoned", "found", "lost", "doubled", "halves")
        return "  ".join(f"{getattr(self, name)!s:>14}" for name in names)


# --- the installation


class Installation:
    """``credit-service serve`` on a folder, started again whenever it ends, as a supervisor would."""

    def __init__(self, data: Path) -> None:
        self.data, self.port = data, free_port()
        self.server = EmbeddedServer(data)
        self.stopping = False
        self.process: subprocess.Popen[bytes] | None = None
        self.log = data.parent / f"{data.name}.log"

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", "--data", str(self.data), "--port", str(self.port)],
                cwd=ROOT, env=environment(), stdout=output, stderr=output,
            )  # fmt: skip

    async def ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        async with httpx.AsyncClient(verify=NO_TLS, trust_env=False) as http:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if (await http.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2)).status_code == 200:
                        return
                assert time.monotonic() < deadline, self.log.read_text()[-3000:]
                await asyncio.sleep(0.1)

    async def supervise(self) -> None:
        while not self.stopping:
            await asyncio.sleep(0.2)
            if self.process is not None and self.process.poll() is not None and not self.stopping:
                self.start()

    async def ask(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(**connect_arguments(self.server.owner_url))
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    def token(self) -> str:
        principal = Principal("client:storm", Role.SUBMITTER, agency_uscc=AGENCY)
        return issue(
            KeyStore(self.data / "keys"),
            issuer=f"http://127.0.0.1:{self.port}",
            principal=principal,
            now=SystemClock().now(),
            lifetime_seconds=7200,
        )


@contextmanager
def installation(data: Path) -> Iterator[Installation]:
    """An installation with one agency and its client; every process is gone at the end."""
    found = Installation(data)
    folder = ("--data", str(data))
    grant = ("--grant", "administrative-penalty:5001")
    agency = run("agency", "put", AGENCY, "--name", AGENCY_NAME, "--division", "500103", *grant, *folder)
    if agency.returncode:  # an empty folder has no tables yet
        run("db", "upgrade", *folder)
        agency = run("agency", "put", AGENCY, "--name", AGENCY_NAME, "--division", "500103", *grant, *folder)
    assert agency.returncode == 0, agency.stderr
    client = ("client", "create", "storm", "--name", "业务系统", "--role", "agency-submitter", "--agency", AGENCY)
    assert run(*client, *folder).returncode == 0
    found.start()
    try:
        yield found
    finally:
        found.stopping = True
        if found.process is not None:
            found.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                found.process.wait(40)
        for left in processes_of(data):
            left.kill()


# --- the writers


class Writer:
    """One of an agency's systems: submits, corrects and withdraws records of its own, one write after another."""

    def __init__(self, number: int, url: str, token: str, account: Account) -> None:
        self.number, self.url, self.account = number, url, account
        self.headers = {"Authorization": f"Bearer {token}", "If-Match": "*"}
        self.random = random.Random(number)
        self.records: list[Written] = []
        self.sent = 0

    async def run(self, writes: int) -> None:
        while self.sent < writes:
            self.sent += 1
            settled = [each for each in self.records if each.record and not each.in_doubt and each.versions < 4]
            if settled and self.random.random() < 0.4:
                record = self.random.choice(settled)
                await self._change(record)
            else:
                await self._submit()

    async def _submit(self) -> None:
        document = f"渝中市监处罚〔2026〕{self.number}-{self.sent}号"
        record = Written(document)
        self.records.append(record)
        body = penalty(uscc=COMPANIES[(self.number + self.sent) % len(COMPANIES)], document_number=document)
        answer = await self._send("/v1/records", body, record)
        if answer is not None:
            record.record, record.versions = answer["id"], 1

    async def _change(self, record: Written) -> None:
        company = COMPANIES[(self.number + int(record.document.split("-")[1][:-1])) % len(COMPANIES)]
        facts = {"violation_facts": f"更正后的违法事实{self.sent}。"}
        corrected = penalty(uscc=company, document_number=record.document, facts=facts)
        body = {"reason": "原报送内容有误, 予以更正", "record": corrected}
        answer = await self._send(f"/v1/records/{record.record}/correction", body, record)
        if answer is not None:
            record.versions += 1

    async def _send(self, path: str, body: Any, record: Written) -> Any:
        """Send until answered. One in ten gives up at the first failure and leaves the record in doubt."""
        key = f"{self.number}-{self.sent}"
        gives_up = self.random.random() < 0.1
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                async with httpx.AsyncClient(verify=NO_TLS, trust_env=False, timeout=10) as http:
                    answer = await http.post(
                        self.url + path, json=body, headers=self.headers | {"Idempotency-Key": key}
                    )
                if answer.status_code < 300:
                    self.account.acknowledged += 1
                    return answer.json()
                if answer.status_code < 500 and answer.status_code != 429:
                    self.account.refusals.append(f"{path} {answer.status_code} {answer.text[:200]}")
                    record.in_doubt = True
                    return None
            except (httpx.HTTPError, ValueError):
                pass
            if gives_up:
                self.account.abandoned += 1
                record.in_doubt = True
                return None
            assert time.monotonic() < deadline, f"no answer to {path} for {PATIENCE_SECONDS} s"
            await asyncio.sleep(0.1)


# --- the faults: each is a context in which the load runs; what it yields is the address the writers use

Strike = Callable[[Installation, Account], Awaitable[None]]


@asynccontextmanager
async def repeatedly(found: Installation, account: Account, strike: Strike) -> AsyncIterator[str]:
    """Strike at random points of the load: by its progress, so that a slow machine meets as many as a fast one."""
    chance = random.Random(account.fault)

    async def blows() -> None:
        while True:
            target = account.settled + chance.randint(account.pace // 2, account.pace)
            while account.settled < target:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05 * chance.random())
            account.strikes += 1
            await strike(found, account)
            await found.ready()

    task = asyncio.create_task(blows())
    try:
        yield f"http://127.0.0.1:{found.port}"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def kill_service(found: Installation, account: Account) -> None:
    """SIGKILL to ``serve`` at whatever it was doing."""
    assert found.process is not None
    found.process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(found.process.wait)


async def kill_postgres(found: Installation, account: Account) -> None:
    """SIGKILL to a process of PostgreSQL: a backend (crash recovery of all) or, every third time, the server itself."""
    server = psutil.Process(int((found.data / "postgres" / "postmaster.pid").read_text().splitlines()[0]))
    with contextlib.suppress(psutil.NoSuchProcess):
        backends = [child for child in server.children() if "credit_app" in " ".join(child.cmdline())]
        victim = server if account.strikes % 3 == 2 or not backends else backends[-1]
        victim.kill()


async def cut_sessions(found: Installation, account: Account) -> None:
    """Every connection between service and database ends."""
    connection = await asyncpg.connect(**connect_arguments(found.server.superuser_url))
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()


async def fill_disk(found: Installation, account: Account) -> None:
    """The disk is full for a second, then has room again."""
    ballast = found.data / "ballast"
    try:
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(b"\0" * (1 << 16))
                file.flush()
        await asyncio.sleep(1)
    finally:  # a load that is over by then leaves no full disk behind
        ballast.unlink(missing_ok=True)


@asynccontextmanager
async def through_proxy(found: Installation, account: Account, *, cut: float, slow: float) -> AsyncIterator[str]:
    """A bad line: each piece of it is late, and may be the last."""
    chance = random.Random(account.fault)

    async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, other: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while piece := await source.read(512):
                if slow:
                    account.strikes += 1
                    await asyncio.sleep(slow * chance.random())
                if chance.random() < cut:
                    account.strikes += 1
                    for each in (target, other):
                        each.transport.abort()
                    return
                target.write(piece)
                await target.drain()
        target.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", found.port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(pass_on(reader, upstream, writer), pass_on(upstream_reader, writer, upstream))

    proxy = await asyncio.start_server(connect, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    finally:
        proxy.close()


FAULTS: dict[str, Callable[[Installation, Account], contextlib.AbstractAsyncContextManager[str]]] = {
    "service-killed": lambda found, account: repeatedly(found, account, kill_service),
    "postgres-killed": lambda found, account: repeatedly(found, account, kill_postgres),
    "sessions-cut": lambda found, account: repeatedly(found, account, cut_sessions),
    "disk-full": lambda found, account: repeatedly(found, account, fill_disk),
    "line-cut": lambda found, account: through_proxy(found, account, cut=0.05, slow=0.0),
    "line-slow": lambda found, account: through_proxy(found, account, cut=0.0, slow=0.05),
}


# --- the account

_VERSIONS = """
SELECT r.document_number, count(DISTINCT r.id) AS records, max(r.version) AS version,
    count(DISTINCT v.version) AS versions, count(e.id) AS events, count(DISTINCT e.canonical::text) AS different
FROM record r JOIN record_version v ON v.uscc = r.uscc AND v.record_id = r.id
LEFT JOIN audit_event e ON e.uscc = r.uscc AND e.subject_id = r.id::text AND e.subject_type = 'record'
    AND (convert_from(e.canonical, 'UTF8')::json #>> '{subject,version}')::integer = v.version
WHERE r.document_number LIKE '渝中市监处罚〔2026〕%'
GROUP BY r.document_number
"""
_HALVES = """
SELECT (SELECT count(*) FROM record r WHERE (SELECT count(*) FROM record_version v
            WHERE v.uscc = r.uscc AND v.record_id = r.id) <> r.version)
     + (SELECT count(*) FROM record_version v WHERE NOT EXISTS (SELECT FROM record r
            WHERE r.uscc = v.uscc AND r.id = v.record_id))
     + (SELECT count(*) FROM audit_event e WHERE e.subject_type = 'record' AND NOT EXISTS (SELECT FROM record r
            WHERE r.uscc = e.uscc AND r.id::text = e.subject_id))
     + (SELECT count(*) FROM record r WHERE NOT EXISTS (SELECT FROM entity n WHERE n.uscc = r.uscc))
     + (SELECT count(*) FROM audit_event e WHERE (SELECT count(*) FROM log_entry l
            WHERE l.uscc = e.uscc AND l.id = e.id) <> 1)
     + (SELECT count(*) FROM log_entry l WHERE NOT EXISTS (SELECT FROM audit_event e
            WHERE e.uscc = l.uscc AND e.id = l.id)) AS halves
"""


async def settle(found: Installation, account: Account, written: list[Written]) -> None:
    """Compare what was acknowledged with what is there, in the tables and in the verified tree."""
    folder = ("--data", str(found.data))
    signed = run("log", "checkpoint", *folder)
    assert signed.returncode == 0, signed.stderr
    rows = {row["document_number"]: row for row in await found.ask(_VERSIONS)}
    for record in written:
        row = rows.pop(record.document, None)
        if row is None:
            account.lost += record.versions
            continue
        at_most = record.versions + record.in_doubt
        account.found += min(row["version"], record.versions)
        account.lost += max(0, record.versions - row["version"])
        account.doubled += max(0, row["version"] - at_most) + (row["records"] - 1)
        if not row["version"] == row["versions"] == row["events"] == row["different"]:
            account.halves += 1
    account.halves += len(rows) + (await found.ask(_HALVES))[0]["halves"]
    verified = run("log", "verify", *folder)
    assert verified.returncode == 0, verified.stderr
    account.log = verified.stdout.strip()


async def storm(fault: str, data: Path, writes: int) -> Account:
    """Run a load of ``writes`` under a fault; gives the account."""
    account = Account(fault, pace=max(40, writes // 20))
    with installation(data) as found:
        await found.ready()
        supervisor = asyncio.create_task(found.supervise())
        token = found.token()
        try:
            async with FAULTS[fault](found, account) as url:
                writers = [Writer(number, url, token, account) for number in range(WRITERS)]
                await asyncio.gather(*(each.run(writes // WRITERS) for each in writers))
            await found.ready()
            await settle(found, account, [record for each in writers for record in each.records])
        finally:
            found.stopping = True
            await supervisor
    return account


@contextmanager
def place(fault: str, writes: int) -> Iterator[Path]:
    """A folder for the installation; on a small disk of its own where the disk shall run full.

    It has room for the load and its write-ahead log: what fills it is the fault, which passes, not the load itself.
    """
    folder = reachable_folder("credit-service-storm-")
    try:
        if fault != "disk-full":
            yield folder / "data"
            return
        disk = folder / "disk"
        disk.mkdir()
        size = f"size={300 + writes // 2}m"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)], check=True, capture_output=True)
        try:
            yield disk / "data"
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def may_mount() -> bool:
    """Whether this user may make a small disk."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            return False
        subprocess.run(["umount", folder], check=False)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.storm", description=__doc__)
    parser.add_argument("faults", nargs="*", default=list(FAULTS))
    parser.add_argument("--writes", type=int, default=2000)
    given = parser.parse_args()
    print(
        "  ".join(
            f"{name:>14}"
            for name in ("fault", "strikes", "acknowledged", "abandoned", "found", "lost", "doubled", "halves")
        )
    )
    bad = False
    for fault in given.faults:
        with place(fault, given.writes) as data:
            account = asyncio.run(storm(fault, data, given.writes))
        print(account.row(), flush=True)
        print(f"{'':>14}  {account.log}", *account.refusals[:3], sep="\n" + " " * 16, flush=True)
        bad = bad or bool(account.lost or account.doubled or account.halves or account.refusals)
    sys.exit(bad)


if __name__ == "__main__":
    main()
