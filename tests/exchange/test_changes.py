"""The feed: every change once, in one order, to each what the law lets it see now; mirrors that check themselves."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import asyncpg
import pytest

from credit_service.accounts.rules import Role
from credit_service.audit.log import Log, keys_of
from credit_service.audit.merkle import Frontier
from credit_service.audit.reader import LogReader
from credit_service.exchange import store
from credit_service.platform.days import day_of
from tests.api import Api, penalty


class Mirror:
    """A follower of the feed as an outsider would write it."""

    def __init__(self, api: Api, role: Role = Role.PUBLIC) -> None:
        self.api, self.role = api, role
        self.after = -1
        self.sequences: list[int] = []
        self.records: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, int] = {}
        self.tree = Frontier()

    async def follow(self, limit: int = 7) -> None:
        while True:
            page = (await self.api.get(f"/v1/changes?after={self.after}&limit={limit}", self.role)).json()
            for change in page["changes"]:
                self.sequences.append(change["sequence"])
                self.tree.append(bytes.fromhex(change["leaf_hash"]))
                if change.get("gone") and change["subject_type"] == "entity":
                    code = change["subject_id"]
                    self.records = {key: record for key, record in self.records.items() if record["uscc"] != code}
                elif change.get("gone"):
                    self.records.pop(change["subject_id"], None)
                elif change.get("record"):
                    self.records[change["subject_id"]] = change["record"]
                    self.versions[change["subject_id"]] = change["version"]
            self.after = page["next_after"]
            if not page["changes"]:
                return

    def parts(self, at: datetime) -> dict[str, str]:
        """The digests of what is public at an instant."""
        groups: dict[str, list[str]] = {}
        for record_id, record in self.records.items():
            until = record["publicity_until"]
            if until is None or datetime.fromisoformat(until) > at:
                groups.setdefault(record_id[-2:], []).append(f"{record_id} {self.versions[record_id]}\n")
        return {part: hashlib.sha256("".join(sorted(lines)).encode()).hexdigest() for part, lines in groups.items()}


@pytest.fixture
async def log(api: Api) -> AsyncIterator[Any]:
    connection = await api.database.connect()
    log = Log(keys_of(api.app.state.settings), "http://test")

    async def advance() -> None:
        await log.sequence(connection, api.clock.now())
        await log.checkpoint(connection, api.clock.now())

    yield advance
    await connection.close()


async def test_each_audience_sees_what_it_may_and_every_place(api: Api, log: Any) -> None:
    public = (await api.submit()).json()["id"]
    hidden = (
        await api.submit(
            document_number="渝中市监处罚〔2026〕2号", facts={"penalty_categories": ["警告"], "fine_amount": None}
        )
    ).json()["id"]
    await log()
    seen = {}
    for role in (Role.PUBLIC, Role.SUBMITTER, Role.REGULATOR, Role.SUBJECT):
        mirror = Mirror(api, role)
        await mirror.follow()
        assert mirror.sequences == list(range(len(mirror.sequences)))
        seen[role] = mirror
    assert set(seen[Role.PUBLIC].records) == {public}
    assert set(seen[Role.REGULATOR].records) == set(seen[Role.SUBJECT].records) == {public, hidden}
    assert "restricted_facts" not in seen[Role.PUBLIC].records[public]
    assert "restricted_facts" in seen[Role.REGULATOR].records[public]
    text = (await api.get("/v1/changes?limit=1000")).text
    assert "警告" not in text
    entry = next(c for c in (await api.get("/v1/changes")).json()["changes"] if c.get("subject_id") == hidden)
    assert entry.keys() == {"sequence", "leaf_hash", "subject_type", "subject_id", "gone"}
    assert "agency-submitter" not in text, "who entered it is nobody's business here"
    refused = await api.get("/v1/changes", Role.REGULATOR, headers={"Credit-Purpose": "curiosity"})
    assert refused.status_code == 422


async def test_a_repair_an_objection_and_an_end_reach_the_mirror_as_the_law_has_them(
    api: Api, log: Any, owner: asyncpg.Connection
) -> None:
    record_id = (await api.submit()).json()["id"]
    await log()
    mirror = Mirror(api)
    await mirror.follow()
    assert mirror.records[record_id]["disputed_since"] is None
    await owner.execute("UPDATE record SET disputed_since = $1", api.clock.now())
    shown = (await api.get("/v1/changes")).json()["changes"]
    assert [c["record"]["disputed_since"] for c in shown if c.get("record")] != [None], "rendered when it is read"
    withdrawal = {"reason": "报送错误, 由报送单位撤回"}
    headers = {"If-Match": "*"}
    path = f"/v1/records/{record_id}/withdrawal"
    assert (await api.call("POST", path, Role.SUBMITTER, headers, json=withdrawal)).status_code == 200
    await log()
    assert all(c.get("record") is None for c in (await api.get("/v1/changes")).json()["changes"]), "the past, too"
    await mirror.follow()
    assert mirror.records == {}
    stranger = Mirror(api)
    await stranger.follow()
    assert stranger.records == {}


async def test_a_reader_who_was_away_misses_nothing_of_concurrent_writers(api: Api, log: Any) -> None:
    reader, done = Mirror(api), asyncio.Event()

    async def writes(worker: int) -> None:
        for number in range(6):
            answer = await api.submit(document_number=f"渝中市监处罚〔2026〕{worker}-{number}号")
            assert answer.status_code == 201

    async def sequences() -> None:
        while not done.is_set():
            await log()
            await asyncio.sleep(0)

    async def reads() -> None:
        while not done.is_set():
            await reader.follow(limit=3)
            await asyncio.sleep(0.01)

    others = asyncio.gather(sequences(), reads())
    await asyncio.gather(*(writes(worker) for worker in range(4)))
    done.set()
    await others
    await log()
    await reader.follow()
    assert reader.sequences == list(range(len(reader.sequences)))
    assert len(reader.records) == 24
    head = await LogReader(api.database).head(2026)
    assert head is not None
    assert (head.size, head.root) == (reader.tree.size, reader.tree.root()), "the feed is the log"


async def test_a_reader_may_wait_for_a_change(api: Api, log: Any) -> None:
    await api.submit()
    await log()
    end = (await api.get("/v1/changes")).json()["end"]
    waiting = asyncio.create_task(api.get(f"/v1/changes?after={end}&wait=30"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await api.submit(document_number="渝中市监处罚〔2026〕9号")
    await log()
    assert (await waiting).json()["changes"][0]["sequence"] == end + 1
    nothing = (await api.get("/v1/changes?after=100000")).json()
    assert (nothing["changes"], nothing["next_after"]) == ([], 100000)


async def test_a_mirror_checks_itself_against_the_days_digest(api: Api, log: Any) -> None:
    assert (await api.get("/v1/changes/digest")).status_code == 404
    for number in range(12):
        await api.submit(document_number=f"渝中市监处罚〔2026〕{number}号")
    await api.submit(document_number="渝中市监处罚〔2026〕3号", facts={"fine_amount": "13000.00"})
    await log()
    unsettled = (await api.submit(document_number="渝中市监处罚〔2026〕99号")).json()["id"]
    pool = await api.database.pool()
    now = api.clock.now()
    async with pool.acquire() as connection:
        assert await store.take_digest(connection, day_of(now), now)
        assert not await store.take_digest(connection, day_of(now), now)
    digest = (await api.get(f"/v1/changes/digest?day={day_of(now)}")).json()
    assert (digest["records"], digest["unsettled"]) == (12, [unsettled])
    mirror = Mirror(api)
    await mirror.follow()
    assert sorted(mirror.versions.values()) == [1] * 11 + [2]
    assert mirror.after == digest["through"]
    assert mirror.parts(now) == digest["parts"]
    lost = next(iter(mirror.records))
    del mirror.records[lost]
    differing = digest["parts"].items() ^ mirror.parts(now).items()
    assert {part for part, _ in differing} == {lost[-2:]}
    assert penalty()["uscc"] not in str(digest)
