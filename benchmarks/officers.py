"""Twenty officers decide one queue of repair applications at once, over HTTP, each with If-Match.

Beside them in the same run: one officer on a queue of its own, and as the limit that the database sets a bare
``UPDATE ... WHERE id = $1 AND version = $2`` from as many connections. That no case is decided twice is asserted from
the audit events, the notices and the cases themselves; a run that finds one ends without figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from benchmarks.lookup import _wait_ready
from benchmarks.support import codes, free_port, machine, prepared_database, say
from credit_service.accounts import commands as accounts
from credit_service.accounts import tokens
from credit_service.accounts.keys import KeyStore
from credit_service.accounts.models import AgencyWrite, Client, Grant
from credit_service.accounts.rules import Principal, Role
from credit_service.catalogue.loader import load
from credit_service.identity.uscc import compose
from credit_service.platform.context import Actor
from credit_service.platform.database import Database, connect_arguments
from credit_service.platform.days import day_of
from credit_service.platform.embedded import EmbeddedServer
from credit_service.records import commands as records
from credit_service.records.contract import RecordSubmission
from credit_service.repairs import commands as repairs
from credit_service.repairs.contract import RepairApplication
from credit_service.workflows.commands import Caller

DECIDING = compose("11", "500103", "00928654")
ALONE = compose("11", "500103", "00928655")
"""The agency of the twenty, and that of the one who works alone."""
AN_APPLICATION = 20
A_PAGE = 100
"""Cases an officer is shown; after ``TRIED`` of them it looks at the queue again, as a person would."""
TRIED = 5
CATALOGUE = load()
REASON = {"reason": "未满最短公示期"}


@dataclass
class Tally:
    """What officers met: milliseconds of each decision and of each that came too late, and answers by status."""

    decided: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    pages: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)


def percentile(values: list[float], share: float) -> float | None:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2) if ordered else None


def summary(tally: Tally, seconds: float) -> dict[str, Any]:
    return {
        "decisions": len(tally.decided),
        "seconds": round(seconds, 2),
        "decisions_a_second": round(len(tally.decided) / seconds, 1),
        "decision_p50_ms": percentile(tally.decided, 0.5),
        "decision_p99_ms": percentile(tally.decided, 0.99),
        "too_late_412": tally.statuses[412],
        "too_late_p99_ms": percentile(tally.late, 0.99),
        "queue_page_p99_ms": percentile(tally.pages, 0.99),
    }


async def populate(server: EmbeddedServer, cases: dict[str, int]) -> None:
    """Records, and applications for their repair, so many for each deciding agency."""
    database = Database(server.service_url, role="credit_service")
    now = datetime.now(UTC)
    grants = [Grant(item_code="administrative-penalty", division_prefix="5001")]
    async with database.transaction() as session:
        for agency in cases:
            body = AgencyWrite(name="重庆市渝中区市场监督管理局", division="500103", level="district", grants=grants)
            await accounts.put_agency(session, CATALOGUE, Actor("benchmark", "benchmark"), now, agency, body)
    left = codes(sum(cases.values()) // AN_APPLICATION)
    for agency, count in cases.items():
        for number in range(count // AN_APPLICATION):
            await _apply(database, agency, next(left), number, now)
    await database.close()


async def _apply(database: Database, agency: str, company: str, number: int, now: datetime) -> None:
    clerk = Actor("client:clerk", "benchmark", agency)
    async with database.transaction() as session:
        receipts = [
            await records.submit(session, CATALOGUE, clerk, now, penalty(agency, company, f"{number}-{each}"))
            for each in range(AN_APPLICATION)
        ]
    subject = Principal(f"client:{company}", Role.SUBJECT, entity_uscc=company)
    caller = Caller(Actor(subject.id, "benchmark"), subject, now, CATALOGUE)
    application = RepairApplication(record_ids=[receipt.id for receipt in receipts], commitment=_commitment(now))
    async with database.transaction() as session:
        await repairs.apply(session, caller, application)


def _commitment(now: datetime) -> Any:
    return {
        "materials_are_true": True,
        "accepts_liability": True,
        "content": "本单位承诺所提交材料真实有效, 今后依法经营。",
        "breach_liability": "如违反承诺, 愿意依法承担相应责任。",
        "signed_on": day_of(now),
    }


def penalty(agency: str, company: str, number: str) -> RecordSubmission:
    served = {"means": "direct", "evidence": "送达回证"}
    kinds = {"facts-grounds-and-rights": date(2026, 3, 1), "publicity-notice": date(2026, 4, 20)}
    kinds["repair-notice"] = date(2026, 4, 20)
    return RecordSubmission.model_validate(
        {
            "item_code": "administrative-penalty",
            "uscc": company,
            "entity_name": "重庆基准测试商贸有限公司",
            "document_number": f"渝中市监处罚〔2026〕{number}号",
            "decided_on": "2026-04-20",
            "authority_uscc": agency,
            "authority_name": "重庆市渝中区市场监督管理局",
            "legal_basis": "《中华人民共和国食品安全法》第一百二十四条",
            "notices": [{"kind": kind, "served_on": day, **served} for kind, day in kinds.items()],
            "facts": {
                "violation_type": "经营超过保质期的食品",
                "violation_facts": "当事人销售超过保质期的预包装食品。",
                "penalty_categories": ["罚款"],
                "penalty_content": "罚款一万二千元",
                "fine_amount": "12000.00",
            },
        }
    )


@contextmanager
def service(server: EmbeddedServer, folder: Path) -> Iterator[str]:
    """The service as ``serve`` runs it, with one web process; gives its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CREDIT_")} | {
        "CREDIT_DATABASE_URL": server.service_url,
        "CREDIT_DATABASE_POOL_SIZE": "20",
        "CREDIT_DATA_DIR": str(folder),
        "CREDIT_RATE_LIMIT": "0",
    }
    command = [sys.executable, "-m", "credit_service", "serve", "--port", str(port), "--no-jobs"]
    log = folder / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            _wait_ready(port, process, log)
            yield address
        finally:
            process.terminate()
            process.wait(30)


@asynccontextmanager
async def officers(server: EmbeddedServer, folder: Path, address: str, agency: str, count: int) -> AsyncIterator[Any]:
    """So many officers of an agency, each with a client and a connection of its own."""
    database, now, keys = (
        Database(server.service_url, role="credit_service"),
        datetime.now(UTC),
        KeyStore(folder / "keys"),
    )
    found = []
    async with database.transaction() as session:
        for number in range(count):
            principal = Principal(f"client:officer-{agency[-3:].lower()}-{number}", Role.SUBMITTER, agency_uscc=agency)
            client_id = principal.id.removeprefix("client:")
            session.add(
                Client(
                    client_id=client_id, name=client_id, role=principal.role.value, agency_uscc=agency,
                    secret_hash="none", created_at=now,
                )
            )  # fmt: skip
            token = tokens.issue(keys, issuer=address, principal=principal, now=now, lifetime_seconds=86400)
            headers = {"Authorization": f"Bearer {token}", "Credit-Purpose": "supervision"}
            found.append(httpx.AsyncClient(base_url=address, headers=headers, timeout=120, trust_env=False))
    await database.close()
    try:
        yield found
    finally:
        for client in found:
            await client.aclose()


async def work(client: httpx.AsyncClient, chance: random.Random, tally: Tally) -> None:
    """One officer: looks at the queue, decides some of what it saw, until there is nothing left."""
    while True:
        began = time.perf_counter()
        query = {"queue": "agency", "state": "submitted", "limit": A_PAGE}
        page = await client.get("/v1/repairs", params=query)
        tally.pages.append((time.perf_counter() - began) * 1000)
        page.raise_for_status()
        seen = page.json()["cases"]
        if not seen:
            return
        for case in chance.sample(seen, min(TRIED, len(seen))):
            began = time.perf_counter()
            headers = {"If-Match": f'"v{case["version"]}"'}
            answer = await client.post(f"/v1/repairs/{case['id']}/refuse", json=REASON, headers=headers)
            took = (time.perf_counter() - began) * 1000
            tally.statuses[answer.status_code] += 1
            if answer.status_code not in (200, 412):
                raise SystemExit(f"{answer.status_code}: {answer.text}")
            (tally.decided if answer.status_code == 200 else tally.late).append(took)


async def decide(
    server: EmbeddedServer, folder: Path, address: str, agency: str, count: int
) -> tuple[dict[str, Any], Tally]:
    """Let so many officers of an agency work its queue down."""
    tally = Tally()
    async with officers(server, folder, address, agency, count) as clients:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number, client in enumerate(clients):
                group.create_task(work(client, random.Random(number), tally))
        seconds = time.perf_counter() - began
    return summary(tally, seconds), tally


async def check(server: EmbeddedServer, agency: str, cases: int, tally: Tally) -> dict[str, int]:
    """Each case was decided, once, by one officer, and its applicant told once. Raises SystemExit otherwise."""
    connection = await asyncpg.connect(**connect_arguments(server.owner_url))
    try:
        own = "SELECT id FROM workflow_case WHERE handler_uscc = $1"
        decided = "SELECT count(*) FROM audit_event WHERE action = 'repair.refuse' AND subject_id::uuid IN"
        found = {
            "answered_200": len(tally.decided),
            "cases_refused": await connection.fetchval(
                "SELECT count(*) FROM workflow_case WHERE handler_uscc = $1 AND state = 'refused'", agency
            ),
            "decisions_in_the_audit": await connection.fetchval(
                f"{decided} ({own})",
                agency,
            ),
            "applicants_told": await connection.fetchval(
                f"SELECT count(*) FROM notification WHERE template = 'repair-refused' AND case_id IN ({own})", agency
            ),
        }
    finally:
        await connection.close()
    if set(found.values()) != {cases}:
        raise SystemExit(f"{cases} cases, but {found}")
    return found


async def bare_updates(server: EmbeddedServer, agency: str, connections: int) -> dict[str, Any]:
    """The same cases by the least that could decide them: a conditional update of one row, each in a transaction."""
    pool = await asyncpg.create_pool(**connect_arguments(server.owner_url), min_size=connections, max_size=connections)
    rows = await pool.fetch("SELECT id, version FROM workflow_case WHERE handler_uscc = $1", agency)
    waiting, took = iter(random.Random(0).sample(rows, len(rows))), []

    async def one() -> None:
        async with pool.acquire() as connection:
            for row in waiting:
                began = time.perf_counter()
                await connection.execute(
                    "UPDATE workflow_case SET state = 'refused', version = version + 1 WHERE id = $1 AND version = $2",
                    row["id"], row["version"],
                )  # fmt: skip
                took.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    seconds = time.perf_counter() - began
    await pool.close()
    return {
        "updates": len(took),
        "updates_a_second": round(len(took) / seconds, 1),
        "update_p50_ms": percentile(took, 0.5),
        "update_p99_ms": percentile(took, 0.99),
    }


def run(cases: int = 2000, count: int = 20, alone: int = 200) -> dict[str, Any]:
    """Measure: ``count`` officers on ``cases``, one on ``alone``."""
    result: dict[str, Any] = {"benchmark": "officers", "machine": machine(), "officers": count, "cases": cases}
    with prepared_database() as server, tempfile.TemporaryDirectory() as temporary:
        say(f"filing {cases + alone} applications")
        asyncio.run(populate(server, {DECIDING: cases, ALONE: alone}))
        with service(server, Path(temporary)) as address:
            say("one officer")
            result["one"], tally = asyncio.run(decide(server, Path(temporary), address, ALONE, 1))
            asyncio.run(check(server, ALONE, alone, tally))
            say(f"{count} officers")
            result["together"], tally = asyncio.run(decide(server, Path(temporary), address, DECIDING, count))
        result["decided_once"] = asyncio.run(check(server, DECIDING, cases, tally))
        result["bare_update"] = asyncio.run(bare_updates(server, DECIDING, count))
    rates = {name: result[name]["decisions_a_second"] for name in ("one", "together")}
    result["ratios"] = {
        "together_over_one": round(rates["together"] / rates["one"], 2),
        "together_over_bare_update": round(rates["together"] / result["bare_update"]["updates_a_second"], 4),
    }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.officers", description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help=f"a multiple of {AN_APPLICATION}")
    parser.add_argument("--officers", type=int, default=20)
    arguments = parser.parse_args()
    print(json.dumps(run(arguments.cases, arguments.officers), ensure_ascii=False))


if __name__ == "__main__":
    main()
