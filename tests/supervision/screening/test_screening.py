"""Screening: one instant, one signature, audiences, flags instead of failures, a stream that waits for its reader."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from credit_service.accounts.document_signatures import SignatureInvalid
from credit_service.accounts.rules import Audience, Role
from credit_service.identity.uscc import compose
from credit_service.records import bulk
from credit_service.supervision.screening import signing, stream
from tests.api import COMPANY, OTHER_COMPANY, Api
from tests.supervision.screening.listings import listing

PERSON = "11010519491231002X"
UNKNOWN = compose("91", "500103", "MA000009")
WRONG_DIGIT = COMPANY[:-1] + ("0" if COMPANY[-1] != "0" else "1")


async def screen(api: Api, role: Role = Role.PUBLIC, **body: Any) -> dict[str, Any]:
    answer = await api.call("POST", "/v1/screenings", role, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_hits_by_list_and_the_measures_of_a_scenario_with_their_law(api: Api) -> None:
    record = await listing(api)
    answer = await screen(api, codes=[COMPANY, UNKNOWN], scenario="procurement")
    known, unknown = answer["result"]["subjects"]
    assert [(hit["list"], hit["record_id"]) for hit in known["hits"]] == [
        ("serious-dishonesty-government-procurement", record)
    ]
    bar = next(measure for measure in known["measures"] if measure["measure"] == "procurement-bar")
    assert (bar["outcome"], bar["established"], bar["until"]) == ("required", True, "2029-04-20")
    law = answer["result"]["measures"]["procurement-bar"]
    assert law["kind"] == "A"
    assert law["legal_basis"][0]["document"] == "government-procurement-law"
    assert {"title_zh", "article", "status"} <= law["legal_basis"][0].keys()
    assert unknown == {"index": 1, "status": "unknown", "code": UNKNOWN}
    assert answer["result"]["counts"] == {"known": 1, "unknown": 1, "with_hits": 1}
    assert answer["result"]["holds_at"] == "2026-05-06T02:00:00.000000Z"
    assert "measures" not in (await screen(api, codes=[COMPANY]))["result"]["subjects"][0]
    other = (await screen(api, codes=[COMPANY], scenario="honours"))["result"]["subjects"][0]
    assert [measure["measure"] for measure in other["measures"]] == ["no-honours"]


async def test_what_is_wrong_with_a_code_is_a_row_and_a_person_is_never_repeated(api: Api) -> None:
    await listing(api)
    codes = [f" {COMPANY.lower()} ", WRONG_DIGIT, "123", PERSON, "😀" * 18]
    answer = await api.call("POST", "/v1/screenings", json={"codes": codes, "names": [f"张三{PERSON}"]})
    rows = answer.json()["result"]["subjects"]
    assert [row["status"] for row in rows] == ["known", "unknown", "invalid", "refused", "invalid", "refused"]
    assert rows[0]["code"] == COMPANY
    assert rows[1]["flags"] == ["check-digit-18"]
    assert rows[3] == {"index": 3, "status": "refused", "rule": "legal-entities-only"}
    assert PERSON not in answer.text
    assert "19491231" not in answer.text


async def test_each_audience_is_told_what_it_may_see(api: Api, owner: asyncpg.Connection) -> None:
    record = await listing(api)
    await owner.execute("UPDATE record SET state = 'withheld' WHERE id = $1", record)
    seen = {
        role: [
            hit["record_id"]
            for hit in (await screen(api, role, codes=[COMPANY]))["result"]["subjects"][0].get("hits", [])
        ]
        for role in (Role.PUBLIC, Role.SUBJECT, Role.SUBMITTER, Role.REGULATOR)
    }
    assert seen == {Role.PUBLIC: [], Role.SUBJECT: [], Role.SUBMITTER: [record], Role.REGULATOR: [record]}
    refused = await api.call(
        "POST", "/v1/screenings", Role.REGULATOR, {"Credit-Purpose": ""}, json={"codes": [COMPANY]}
    )
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:credit-service:problem:purpose-required")


@pytest.mark.parametrize(
    "state", ["repaired", "annulled", "withdrawn", "removed", "archived", "awaiting-notice", "shielded"]
)
async def test_only_what_stands_is_a_hit(api: Api, owner: asyncpg.Connection, state: str) -> None:
    record = await listing(api)
    await owner.execute("UPDATE record SET state = $2 WHERE id = $1", record, state)
    for role in (Role.PUBLIC, Role.SUBMITTER, Role.REGULATOR):
        row = (await screen(api, role, codes=[COMPANY], scenario="procurement"))["result"]["subjects"][0]
        assert "hits" not in row
        assert "measures" not in row
        assert row.get("flags") == (["shielded"] if (state, role) == ("shielded", Role.REGULATOR) else None)


async def test_a_disputed_record_is_flagged(api: Api, owner: asyncpg.Connection) -> None:
    record = await listing(api)
    await owner.execute("UPDATE record SET disputed_since = $2 WHERE id = $1", record, api.clock.now())
    row = (await screen(api, codes=[COMPANY], scenario="procurement"))["result"]["subjects"][0]
    assert row["flags"] == ["disputed"]
    assert row["hits"][0]["disputed_since"] == "2026-05-06T02:00:00.000000Z"
    assert {measure["paused"] for measure in row["measures"]} == {False}  # no rule read says that they wait


async def test_a_term_of_statute_outlives_the_publicity_and_ends_on_its_day(
    api: Api, owner: asyncpg.Connection
) -> None:
    await api.submit(
        facts={"penalty_categories": ["吊销许可证件"], "fine_amount": None, "suspended_or_revoked_licences": "甲"}
    )

    async def measures() -> list[str]:
        row = (await screen(api, Role.REGULATOR, codes=[COMPANY], scenario="procurement"))["result"]["subjects"][0]
        return [measure["measure"] for measure in row.get("measures", [])]

    assert await measures() == ["procurement-eligibility"]
    await owner.execute("UPDATE record SET publicity_until = $1", api.clock.now())
    assert await measures() == ["procurement-eligibility"]
    api.clock.instant = api.clock.instant.replace(year=2029, month=4, day=19, hour=15, minute=59)
    assert await measures() == ["procurement-eligibility"]
    api.clock.instant += timedelta(minutes=1)
    assert await measures() == []


async def test_names_have_candidates_and_never_hits(api: Api) -> None:
    await listing(api, entity_name="重庆测试商贸有限公司")
    names = ["重慶測試商貿有限公司", "测试商贸", "重庆测式商贸有限公司", "无此名称有限公司"]
    answer = await screen(api, names=names, scenario="procurement")
    rows = answer["result"]["subjects"]
    assert [row["status"] for row in rows] == ["candidates", "candidates", "no-candidate", "no-candidate"]
    assert rows[0]["candidates"] == [
        {
            "uscc": COMPANY,
            "matched_name": "重庆测试商贸有限公司",
            "matched_former": False,
            "normalisation": "script",
            "per_mille": 997,
        }
    ]
    assert not any("hits" in row or "measures" in row for row in rows)


async def test_limits_and_an_unknown_scenario(api: Api) -> None:
    for body in ({}, {"codes": [COMPANY] * 10_001}, {"codes": [COMPANY] * 5000, "names": ["甲乙"] * 5001}):
        answer = await api.call("POST", "/v1/screenings", json=body)
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:credit-service:problem:invalid-request")
    unknown = await api.call("POST", "/v1/screenings", json={"codes": [COMPANY], "scenario": "no-such"})
    assert unknown.json()["errors"][0]["pointer"] == "/scenario"
    whole = await screen(api, codes=[COMPANY] * 10_000)
    assert whole["result"]["counts"] == {"unknown": 10_000}
    assert [row["index"] for row in whole["result"]["subjects"]] == list(range(10_000))


TEN_LINES = """
import hashlib, json, sys
from jose import jws
answer, keys = (json.load(open(name, encoding="utf-8")) for name in sys.argv[1:])
kid = jws.get_unverified_header(answer["jws"])["kid"]
key = next(key for key in keys["keys"] if key["kid"] == kid)
signed = json.loads(jws.verify(answer["jws"], key, ["ES256"]))
canonical = json.dumps(answer["result"], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
assert signed["sha256"] == hashlib.sha256(canonical).hexdigest(), "not what was signed"
print(signed["holds_at"], signed["count"])
"""


async def test_the_signature_is_verified_offline_by_ten_lines_of_other_code(api: Api, tmp_path: Path) -> None:
    await listing(api)
    answer = await api.call(
        "POST", "/v1/screenings", json={"codes": [COMPANY], "names": ["重庆测试有限公司"], "scenario": "procurement"}
    )
    keys = (await api.get("/.well-known/jwks.json")).json()
    (tmp_path / "keys.json").write_text(json.dumps(keys))

    def run(text: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "answer.json").write_text(text, encoding="utf-8")
        command = [sys.executable, "-c", TEN_LINES, str(tmp_path / "answer.json"), str(tmp_path / "keys.json")]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    good = run(answer.text)
    assert good.stdout == "2026-05-06T02:00:00.000000Z 2\n", good.stderr
    assert run(answer.text.replace("procurement-bar", "procurement-baz")).returncode != 0
    assert signing.verify_answer(answer.content, keys)["count"] == 2
    for forged in (
        answer.content.replace(b"published", b"").replace(COMPANY.encode(), OTHER_COMPANY.encode()),
        orjson.dumps(answer.json() | {"jws": await api.token(Role.REGULATOR)}),
        orjson.dumps({"result": answer.json()["result"]}),
        orjson.dumps(answer.json() | {"verdict": "clean"}),
        orjson.dumps(answer.json() | {"digest": "0" * 64}),
        b'{"result":{"subjects":[]},\n' + answer.content[1:],  # some readers take the first of two
        b"",
    ):
        with pytest.raises(SignatureInvalid):
            signing.verify_answer(forged, keys)
    for odd in ({"keys": []}, {"keys": 5}, {"keys": [5]}, []):
        with pytest.raises(SignatureInvalid):
            signing.verify_answer(answer.content, odd)  # type: ignore[arg-type]
    found, now = signing.signature_of(answer.content), api.clock.now()
    for count, holds_at, wrong in ((2, now + timedelta(seconds=1), "another instant"), (3, now, "3 were signed")):
        key = api.app.state.keys.signing()
        token = signing.sign(key, issuer="http://test", holds_at=holds_at, count=count, digest=found.digest)
        with pytest.raises(SignatureInvalid, match=wrong):
            signing.verify_answer(orjson.dumps(answer.json() | {"jws": token}), keys)
    header = json.loads(base64.urlsafe_b64decode(answer.json()["jws"].split(".")[0] + "=="))
    assert header["typ"] == signing.TYPE
    as_token = await api.http.get("/v1/inbox", headers={"Authorization": f"Bearer {answer.json()['jws']}"})
    assert as_token.status_code == 401


async def test_a_stream_answers_each_line_and_is_signed(api: Api) -> None:
    await listing(api)
    lines = [{"code": COMPANY}, {"name": "重庆测试有限公司"}, {"code": "123"}, {"code": PERSON}, {"what": 1}]
    body = b"\n".join(orjson.dumps(line) for line in lines) + b"\n\nnot json"
    answer = await api.call("POST", f"{stream.STREAM_PATH}?scenario=procurement", content=body)
    assert answer.headers["content-type"] == stream.NDJSON
    head, *rows, totals, signature = [orjson.loads(line) for line in answer.content.splitlines()]
    assert (head["holds_at"], head["scenario"]) == ("2026-05-06T02:00:00.000000Z", "procurement")
    assert [(row["index"], row["status"]) for row in rows] == [
        (0, "known"),
        (1, "candidates"),
        (2, "invalid"),
        (3, "refused"),
        (4, "invalid"),
        (5, "invalid"),
    ]
    assert "procurement-bar" in totals["measures"]
    assert totals["counts"]["invalid"] == 3
    keys = (await api.get("/.well-known/jwks.json")).json()
    assert signing.verify_answer(answer.content, keys)["count"] == 6
    assert (
        signature["sha256"] == hashlib.sha256(answer.content[: answer.content.rstrip().rindex(b"\n") + 1]).hexdigest()
    )
    with pytest.raises(SignatureInvalid):
        signing.verify_answer(answer.content.replace(b'"status":"known"', b'"status":"unknown"'), keys)
    with pytest.raises(SignatureInvalid):
        signing.verify_answer(answer.content.replace(b'{"jws"', b'{"verdict":"clean","jws"'), keys)
    with pytest.raises(SignatureInvalid):
        signing.verify_answer(answer.content[: answer.content.rstrip().rindex(b"\n") + 1], keys)


class Conversation:
    """A caller of the stream that sends a block only when told to, straight at the ASGI application."""

    def __init__(self, api: Api, *, reads: bool = True) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.got: asyncio.Queue[bytes] = asyncio.Queue()
        self.room = asyncio.Event()
        if reads:
            self.room.set()
        self.taken = 0
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": stream.STREAM_PATH,
            "raw_path": stream.STREAM_PATH.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [],
            "client": ("127.0.0.1", 1),
            "server": ("test", 80),
            "state": {},
        }
        self.task = asyncio.create_task(api.app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        message = await self.sent.get()
        self.taken += 1
        return message

    async def _send(self, message: Any) -> None:
        await self.room.wait()
        if message["type"] == "http.response.body":
            for line in message["body"].splitlines():
                self.got.put_nowait(line)

    def say(self, codes: list[str], *, more: bool = True) -> None:
        body = b"".join(orjson.dumps({"code": code}) + b"\n" for code in codes)
        self.sent.put_nowait({"type": "http.request", "body": body, "more_body": more})

    async def hear(self, count: int) -> list[Any]:
        return [orjson.loads(await asyncio.wait_for(self.got.get(), 20)) for _ in range(count)]


async def test_a_stream_holds_for_one_snapshot_however_long_it_takes(api: Api) -> None:
    await api.submit(uscc=OTHER_COMPANY)
    talk = Conversation(api)
    talk.say([COMPANY, OTHER_COMPANY])
    head, first, other = await talk.hear(3)  # the answer came before the request ended
    assert (first["status"], other["status"]) == ("unknown", "known")
    api.clock.instant += timedelta(hours=1)
    await listing(api)
    assert (await screen(api, codes=[COMPANY]))["result"]["subjects"][0]["status"] == "known"
    talk.say([COMPANY], more=False)
    again, totals, signature = await talk.hear(3)
    assert again["status"] == "unknown"
    assert head["holds_at"] == "2026-05-06T02:00:00.000000Z"
    assert totals["counts"] == {"unknown": 2, "known": 1}
    assert "jws" in signature
    await talk.task


async def test_nothing_is_read_from_a_caller_that_does_not_read(api: Api) -> None:
    talk = Conversation(api, reads=False)
    for _ in range(50):
        talk.say([COMPANY] * 100)
    talk.say([], more=False)
    await asyncio.sleep(0.3)
    assert talk.taken <= 1
    talk.room.set()
    lines = await talk.hear(1 + 5000 + 2)
    assert "jws" in lines[-1]
    await talk.task


async def test_a_stream_that_stalls_ends_unsigned_and_frees_its_place(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "STALLED_SECONDS", 0.2)
    talks = [Conversation(api) for _ in range(stream.STREAMS)]
    for talk in talks:
        await talk.hear(1)
    busy = await api.call("POST", stream.STREAM_PATH, content=b"")
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "30")
    for talk in talks:
        assert (await talk.hear(1))[0].keys() == {"error"}
        await talk.task
    assert (await api.call("POST", stream.STREAM_PATH, content=b"")).status_code == 200
    for content, last in ((b"x" * 9000 + b"\n", "jws"), (b"x" * 9000, "error")):
        # A line that is too long is a row that says so; one without an end could go on for ever.
        long = await api.call("POST", stream.STREAM_PATH, content=content)
        assert last in orjson.loads(long.content.splitlines()[-1])


async def test_one_call_holds_for_one_snapshot(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that comes in between two blocks of one call is in none of them."""
    from credit_service.supervision.screening import routes
    from credit_service.supervision.screening.reading import Screening

    monkeypatch.setattr(routes, "BLOCK", 1)
    original, done = Screening.codes, []

    async def codes(self: Screening, texts: Any, first_index: int = 0) -> Any:
        rows = await original(self, texts, first_index)
        if not done:
            done.append(True)
            await listing(api)
        return rows

    monkeypatch.setattr(Screening, "codes", codes)
    rows = (await screen(api, codes=[COMPANY, COMPANY]))["result"]["subjects"]
    assert [row["status"] for row in rows] == ["unknown", "unknown"]
    assert (await screen(api, codes=[COMPANY]))["result"]["subjects"][0]["status"] == "known"


async def test_each_known_subject_of_a_non_public_screening_is_logged(api: Api, owner: asyncpg.Connection) -> None:
    await listing(api)
    await screen(api, codes=[COMPANY, UNKNOWN])
    await screen(api, Role.REGULATOR, codes=[COMPANY, UNKNOWN, PERSON])
    await api.call("POST", stream.STREAM_PATH, Role.REGULATOR, content=orjson.dumps({"code": COMPANY}))
    await api.app.state.journal.close()
    rows = await owner.fetch("SELECT uscc, purpose FROM access_log WHERE uscc ~ '[1-9]'")
    assert [tuple(row) for row in rows] == [(COMPANY, "supervision")] * 2


async def test_lists_are_looked_through_by_the_index_of_telling_records(owner: asyncpg.Connection) -> None:
    """The condition of the query and of the index are the same: the planner may use it even for a generic plan."""
    query = bulk._TELLING_QUERIES[Audience.PUBLIC]
    transaction = owner.transaction()
    await transaction.start()
    # An empty table's indexes all cost the same.
    await owner.execute("ALTER TABLE record DROP CONSTRAINT record_natural_key, DROP CONSTRAINT record_pkey")
    await owner.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
    await owner.execute(f"PREPARE listed (varchar[], text[], timestamptz, text[], uuid[]) AS {query}")
    plan = await owner.fetch("EXPLAIN EXECUTE listed ('{a}', '{b}', now(), '{}', NULL)")
    await transaction.rollback()
    assert any("record_telling" in row[0] for row in plan), plan
