"""One decision is one record, in whichever brackets the year of its number comes and by whichever way."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from credit_service.accounts.rules import Role
from credit_service.identity.document_number import normalised
from credit_service.platform import migration
from tests.api import NOTICES, Api, penalty
from tests.platform.test_migration import fetch
from tests.records.imports import files
from tests.support import DatabaseUrls

NUMBER = "渝中市监处罚〔2026〕1号"
TYPED = [
    NUMBER.replace("〔2026〕", form) for form in ("[2026]", "（2026）", "(2026)", "【2026】", "［2026］", "﹝2026﹞")
]


async def sent(api: Api, rows: list[dict[str, str]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    headers = {"Idempotency-Key": rows[0]["document"].encode().hex(), "Content-Type": "text/csv"}
    done = await api.call(
        "POST",
        "/v1/imports",
        Role.SUBMITTER,
        headers,
        params={"notice_attestation": "送达回证齐全"},
        content=files.csv_file(rows),
    )
    assert done.status_code == 201, done.text
    return done.json(), (await api.get(done.json()["receipts"], Role.SUBMITTER)).json()["receipts"]


async def test_each_way_of_typing_a_number_finds_the_record(api: Api, owner: asyncpg.Connection[Any]) -> None:
    first = await api.submit(document_number=TYPED[0])
    assert (first.status_code, first.json()["document_number"]) == (201, NUMBER)
    for number in [NUMBER, *TYPED]:
        again = (await api.submit(document_number=number)).json()
        assert (again["outcome"], again["id"], again["document_number"]) == ("unchanged", first.json()["id"], NUMBER)
    correction = {"reason": "笔误更正", "record": penalty(document_number=TYPED[1], facts={"fine_amount": "13000"})}
    path = f"/v1/records/{first.json()['id']}"
    corrected = await api.call("POST", f"{path}/correction", Role.SUBMITTER, {"If-Match": '"v1"'}, json=correction)
    assert corrected.status_code == 200, corrected.text
    assert await owner.fetch("SELECT document_number, version FROM record") == [(NUMBER, 2)]


async def test_a_file_finds_what_was_submitted_singly_and_says_what_it_stores(
    api: Api, owner: asyncpg.Connection[Any]
) -> None:
    rows = [files.penalty(1, document=number) for number in TYPED] + [files.penalty(2, document="别的文号")]
    done, receipts = await sent(api, rows)
    assert (done["stored"], done["unchanged"], done["refused"]) == (2, len(TYPED) - 1, 0), receipts
    told = ["document-number-normalised" in each.get("warnings", []) for each in receipts]
    assert told == [True] * len(TYPED) + [False]
    [found] = await owner.fetch("SELECT id FROM record WHERE document_number = $1", NUMBER)
    assert {each["record_id"] for each in receipts[:-1]} == {str(found["id"])}
    singly = await api.submit(uscc=files.company(1), document_number=TYPED[2])
    assert (singly.json()["outcome"], singly.json()["id"]) == ("corrected", str(found["id"]))


async def test_notices_are_compared_by_the_same_form(api: Api) -> None:
    served = [{**notice, "document_number": "渝中市监告〔2026〕7号"} for notice in NOTICES]
    typed = [{**notice, "document_number": "渝中市监告[2026]7号"} for notice in NOTICES]
    assert (await api.submit(notices=served)).json()["outcome"] == "stored"
    assert (await api.submit(notices=typed)).json()["outcome"] == "unchanged"


@pytest.mark.parametrize("way", ["submission", "import"])
async def test_a_record_from_before_is_found_and_takes_the_form_with_its_next_submission(
    api: Api, owner: asyncpg.Connection[Any], way: str
) -> None:
    """What was stored and logged stays as it was stated; nothing is stored twice."""
    code = files.company(1)
    first = (await api.submit(uscc=code)).json()["id"]
    await owner.execute("UPDATE record SET document_number = $1, content_digest = ''", TYPED[0])
    await owner.execute(
        "INSERT INTO record_earlier_number SELECT uscc, item_code, $1, authority_uscc, id FROM record", NUMBER
    )
    outcomes = []
    for _ in range(2):
        if way == "submission":
            outcomes.append((await api.submit(uscc=code, document_number=TYPED[1])).json()["outcome"])
        else:
            done, [receipt] = await sent(api, [files.penalty(1, document=TYPED[len(outcomes)])])
            assert receipt["record_id"] == first
            outcomes += [name for name in ("stored", "corrected", "unchanged", "refused") if done[name]]
    assert outcomes == ["corrected", "unchanged"]
    [(found, number, version)] = await owner.fetch("SELECT id, document_number, version FROM record")
    assert (str(found), number, version) == (first, NUMBER, 2)


def test_the_migration_notes_the_records_from_before(own_database_urls: DatabaseUrls) -> None:
    """By the same form as the code, the oldest of several, and none that a record of that number exists for."""
    url = own_database_urls.owner
    migration.downgrade(url, "0025")
    alone = ["(2026)渝01破1号", "[2026]第3号", "京【2025】1号、津（2024）2号", "渝{2020}［2021］1", "甲[2026]"]
    stored = [*alone, "渝[2026]9号", "渝【2026】9号", "沪(2026)1号", "沪〔2026〕1号", "（2026）沪2号", "无年"]
    for number, text in enumerate(stored):
        fetch(url, EARLIER_RECORD.format(number=number, text=text))
    migration.upgrade(url)
    noted = fetch(
        url,
        "SELECT r.document_number, n.document_number FROM record_earlier_number n"
        " JOIN record r ON (r.uscc, r.id) = (n.uscc, n.record_id) ORDER BY r.recorded_at",
    )
    assert noted == [(text, normalised(text)) for text in [*alone, "渝[2026]9号"]]


EARLIER_RECORD = """
INSERT INTO record (uscc, id, item_code, document_number, authority_uscc, authority_name, source_uscc, source_name,
    entity_name, decided_on, legal_basis, public_facts, shared_facts, restricted_facts, explanation, rule_version,
    state, state_from, notices, version, content_digest, recorded_at, changed_at)
VALUES ('91500103MA000001XX', gen_random_uuid(), 'honour', '{text}', '11500103009286544', 'a', 'b', 'c', 'd',
    '2026-01-01', 'e', '{{}}', '{{}}', '{{}}', '[]', 'f', 'published', '2026-01-01', '[]', 1, '',
    timestamptz '2026-01-01' + interval '{number} days', '2026-01-01')
"""
