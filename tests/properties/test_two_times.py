"""Whatever was commanded, as_of and known_at answer as a replay of the audit events would: entity, record and list.

The replay takes nothing from the tables of the present. It walks the audit events of an entity in their order, opens
each version by the commitment in its event, and folds them as the two times are defined.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import asyncpg
import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credit_service.accounts.rules import Role
from credit_service.identity.uscc import compose
from tests.api import CONSENT, NOTICES, Api, penalty
from tests.conftest import NOW
from tests.records.test_history import _repair
from tests.records.test_life import ANNULMENT, LISTING, REMOVAL, SHIELDING, UNSHIELDING, act

COMPANIES = (compose("91", "500103", f"MA7{number:05d}") for number in count())
LIST = "serious-dishonesty-market-regulation"
NAMES = ("甲有限公司", "乙有限公司", "丙有限公司")
ENTITY_STEPS = ("rename", "revoke", "restore")
RECORD_STEPS = ("notices", "correct", "shielding", "unshielding", "repair", "withdrawal", "annulment")
LIST_STEPS = ("enter", "correct-entry", "removal", "annul-entry")


@dataclass(frozen=True)
class Version:
    """One event with what its commitment opens: content and, of a record, standing."""

    at: datetime
    number: int
    content: dict[str, Any]
    standing: dict[str, Any]


def moment(text: str | None, default: datetime) -> datetime:
    return default if text is None else datetime.fromisoformat(text)


def opened(salt: bytes, content: str, standing: str) -> str:
    """The commitment to a version, worked out anew: a salted digest of each field, and one over them all."""
    fields = [*orjson.loads(content).items(), *orjson.loads(standing).items()]
    salts = hashlib.shake_128(salt).digest(16 * len(fields))
    digests = b""
    for place, (name, value) in enumerate(fields):
        text = name.encode() + b"=" + orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        digests += hashlib.sha256(salts[16 * place : 16 * place + 16] + text).digest()
    return hashlib.sha256(b"record-version/2\n" + digests).hexdigest()


class Replay:
    """The history of one entity by its audit events, with every commitment checked."""

    def __init__(self) -> None:
        self.entity: list[Version] = []
        self.records: dict[str, list[Version]] = {}

    @classmethod
    async def of(cls, owner: asyncpg.Connection[Any], company: str) -> Replay:
        found = cls()
        rows = await owner.fetch("SELECT canonical FROM audit_event WHERE uscc = $1 ORDER BY id", company)
        for row in rows:
            event = orjson.loads(row["canonical"])
            at, subject = datetime.fromisoformat(event["occurred_at"]), event["subject"]
            if subject["type"] == "entity":
                text = await owner.fetchval(
                    "SELECT content FROM entity_version WHERE uscc = $1 AND version = $2", company, subject["version"]
                )
                assert hashlib.sha256(text.encode()).hexdigest() == event["after"]
                found.entity.append(Version(at, subject["version"], orjson.loads(text), {}))
            elif subject["type"] == "record":
                kept = await owner.fetchrow(
                    "SELECT salt, content, standing FROM record_version WHERE uscc = $1 AND record_id = $2::uuid"
                    " AND version = $3",
                    company,
                    subject["id"],
                    subject["version"],
                )
                assert opened(kept["salt"], kept["content"], kept["standing"]) == event["after"]
                found.records.setdefault(subject["id"], []).append(
                    Version(at, subject["version"], orjson.loads(kept["content"]), orjson.loads(kept["standing"]))
                )
        return found

    def entity_at(self, known_at: datetime) -> Version | None:
        return next((version for version in reversed(self.entity) if version.at <= known_at), None)

    def record_at(self, record_id: str, as_of: datetime, known_at: datetime) -> dict[str, Any] | None:
        """What a record says by the newest version known; where it stood by the newest whose state had begun."""
        known = [version for version in self.records[record_id] if version.at <= known_at]
        begun = [version for version in known if moment(version.standing["state_from"], as_of) <= as_of]
        if not begun:
            return None
        newest, stood = known[-1], begun[-1].standing
        starts, ends = stood["publicity_from"], stood["publicity_until"]
        shown = stood["state"] == "published" and moment(starts, as_of) <= as_of
        return {
            "document_number": newest.content["document_number"],
            "facts": newest.content["public_facts"],
            "legal_basis": newest.content["legal_basis"],
            "version": newest.number,
            "state": stood["state"],
            "state_reason": stood["state_reason"],
            "severity": stood["severity"],
            "repair_eligible_from": stood["repair_eligible_from"],
            "visible_to_public": shown and (ends is None or as_of < datetime.fromisoformat(ends)),
        }

    def records_at(self, as_of: datetime, known_at: datetime) -> dict[str, dict[str, Any]]:
        found = {record_id: self.record_at(record_id, as_of, known_at) for record_id in self.records}
        return {record_id: said for record_id, said in found.items() if said is not None}


class Walk:
    """An entity whose file is changed by commands over HTTP; what the law refuses just does not happen."""

    def __init__(self, api: Api, company: str) -> None:
        self.api, self.company = api, company
        self.record = self.entry = ""
        self.entries = 0

    async def begin(self) -> None:
        stored = await self.api.submit(uscc=self.company, notices=NOTICES[:1])
        self.record = stored.json()["id"]

    async def take(self, step: str, hours: int) -> None:
        if step in ENTITY_STEPS:
            await self._change_entity(step, hours)
        elif step in LIST_STEPS:
            await self._change_list(step, hours)
        else:
            await self._change_record(step, hours)

    async def _change_entity(self, step: str, hours: int) -> None:
        body = {
            "rename": {"name": NAMES[hours % len(NAMES)]},
            "revoke": {"name": NAMES[0], "registration_status": "revoked"},
            "restore": {"name": NAMES[1], "registration_status": "active", "industry": "F5191"},
        }[step]
        path = f"/v1/entities/{self.company}"
        answer = await self.api.call("PUT", path, Role.REGISTRAR, {"If-Match": "*"}, json=body)
        assert answer.status_code in (200, 201), answer.text

    async def _change_record(self, step: str, hours: int) -> None:
        match step:
            case "correct":
                facts = {"fine_amount": f"{hours}.00"}
                await self.api.submit(uscc=self.company, notices=[], facts=facts, legal_basis=f"第{hours}条")
            case "repair":
                await _repair(self.api, self.record)
            case _:
                body = {
                    "notices": {"notices": NOTICES[1:]},
                    "shielding": SHIELDING,
                    "unshielding": UNSHIELDING,
                    "withdrawal": {"reason": "重复报送"},
                    "annulment": ANNULMENT,
                }[step]
                assert (await act(self.api, self.record, step, body)).status_code in (200, 409)

    async def _change_list(self, step: str, hours: int) -> None:
        if step == "enter":
            self.entries += 1
            stored = await self.api.submit(**self._listing())
            assert stored.status_code == 201, stored.text
            self.entry = stored.json()["id"]
        elif self.entry and step == "correct-entry":
            record = penalty(**self._listing(reason=f"情节严重{hours}"))
            answer = await act(self.api, self.entry, "correction", {"reason": "更正理由", "record": record})
            assert answer.status_code in (200, 409), answer.text
        elif self.entry:
            name, body = {
                "removal": ("removal", REMOVAL | {"consent": CONSENT}),
                "annul-entry": ("annulment", ANNULMENT),
            }[step]
            answer = await act(self.api, self.entry, name, body, officer=f"officer-{hours % 2}")
            assert answer.status_code in (200, 409)

    def _listing(self, **facts: str) -> dict[str, Any]:
        number = f"渝中列〔2026〕{self.entries}号"
        return LISTING | {"uscc": self.company, "document_number": number, "facts": LISTING["facts"] | facts}


steps = st.lists(
    st.tuples(st.sampled_from(ENTITY_STEPS + RECORD_STEPS + LIST_STEPS), st.integers(0, 20 * 24)), max_size=8
)
hours = st.integers(-24, 150 * 24)


def part(said: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    return {name: said[name] for name in expected}


async def as_the_replay_says(api: Api, company: str, replay: Replay, as_of: datetime, known_at: datetime) -> None:
    query = {"as_of": as_of.isoformat(), "known_at": known_at.isoformat()}
    expected = replay.records_at(as_of, known_at)
    for record_id in replay.records:
        answer = await api.get(f"/v1/records/{record_id}", Role.REGULATOR, params=query)
        if record_id in expected:
            assert part(answer.json(), expected[record_id]) == expected[record_id]
        else:
            assert answer.status_code == 404
    entity = replay.entity_at(known_at)
    profile = await api.get(f"/v1/entities/{company}", Role.REGULATOR, params=query)
    assert (profile.status_code == 404) == (entity is None)
    if entity is not None:
        names = ("name", "registration_status", "industry", "division")
        assert part(profile.json(), dict.fromkeys(names)) == {name: entity.content[name] for name in names}
        former = {name["name"] for name in entity.content["names"] if name["used_until"] is not None}
        assert {name["name"] for name in profile.json()["former_names"]} == former
        held = {found["id"]: found for found in profile.json()["records"]}
        assert {key: part(held[key], said) for key, said in expected.items()} == expected
        assert len(held) == len(expected)
    listing = await api.get(f"/v1/lists/{LIST}/entries", Role.REGULATOR, params=query | {"limit": 500})
    entries = {found["id"]: found for found in listing.json()["records"] if found["uscc"] == company}
    listed = {key: said for key, said in expected.items() if said["document_number"].startswith("渝中列")}
    assert {key: part(found, listed.get(key, {})) for key, found in entries.items()} == listed


@given(steps=steps, times=st.lists(st.tuples(hours, hours), min_size=1, max_size=2))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_two_times_equal_a_replay_of_the_audit_events(
    api: Api,
    owner: asyncpg.Connection[Any],
    steps: Sequence[tuple[str, int]],
    times: Sequence[tuple[int, int]],
) -> None:
    api.clock.instant = NOW
    company = next(COMPANIES)
    walk = Walk(api, company)
    await walk.begin()
    changed = [NOW]
    for step, wait in steps:
        api.clock.instant += timedelta(hours=wait)
        await walk.take(step, wait)
        changed.append(api.clock.instant)
    api.clock.instant += timedelta(hours=1)
    now = api.clock.instant
    replay = await Replay.of(owner, company)
    assert replay.entity, "the entity is in the log"
    asked = [tuple(min(NOW + timedelta(hours=h), now) for h in pair) for pair in times]
    # and on both sides of the last change, to the microsecond
    asked += [(now, changed[-1]), (changed[-1] - timedelta(microseconds=1), now), (now, now)]
    for as_of, known_at in asked:
        await as_the_replay_says(api, company, replay, as_of, known_at)
