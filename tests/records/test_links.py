"""A record that is bound to what followed from it stays bound, however either of them is corrected."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import pytest

from credit_service.accounts.rules import Role
from credit_service.platform.context import Actor
from credit_service.records import life
from credit_service.records.standing import Action
from tests.api import AGENCY, CATALOGUE, Api
from tests.records.imports import files

OFFICER = Actor("client:officer", "test", AGENCY)
GRAVE = {"categories": "责令停产停业", "fine": "", "content": "责令停产停业"}


async def imported(api: Api, key: str, **changes: str) -> dict[str, Any]:
    answer = await api.call(
        "POST",
        "/v1/imports",
        Role.SUBMITTER,
        {"Idempotency-Key": key, "Content-Type": "text/csv"},
        params={"notice_attestation": "送达回证齐全"},
        content=files.csv_file([files.penalty(1, **changes)], "utf-8"),
    )
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def bound(api: Api, owner: asyncpg.Connection[Any]) -> tuple[UUID, UUID]:
    """A penalty from a file and one decided before it, which stops with it."""
    assert (await imported(api, "first"))["stored"] == 1
    caused = await owner.fetchval("SELECT id FROM record")
    code = files.company(1)
    first = await api.submit(uscc=code, document_number="检查1号", decided_on="2026-04-10")
    assert first.status_code == 201, first.text
    async with api.database.transaction() as session:
        record = await life.held(session, UUID(first.json()["id"]))
        await life.bind(session, OFFICER, api.clock.now(), record, await life.held(session, caused))
    return UUID(first.json()["id"]), caused


async def until(owner: asyncpg.Connection[Any]) -> dict[UUID, Any]:
    return dict(await owner.fetch("SELECT id, publicity_until FROM record"))


@pytest.mark.parametrize("way", ["import", "submission", "correction"])
async def test_what_lies_behind_a_corrected_record_follows(api: Api, owner: asyncpg.Connection[Any], way: str) -> None:
    record, caused = await bound(api, owner)
    before = await until(owner)
    assert before[record] == before[caused]
    if way == "import":
        done = await imported(api, "second", **GRAVE)
        assert done["corrected"] == 1, (await api.get(done["receipts"], Role.SUBMITTER)).text
    else:
        async with api.database.transaction() as session:
            held = await life.held(session, caused)
            document = held.document_number
            facts = held.public_facts | {
                "penalty_categories": ["吊销许可证件"],
                "suspended_or_revoked_licences": "许可证1号",
                "fine_amount": None,
            }
            if way == "correction":
                facts = {name: value for name, value in facts.items() if value is not None}
                draft = life.draft_of(CATALOGUE, held)._replace(public_facts=facts)
                await life.correct(session, CATALOGUE, OFFICER, api.clock.now(), held, draft, "更正")
        if way == "submission":
            facts = {
                name: facts[name] for name in ("penalty_categories", "suspended_or_revoked_licences", "fine_amount")
            }
            answer = await api.submit(uscc=files.company(1), document_number=document, facts=facts)
            assert answer.json()["outcome"] == "corrected", answer.text
    after = await until(owner)
    assert after[caused] > before[caused]
    assert after[record] == after[caused]
    changes = await owner.fetch("SELECT change FROM record_version WHERE record_id = $1 ORDER BY version", record)
    assert [row["change"] for row in changes] == ["record.stored", "record.bound", "record.bound"]


async def test_a_bound_record_that_is_corrected_stays_bound(api: Api, owner: asyncpg.Connection[Any]) -> None:
    record, caused = await bound(api, owner)
    assert (await imported(api, "second", **GRAVE))["corrected"] == 1
    answer = await api.submit(
        uscc=files.company(1),
        document_number="检查1号",
        decided_on="2026-04-10",
        facts={"violation_facts": "更正的事实。"},
    )
    assert answer.json()["outcome"] == "corrected", answer.text
    after = await until(owner)
    assert after[record] == after[caused]


async def test_what_is_never_published_gives_no_end_and_takes_none(api: Api, owner: asyncpg.Connection[Any]) -> None:
    """A warning is not published: what it followed from is shown for its own term, and not for ever."""
    record, published = await bound(api, owner)
    code = files.company(1)
    own = await api.submit(uscc=code, document_number="检查2号", decided_on="2026-04-10")
    warning = await api.submit(
        uscc=code, document_number="警告1号", facts={"penalty_categories": ["警告"], "fine_amount": None}
    )
    other, withheld = UUID(own.json()["id"]), UUID(warning.json()["id"])
    before = await until(owner)
    assert before[withheld] is None
    async with api.database.transaction() as session:
        for each in (record, other):
            held = await life.held(session, each)
            await life.bind(session, OFFICER, api.clock.now(), held, await life.held(session, withheld))
    assert await until(owner) == before, "the published penalty's end, and the own one"
    async with api.database.transaction() as session:
        caused = await life.held(session, published)
        await life.move(session, CATALOGUE, OFFICER, api.clock.now(), caused, Action.REPAIR, reason="修复")
    after = await until(owner)
    assert after[record] == after[other] == before[other], "the warning stands, and has no end of its own"
