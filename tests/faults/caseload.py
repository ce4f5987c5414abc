"""Cases taken through their steps over HTTP by callers who insist, a job runner that can be killed, and a reckoning."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from credit_service.accounts.rules import Role
from credit_service.identity.uscc import compose
from credit_service.notifications.commands import Recipient
from credit_service.notifications.rules import Channel, message_id
from credit_service.objections.machine import OBJECTION
from credit_service.platform.clock import FileClock
from credit_service.platform.database import Database
from credit_service.repairs.machine import REPAIR
from tests.api import penalty, running
from tests.cli.test_serve import COMMAND, environment
from tests.notifications.servers import Receiver
from tests.notifications.support import WEBHOOK_KEY, Office, settings_for
from tests.support import ROOT
from tests.workflows.support import CLERK, COMMITMENT, OFFICER, PROOF, House, Person, furnished

STARTED = datetime(2026, 5, 6, 2, tzinfo=UTC)
COMPANIES = 20
INSISTED_SECONDS = 120
REASON = {"reason": "经核查属实"}
DOCUMENT = {"document_number": "渝中修〔2026〕1号"}
SUPPLEMENT = {"reason": "请提供缴款凭证", "supplement_by": "2026-07-20"}
CORRECTION = REASON | {"correction": {"facts": {"fine_amount": "1200.00", "penalty_content": "罚款一千二百元"}}}
APPLICANT = "applicant"
"""Stands for the case's own applicant among the steps below."""

Steps = tuple[tuple[str, Any, dict[str, Any]], ...]
REPAIRS: tuple[tuple[str, Steps], ...] = (
    ("granted", (("accept", OFFICER, {}), ("review", OFFICER, {}), ("grant", OFFICER, DOCUMENT))),
    ("refused", (("refuse", OFFICER, REASON),)),
    (
        "granted",
        (
            ("request-supplement", OFFICER, SUPPLEMENT),
            ("supplement", APPLICANT, {"materials": [PROOF]}),
            ("accept", OFFICER, {}),
            ("review", OFFICER, {}),
            ("grant", OFFICER, DOCUMENT),
        ),
    ),
    ("rejected", (("accept", OFFICER, {}), ("review", OFFICER, {}), ("reject", OFFICER, REASON | DOCUMENT))),
)
OBJECTIONS: tuple[tuple[str, Steps], ...] = (
    ("upheld", (("accept", OFFICER, {}), ("uphold", OFFICER, REASON))),
    ("refused", (("refuse", OFFICER, REASON),)),
    ("corrected", (("accept", OFFICER, {}), ("correct", OFFICER, CORRECTION))),
    ("withdrawn", (("accept", OFFICER, {}), ("withdraw", APPLICANT, {}))),
)
MACHINES = {"repair": REPAIR, "objection": OBJECTION}


@dataclass(frozen=True)
class Planned:
    """A case as it is to go."""

    number: int

    @property
    def kind(self) -> str:
        return "repair" if self.number % 2 == 0 else "objection"

    @property
    def uscc(self) -> str:
        return company(self.number % COMPANIES)

    @property
    def applicant(self) -> Person:
        return Person(f"subject-{self.number % COMPANIES}", Role.SUBJECT, entity=self.uscc)

    @property
    def outcome(self) -> str:
        return self._plan[0]

    @property
    def steps(self) -> Steps:
        return self._plan[1]

    @property
    def _plan(self) -> tuple[str, Steps]:
        return (REPAIRS if self.kind == "repair" else OBJECTIONS)[self.number // 2 % 4]

    @property
    def told(self) -> Counter[str]:
        """The templates that the applicant is told, by the machine."""
        found = (MACHINES[self.kind].by_action[action].notice for action, _, _ in self.steps)
        return Counter(template for template in found if template is not None)

    @property
    def versions(self) -> int:
        """One for the opening, one for the submission of a repair, one for each step."""
        return len(self.steps) + (2 if self.kind == "repair" else 1)


def company(number: int) -> str:
    return compose("91", "500103", f"MA1{number:05d}")


@dataclass
class Caseload:
    """The service, its callers, and what became of each case."""

    house: House
    database: Database
    clock: FileClock
    clock_file: Path
    cases: dict[int, tuple[str, str]] = field(default_factory=dict)
    """By number: record and case."""
    repeats: int = 0

    async def insist(self, path: str, person: Person, body: dict[str, Any], key: str) -> Any:
        """POST until there is an answer, with one key: what was done and not heard of is answered again."""
        headers = {"Idempotency-Key": key, "If-Match": "*"}
        for _ in range(INSISTED_SECONDS * 5):
            try:
                answer = await self.house.call("POST", path, person, headers=headers, json=body)
            except (httpx.HTTPError, OSError):
                answer = None
            if answer is not None and answer.status_code < 500:
                assert answer.status_code in (200, 201), (path, answer.text)
                return answer.json()
            self.repeats += 1
            await asyncio.sleep(0.2)
        raise AssertionError(f"no answer: {path}")

    async def open(self, planned: Planned) -> None:
        """Record and application."""
        number = planned.number
        record = penalty(
            decided_on="2026-01-20",
            uscc=planned.uscc,
            entity_name=f"重庆第{number % COMPANIES}号测试有限公司",
            document_number=f"渝中市监处罚〔2026〕{number}号",
        )
        record_id = (await self.insist("/v1/records", CLERK, record, f"record-{number}"))["id"]
        if planned.kind == "repair":
            body: dict[str, Any] = {"record_ids": [record_id], "materials": [PROOF], "commitment": COMMITMENT}
            case = (await self.insist("/v1/repairs", planned.applicant, body, f"open-{number}"))["cases"][0]
        else:
            body = {"record_id": record_id, "ground": "content-wrong", "reason": "罚款金额登记有误"}
            case = await self.insist("/v1/objections", planned.applicant, body, f"open-{number}")
        self.cases[number] = (record_id, case["id"])

    async def step(self, planned: Planned, index: int) -> None:
        action, person, body = planned.steps[index]
        _, case_id = self.cases[planned.number]
        path = f"/v1/{planned.kind}s/{case_id}/{action}"
        await self.insist(path, planned.applicant if person == APPLICANT else person, body, f"{planned.number}-{index}")

    async def carry(self, planned: Planned) -> None:
        """From the record to the decision."""
        await self.open(planned)
        for index in range(len(planned.steps)):
            await self.step(planned, index)

    async def carry_all(self, count: int, at_once: int = 8) -> None:
        numbers: Iterator[int] = iter(range(count))

        async def officer() -> None:
            for number in numbers:
                await self.carry(Planned(number))

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(officer())

    async def acquaint(self, count: int) -> None:
        """Make the callers' clients beforehand: that is not what is tried here."""
        for person in (CLERK, OFFICER, *(Planned(number).applicant for number in range(min(count, COMPANIES)))):
            await self.house.get("/v1/inbox", person)

    async def listen(self, receiver: Receiver) -> None:
        """Each company has a webhook that proved itself."""
        office = Office(self.database, self.clock, settings_for(self.clock_file.parent))  # type: ignore[arg-type]
        for number in range(COMPANIES):
            await office.contact(Channel.WEBHOOK, receiver.url, owner=Recipient.entity(company(number)))


@asynccontextmanager
async def caseload(database: Database, folder: Path) -> AsyncIterator[Caseload]:
    """The service on a database, with a clock that the job runner shares."""
    clock_file = folder / "clock"
    clock = FileClock(clock_file)
    clock.move_to(STARTED)
    async with running(database, clock, folder, rate_limit=10**9, most_in_flight=10**6) as api:  # type: ignore[arg-type]
        yield Caseload(await furnished(api), database, clock, clock_file)


@dataclass
class Runner:
    """The job runner, as a process that whoever deploys it starts again when it ends."""

    url: str
    folder: Path
    clock_file: Path
    process: subprocess.Popen[bytes] | None = None

    def ensure(self) -> None:
        if self.process is not None and self.process.poll() is None:
            return
        settings = {
            "CREDIT_DATABASE_URL": self.url,
            "CREDIT_DATA_DIR": str(self.folder),
            "CREDIT_CLOCK_FILE": str(self.clock_file),
            "CREDIT_WEBHOOK_KEY": WEBHOOK_KEY,
            "CREDIT_WEBHOOK_LOOPBACK": "true",
            "CREDIT_LOG_LEVEL": "error",
        }
        self.process = subprocess.Popen([*COMMAND, "worker"], cwd=ROOT, env=environment() | settings)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


async def settle(runner: Runner, pool: asyncpg.Pool[Any], seconds: float) -> None:
    """Wait until nothing is owed any more, as long as something gets done: ``seconds`` is for standing still."""
    owed, ends = None, 0.0
    while owed != 0:
        runner.ensure()
        before, owed = owed, await pool.fetchval("SELECT count(*) FROM notification WHERE state = 'owed'")
        if owed != before:
            ends = time.monotonic() + seconds
        assert time.monotonic() < ends, "a notification was lost"
        await asyncio.sleep(0.25)


async def reckon(load: Caseload, pool: asyncpg.Pool[Any], receiver: Receiver, count: int) -> None:
    """Nothing is stuck, nothing lost, nothing doubled."""
    planned = {UUID(load.cases[number][1]): Planned(number) for number in range(count)}
    rows = await pool.fetch("SELECT id, state, version, closed_at FROM workflow_case")
    assert {row["id"]: (row["state"], row["version"]) for row in rows} == {
        case_id: (plan.outcome, plan.versions) for case_id, plan in planned.items()
    }
    assert all(row["closed_at"] for row in rows)
    events = await pool.fetch(
        "SELECT subject_id, count(*) FROM audit_event WHERE subject_type IN ('repair', 'objection') GROUP BY 1"
    )
    assert {UUID(row[0]): row[1] for row in events} == {case_id: plan.versions for case_id, plan in planned.items()}
    await _reckon_notices(pool, receiver, planned)
    open_limits = "SELECT count(*) FROM stage_deadline WHERE closed_as IS NULL AND stage <> 'cross-province-push'"
    assert await pool.fetchval(open_limits) == 0
    await _reckon_records(load, pool, count)


async def _reckon_notices(pool: asyncpg.Pool[Any], receiver: Receiver, planned: dict[UUID, Planned]) -> None:
    rows = await pool.fetch("SELECT * FROM notification WHERE recipient_type = 'entity'")
    told: dict[UUID, Counter[str]] = {case_id: Counter() for case_id in planned}
    for row in rows:
        told[row["case_id"]][row["template"]] += 1
    assert told == {case_id: plan.told for case_id, plan in planned.items()}
    assert {row["state"] for row in rows} == {"delivered"}
    received = await pool.fetch(
        "SELECT case_id, count(*) FROM notification WHERE template = 'case-received' GROUP BY 1"
    )
    assert {row[0]: row[1] for row in received} == dict.fromkeys(planned, 1)
    arrived = Counter(headers["webhook-id"] for _, headers, _ in receiver.requests)
    assert set(arrived) == {message_id(row["uscc"], row["dedupe_key"]) for row in rows}
    interrupted = await pool.fetchval(
        "SELECT count(*) FROM notification_delivery WHERE state = 'failed' AND detail->>'answer' = 'interrupted'"
    )
    assert arrived.total() - len(arrived) <= interrupted, "only what was under way when its sender died comes again"
    bodies: dict[str, set[bytes]] = {name: set() for name in arrived}
    for _, headers, body in receiver.requests:
        bodies[headers["webhook-id"]].add(body)
    assert all(len(same) == 1 for same in bodies.values()), "a repeat says the same under the same name"


async def _reckon_records(load: Caseload, pool: asyncpg.Pool[Any], count: int) -> None:
    plans = {UUID(load.cases[number][0]): Planned(number) for number in range(count)}
    changes = {"granted": "record.repair", "corrected": "record.corrected"}
    rows = await pool.fetch("SELECT id, state, disputed_since FROM record WHERE id = ANY ($1)", list(plans))
    assert {row["id"]: row["state"] for row in rows} == {
        record_id: "repaired" if plan.outcome == "granted" else "published" for record_id, plan in plans.items()
    }
    assert all(row["disputed_since"] is None for row in rows)
    owed = await pool.fetch("SELECT record_id, change, receiver FROM propagation WHERE receiver_type <> 'agency'")
    platforms = ("credit-china", "enterprise-publicity-system")
    assert Counter((row["record_id"], row["change"], row["receiver"]) for row in owed) == Counter(
        (record_id, changes[plan.outcome], platform)
        for record_id, plan in plans.items()
        if plan.outcome in changes
        for platform in platforms
    )
