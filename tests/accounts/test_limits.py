"""Too much, too large, too deep: turned away with a problem document that says when to come back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_service.accounts.limits import RateLimit
from credit_service.accounts.rules import Role
from credit_service.platform.admission import MOST_LEVELS, Admission, Depth
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database
from credit_service.platform.errors import Problem
from tests.api import OTHER_AGENCY, Api, running


def test_a_caller_gets_its_requests_and_then_as_they_refill() -> None:
    now = [0.0]
    limit = RateLimit(60, clock=lambda: now[0])
    for _ in range(60):
        limit.take("a")
    with pytest.raises(Problem) as refused:
        limit.take("a")
    assert refused.value.headers["Retry-After"] == "1"
    limit.take("b")  # another caller's are its own
    now[0] = 2.0
    headers = dict(limit.take("a"))
    assert headers[b"ratelimit"] == b'"caller";r=1;t=59'
    assert headers[b"ratelimit-policy"] == b'"caller";q=60;w=60'


@given(st.lists(st.floats(min_value=0, max_value=30), max_size=200))
def test_no_minute_admits_more_than_two_quotas_nor_any_start_more_than_one(pauses: list[float]) -> None:
    now, limit, admitted = [0.0], RateLimit(10, clock=lambda: now[0]), []
    for pause in pauses:
        now[0] += pause
        try:
            limit.take("a")
            admitted.append(now[0])
        except Problem:
            pass
    for start in admitted:
        assert sum(start <= moment < start + 60 for moment in admitted) <= 20
        assert sum(start <= moment <= start for moment in admitted) <= 10


async def test_an_agency_shares_one_limit_and_is_told_of_it(
    database: Database, clock: FixedClock, tmp_path: Path
) -> None:
    async with running(database, clock, tmp_path, rate_limit=3) as api:
        ours = [await api.get("/v1/lists", role) for role in (Role.REGULATOR, Role.SUBMITTER, Role.REGULATOR)]
        assert [answer.headers["ratelimit"].split(";")[1] for answer in ours] == ["r=2", "r=1", "r=0"]
        refused = await api.get("/v1/lists", Role.SUBMITTER)
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:credit-service:problem:too-many-requests")
        assert int(refused.headers["retry-after"]) > 0
        assert (await api.get("/v1/lists", Role.REGULATOR, agency=OTHER_AGENCY)).status_code == 200
        assert (await api.get("/v1/lists")).status_code == 200  # the public's limit is the reverse proxy's


async def test_load_is_shed_and_probes_are_not() -> None:
    release, arrived = asyncio.Event(), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        arrived.set()
        await release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    guarded = Admission(slow, most_in_flight=1, exempt=frozenset({"/livez"}))

    async def ask(path: str) -> dict[str, Any]:
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await guarded({"type": "http", "path": path, "method": "GET", "headers": []}, None, send)  # type: ignore[arg-type]
        return sent[0]

    first = asyncio.create_task(ask("/v1/lists"))
    await arrived.wait()
    shed = await ask("/v1/lists")
    assert shed["status"] == 503
    assert (b"retry-after", b"1") in shed["headers"]
    probe = asyncio.create_task(ask("/livez"))
    release.set()
    assert (await first)["status"] == (await probe)["status"] == 200
    assert (await ask("/v1/lists"))["status"] == 200  # a place is given back


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 5000, '{"facts":' + "[" * 70 + "]" * 70 + "}"])
async def test_a_body_too_deep_for_any_parser_is_refused(api: Api, text: str) -> None:
    answer = await api.call(
        "POST", "/v1/records", Role.SUBMITTER, {"Content-Type": "application/json"}, content=text.encode()
    )
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:credit-service:problem:malformed-request")


JSON = st.recursive(
    st.text() | st.none() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


def levels(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if children is None else 1 + max(map(levels, children), default=0)


@given(JSON, st.integers(min_value=1, max_value=7), st.booleans())
def test_depth_is_counted_however_the_text_is_cut(value: Any, size: int, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    depth, deepest = Depth(), 0
    for start in range(0, len(text), size):
        deepest = depth.feed(text[start : start + size])
    assert deepest == levels(value)
    assert MOST_LEVELS > 8


async def test_a_body_that_stops_coming_is_not_waited_for(
    database: Database, clock: FixedClock, tmp_path: Path
) -> None:
    async def stalling() -> Any:
        yield b'{"item_code": '
        await asyncio.sleep(3600)

    async with running(database, clock, tmp_path, body_seconds=0.2) as api:
        headers = {"Content-Type": "application/json"}
        answer = await api.call("POST", "/v1/records", Role.SUBMITTER, headers, content=stalling())
        assert (answer.status_code, answer.json()["type"]) == (408, "urn:credit-service:problem:request-timeout")
        assert (await api.submit()).status_code == 201


async def test_who_waits_too_long_for_a_lock_is_told_to_come_back(
    database_urls: Any, owner: Any, clock: FixedClock, tmp_path: Path
) -> None:
    impatient = Database(database_urls.service, role="credit_service", pool_size=3, statement_seconds=1)
    try:
        async with running(impatient, clock, tmp_path) as api:
            assert (await api.submit()).status_code == 201
            async with owner.transaction():
                await owner.execute("SELECT FROM entity FOR UPDATE")
                answer = await api.submit(document_number="渝中市监处罚〔2026〕2号")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert (await api.submit(document_number="渝中市监处罚〔2026〕2号")).status_code == 201
            assert await owner.fetchval("SELECT count(*) FROM record") == 2
    finally:
        await impatient.close()
