"""Both workflows under any sequence of steps by anybody, held against a model that knows the law by hand.

No illegal transition, no lost or doubled effect, the mark shown exactly while an objection is open, the timeline equal
to the audit events, every time-limit equal to an oracle of its own that counts days one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any, TypeVar

import asyncpg
import orjson
from chinese_calendar import is_workday
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from credit_service.accounts.rules import Role
from credit_service.identity.uscc import compose
from credit_service.objections.machine import OBJECTION
from credit_service.repairs.machine import REPAIR
from credit_service.workflows.machine import Machine
from tests.conftest import NOW
from tests.workflows.support import ANSWERER, CLERK, COLLEAGUE, COMMITMENT, OFFICER, PROOF, House, Person

SHANGHAI = timedelta(hours=8)
NUMBERS = count(1)
LAST_DAY = date(2026, 9, 30)
OFFICERS = (OFFICER, COLLEAGUE)
REASON = "经核查作出本项处理"
T = TypeVar("T")


def today(now: datetime) -> date:
    return (now + SHANGHAI).date()


def working_days_on(day: date, amount: int) -> date:
    """The last of ``amount`` working days after a day; none: the day itself, or the next working day."""
    while amount or not is_workday(day):
        day += timedelta(days=1)
        amount -= amount > 0 and is_workday(day)
    return day


def counted(after: date, until: date) -> int:
    return sum(is_workday(after + timedelta(days=n)) for n in range(1, (until - after).days + 1))


@dataclass
class Limit:
    """A time-limit as a clerk with a paper calendar keeps it."""

    stage: str
    since: date
    amount: int
    paused_on: date | None = None
    closed: str | None = None
    late: bool = False
    extended: bool = False

    def last_day(self) -> date | None:
        return None if self.paused_on else working_days_on(self.since, self.amount)

    def over(self, now: datetime) -> bool:
        last = self.last_day()
        return last is not None and today(now) > last

    def close(self, how: str, now: datetime) -> None:
        self.late, self.closed = self.over(now), how

    def pause(self, now: datetime) -> None:
        if not self.over(now):
            self.paused_on = today(now)

    def resume(self, now: datetime) -> None:
        if self.paused_on is not None:
            # The day of the pause is counted; the first day counted again is the one after the resumption.
            start = self.since if is_workday(self.since) else working_days_on(self.since, 0)
            self.amount = max(0, self.amount - counted(start, max(start, self.paused_on)))
            self.since, self.paused_on = today(now), None


@dataclass(repr=False)
class Kept:
    """What the model knows of a case."""

    machine: Machine
    path: str
    applicant: Person
    state: str
    ground: str = ""
    returns_to: str | None = None
    taken: list[str] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    accepted: date | None = None
    supplement_by: date | None = None
    review_until: date | None = None
    proposer: Person | None = None
    deciders: set[Person] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)

    def __repr__(self) -> str:
        return f"{self.machine.name} {self.state} after {self.taken}"

    @property
    def closed(self) -> bool:
        return self.state in {step.to for step in self.machine.steps if step.ends}

    @property
    def marks(self) -> bool:
        flagged = {"verifying", "forwarded", "answered", "review-requested"}
        return self.machine is OBJECTION and bool({self.state, self.returns_to} & flagged)

    def running(self, stage: str) -> Limit | None:
        return next((limit for limit in self.limits if limit.stage == stage and not limit.closed), None)


class Life(RuleBasedStateMachine):
    """One record of one company, its repairs and the objections of the company and of a rival."""

    house: House
    owner: asyncpg.Connection[Any]
    loop: asyncio.AbstractEventLoop

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    @property
    def now(self) -> datetime:
        return self.house.api.clock.now()

    @initialize()
    def begin(self) -> None:
        self.house.api.clock.instant = NOW
        number = next(NUMBERS)
        self.company = compose("91", "500103", f"MA7{number:05d}")
        self.subject = Person(f"subject-{number}", Role.SUBJECT, entity=self.company)
        self.rival = Person(f"rival-{number}", Role.SUBJECT, entity=compose("91", "500103", f"MA6{number:05d}"))
        self.record_id = self.run(self.house.record(uscc=self.company, document_number=f"渝处罚〔2026〕{number}号"))
        self.state = "published"
        self.marked = False
        self.recorders = {CLERK}
        self.barred_until: date | None = None
        self.changes = ["record.stored"]
        self.cases: list[Kept] = []
        self.told: dict[Person, list[str]] = {self.subject: [], self.rival: []}

    @rule(days=st.integers(0, 9), hours=st.integers(0, 23))
    def time_passes(self, days: int, hours: int) -> None:
        if today(self.now) < LAST_DAY:
            self.house.api.clock.instant += timedelta(days=days, hours=hours)

    @rule(as_draft=st.booleans())
    def apply_for_repair(self, as_draft: bool) -> None:
        body = {"record_ids": [self.record_id], "materials": [PROOF], "commitment": COMMITMENT, "submit": not as_draft}
        answer = self.run(self.house.call("POST", "/v1/repairs", self.subject, json=body))
        stands = self.state == "published"
        allowed = stands and (as_draft or (not self.barred() and not self.open_repair()))
        assert answer.status_code == (201 if allowed else 409), answer.text
        if allowed:
            case = Kept(REPAIR, f"/v1/repairs/{answer.json()['cases'][0]['id']}", self.subject, "draft", taken=["open"])
            self.cases.append(case)
            if not as_draft:
                self.moved(case, "submit", self.subject)

    @precondition(lambda self: any(case.unread for case in self.cases))
    @rule()
    def everybody_reads_what_came(self) -> None:
        for person in {case.applicant for case in self.cases if case.unread}:
            self.run(self.house.reads(person))
        for case in self.cases:
            case.unread.clear()

    def barred(self) -> bool:
        return self.barred_until is not None and today(self.now) < self.barred_until

    def open_repair(self) -> bool:
        return any(c.machine is REPAIR and c.state != "draft" and not c.closed for c in self.cases)

    @rule(
        accepted=st.booleans(),
        third=st.booleans(),
        ground=st.sampled_from(["content-wrong", "past-its-term", "repair-result-wrong"]),
    )
    def object_to_it(self, accepted: bool, third: bool, ground: str) -> None:
        person = self.rival if third else self.subject
        body = {"record_id": self.record_id, "ground": ground, "reason": REASON, "interest": "影响本单位商誉"}
        answer = self.run(self.house.call("POST", "/v1/objections", person, json=body))
        if third and self.state != "published":
            assert answer.status_code == 404, answer.text
            return
        twice = any(c.machine is OBJECTION and c.applicant == person and not c.closed for c in self.cases)
        assert answer.status_code == (409 if twice else 201), answer.text
        if not twice:
            path = f"/v1/objections/{answer.json()['id']}"
            case = Kept(OBJECTION, path, person, "submitted", ground, taken=["open"])
            case.limits.append(Limit("flag", today(self.now), 1))
            self.cases.append(case)
            if accepted:
                self.act(case, "accept", OFFICER)

    @precondition(lambda self: self.cases)
    @rule(data=st.data())
    def the_matter_goes_on(self, data: st.DataObject) -> None:
        """A step that the law allows, by somebody who may take it."""
        parties = (self.subject, self.rival, *OFFICERS, ANSWERER)
        possible = [
            (case, action, person)
            for case in self.cases
            for action in sorted(case.machine.by_action)
            for person in parties
            if action not in {"claim", "revise"} and self.allowed(case, action, person)
        ]
        if possible:
            self.act(*data.draw(st.sampled_from(possible)))

    @precondition(lambda self: self.cases)
    @rule(data=st.data())
    def somebody_acts(self, data: st.DataObject) -> None:
        """An action of the machine by somebody; those that are possible come up more often."""
        case = data.draw(st.sampled_from(self.cases[-3:]))
        likely = sorted(step.action for step in case.machine.steps if case.state in step.sources)
        every = sorted(case.machine.by_action)
        action = data.draw(
            st.sampled_from(likely) if likely and data.draw(st.integers(0, 4)) else st.sampled_from(every)
        )
        by = {party.value for party in case.machine.by_action[action].by}
        fitting = [case.applicant] if "applicant" in by else [ANSWERER] if "source" in by else list(OFFICERS)
        anybody = [self.subject, self.rival, OFFICER, COLLEAGUE, ANSWERER]
        person = data.draw(st.sampled_from(fitting if data.draw(st.integers(0, 4)) else anybody))
        self.act(case, action, person)

    def act(self, case: Kept, action: str, person: Person) -> None:
        """Try a step; it must do what the model says, or be refused where the model forbids it."""
        expected = self.allowed(case, action, person)
        answer = self.run(self.house.act(case.path, action, person, self.body_of(action)))
        assert (answer.status_code == 200) == expected, (case.state, action, person.name, answer.text)
        if expected:
            self.moved(case, action, person)
            assert answer.json()["state"] == case.state
        else:
            assert answer.status_code in (403, 404, 409), answer.text

    def body_of(self, action: str) -> dict[str, Any]:
        decision = {"reason": REASON, "document_number": "渝修〔2026〕1号"}
        correction = {"reason": REASON, "correction": {"facts": {"penalty_content": f"罚款{len(self.changes)}元"}}}
        bodies = {
            "revise": {"materials": [PROOF], "commitment": COMMITMENT},
            "request-supplement": {"reason": REASON, "supplement_by": str(today(self.now) + timedelta(days=6))},
            "grant": decision,
            "reject": decision,
            "revoke": {**decision, "ground": "false-materials", "evidence": "银行回函"},
            "answer": {"reason": REASON, "mistaken": True},
            "correct": correction,
            "review-correct": correction,
        }
        return bodies.get(action, {"reason": REASON})

    def allowed(self, case: Kept, action: str, person: Person) -> bool:
        """Whether the law lets somebody do something now: the machine's table, and each guard by hand."""
        step = case.machine.by_action[action]
        roles = {"applicant"} if person == case.applicant else set()
        roles |= {"handler"} if person in OFFICERS else {"source"} if person == ANSWERER else set()
        if case.state not in step.sources or not roles & {party.value for party in step.by}:
            return False
        conflict = person in self.recorders
        standing = {"published"}
        guards = {
            "submit": self.state in standing and not self.barred() and not self.open_repair(),
            "lapse": case.supplement_by is not None
            and today(self.now) > case.supplement_by
            and not {"repair-supplement-requested", "objection-supplement-requested"} & case.unread,
            "accept": case.machine is OBJECTION or (self.state in standing and not self.barred()),
            "refuse": not conflict,
            "extend": case.machine is REPAIR and self.extendable(case),
            "propose": not conflict and self.state in standing,
            "grant": not conflict and self.state in standing and case.proposer != person,
            "reject": not conflict and not (case.state == "extended" and "repair-extended" in case.unread),
            "revoke": not conflict and self.state == "repaired",
            "uphold": not conflict,
            "concur": not conflict,
            "correct": not conflict and self.state in standing,
            "remove": not conflict and self.removable(case),
            "request-review": case.review_until is None or today(self.now) <= case.review_until,
            "review-uphold": not conflict and person not in case.deciders,
            "review-correct": not conflict and person not in case.deciders and self.state in standing,
            "review-remove": not conflict and person not in case.deciders and self.removable(case),
        }
        return guards.get(action, True)

    def extendable(self, case: Kept) -> bool:
        limit = case.running("decide")
        return limit is not None and not limit.extended and not limit.over(self.now)

    def removable(self, case: Kept) -> bool:
        if case.ground == "content-wrong":
            return self.state in {"published", "repaired", "removed"}
        return self.state == "published"

    def moved(self, case: Kept, action: str, person: Person) -> None:
        """What a step does, by hand."""
        step, now = case.machine.by_action[action], self.now
        case.taken.append(action)
        self.act_on_record(case, action, person)
        self.keep_time(case, action)
        if action == "propose":
            case.proposer = person
        if action in {"refuse", "correct", "remove", "uphold", "propose", "grant", "reject", "revoke"}:
            case.deciders.add(person)
        if action == "request-supplement":
            case.supplement_by, case.returns_to = today(now) + timedelta(days=6), case.state
        if action in {"correct", "remove", "uphold"}:
            case.review_until = working_days_on(today(now), 15)
        back = case.returns_to
        if step.to is not None:
            case.state = step.to
        elif action == "supplement":
            assert back is not None
            case.state = back
        if action not in {"request-supplement", "claim"}:
            case.returns_to = None
        self.mark(case)
        if step.notice is not None:
            self.told[case.applicant].append(step.notice)
            case.unread.add(step.notice)

    def act_on_record(self, case: Kept, action: str, person: Person) -> None:
        if action == "grant":
            self.state = "repaired"
            self.changes.append("record.repair")
        elif action == "revoke":
            self.state = "published"
            self.barred_until = date(today(self.now).year + 3, today(self.now).month, today(self.now).day)
            self.changes.append("record.revoke-repair")
        elif action in {"correct", "review-correct"}:
            self.changes.append("record.corrected")
            self.recorders.add(person)
            if case.applicant != self.subject:
                self.told[self.subject].append("record-corrected")
        elif action in {"remove", "review-remove"}:
            ends = {"content-wrong": "annulled", "past-its-term": "removed", "repair-result-wrong": "repaired"}
            changes = {"annulled": "record.annul", "removed": "record.remove", "repaired": "record.repair"}
            self.state = ends[case.ground]
            self.changes.append(changes[self.state])
            if case.applicant != self.subject:
                self.told[self.subject].append("record-corrected")

    def mark(self, case: Kept) -> None:
        marked = any(other.marks for other in self.cases)
        if marked != self.marked:
            self.marked = marked
            self.changes.append("record.disputed" if marked else "record.undisputed")

    def keep_time(self, case: Kept, action: str) -> None:
        """国办发〔2025〕22号 and Order 36 for repair; the default profile for objections."""
        now, step = self.now, case.machine.by_action[action]
        meets = {
            "accept": ["accept", "flag"],
            "refuse": ["accept", "flag", "decide", "total", "own-decision"],
            "grant": ["decide", "total"],
            "reject": ["decide", "total"],
            "forward": ["own-decision"],
            **{name: ["own-decision", "forwarded-decision"] for name in ("correct", "remove", "uphold")},
            **{f"review-{name}": ["own-decision"] for name in ("correct", "remove", "uphold")},
        }
        for stage in meets.get(action, ()):
            if (limit := case.running(stage)) is not None:
                limit.close("met", now)
        for limit in [limit for limit in case.limits if not limit.closed]:
            if step.ends:
                limit.close("cancelled", now)
            elif action == "request-supplement":
                limit.pause(now)
            elif action == "supplement":
                limit.resume(now)
        self.start_counting(case, action)

    def start_counting(self, case: Kept, action: str) -> None:
        day = today(self.now)
        if action == "submit":
            case.limits += [Limit("accept", day, 3), Limit("total", day, 10)]
        elif action == "accept":
            case.accepted = day
            case.limits.append(Limit("decide", day, 7) if case.machine is REPAIR else Limit("own-decision", day, 3))
        elif action == "forward" and case.running("forwarded-decision") is None:
            assert case.accepted is not None
            case.limits.append(Limit("forwarded-decision", case.accepted, 7))
        elif action == "request-review":
            case.limits.append(Limit("own-decision", day, 3))
        elif action == "extend":
            decide, total = case.running("decide"), case.running("total")
            assert decide is not None
            decide.amount, decide.extended = decide.amount + 10, True
            if total is not None:
                total.close("cancelled", self.now)

    @invariant()
    def the_record_is_what_was_decided(self) -> None:
        record = self.run(self.house.get(f"/v1/records/{self.record_id}", self.subject))
        assert record["state"] == self.state
        assert (record["disputed_since"] is not None) == self.marked == any(case.marks for case in self.cases)
        sql = "SELECT change FROM record_version WHERE record_id = $1 ORDER BY version"
        assert [row["change"] for row in self.run(self.owner.fetch(sql, self.record_id))] == self.changes

    @invariant()
    def each_case_is_where_its_steps_led(self) -> None:
        for case in self.cases:
            shown = self.run(self.house.get(case.path, case.applicant))
            assert (shown["state"], shown["version"]) == (case.state, len(case.taken))
            assert (shown["closed_at"] is not None) == case.closed
            if case.closed:
                assert shown["on_time"] == (not any(limit.late for limit in case.limits))
            found = [
                (limit["stage"], limit["due_at"], limit["closed_as"], limit["overdue"]) for limit in shown["deadlines"]
            ]
            assert found == [self.as_shown(limit) for limit in case.limits], case.taken

    def as_shown(self, limit: Limit) -> tuple[str, str | None, str | None, bool]:
        last = limit.last_day()
        due = None
        if last is not None:
            midnight = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1) - SHANGHAI
            due = midnight.isoformat().replace("+00:00", "Z")
        late = limit.late if limit.closed else limit.over(self.now)
        return limit.stage, due, limit.closed, late

    @invariant()
    def the_timeline_is_the_audit_log(self) -> None:
        sql = "SELECT id, action, canonical FROM audit_event WHERE uscc = $1 AND subject_id = $2 ORDER BY id"
        for case in self.cases:
            timeline = self.run(self.house.get(f"{case.path}/timeline", case.applicant))["entries"]
            name, case_id = case.machine.name, case.path.rsplit("/", 1)[1]
            rows = self.run(self.owner.fetch(sql, self.company, case_id))
            assert [entry["action"] for entry in timeline] == [f"{name}.{action}" for action in case.taken]
            assert [entry["event_id"] for entry in timeline] == [str(row["id"]) for row in rows]
            assert [entry["version"] for entry in timeline] == [
                orjson.loads(row["canonical"])["subject"]["version"] for row in rows
            ]

    @invariant()
    def everybody_was_told_once(self) -> None:
        for person, expected in self.told.items():
            inbox = self.run(self.house.get("/v1/inbox?limit=500", person))["notifications"]
            assert sorted(note["template"] for note in inbox) == sorted(expected)


async def test_both_workflows_keep_their_invariants_whatever_is_done(
    house: House, owner: asyncpg.Connection[Any]
) -> None:
    loop = asyncio.get_running_loop()
    bound = type("BoundLife", (Life,), {"house": house, "owner": owner, "loop": loop})
    chosen = settings(
        max_examples=15,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    await asyncio.to_thread(run_state_machine_as_test, bound, settings=chosen)
