"""Answers with proofs: verified offline by the public key alone, for each audience, before and after an erasure."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from credit_service import cli
from credit_service.accounts.rules import Role
from credit_service.audit import checkpoints, export, openings
from credit_service.audit.answers import verify_answer
from credit_service.audit.log import Log, keys_of
from credit_service.audit.notes import Verifier
from credit_service.audit.shards import open_shard
from credit_service.audit.signing import LogKeys
from credit_service.audit.verification import Report, Trust, folder_reader, verify_log
from credit_service.platform.context import Actor
from credit_service.records import life
from tests.api import CATALOGUE, COMPANY, OTHER_COMPANY, Api

ORIGIN = "test/v1/log/2026"


class Signer:
    """The log of the application under test, moved by hand."""

    def __init__(self, api: Api, connection: Any) -> None:
        self.api, self.connection = api, connection
        self.keys: LogKeys = keys_of(api.app.state.settings)
        self.log = Log(self.keys, "http://test")

    async def sign(self) -> None:
        await self.log.sequence(self.connection, self.api.clock.now())
        await self.log.checkpoint(self.connection, self.api.clock.now())

    def verify(self, answer: dict[str, Any], **trust: Any) -> Report:
        return verify_answer(answer, Trust(self.keys.verifiers(ORIGIN), **trust))

    async def verify_all(self, folder: Path) -> Report:
        shard = await open_shard(self.connection)
        assert shard is not None
        head = await checkpoints.latest(self.connection, shard)
        assert head is not None
        await export.export(self.connection, shard, head[1], folder, entries=True)
        return verify_log(folder_reader(folder), Trust(self.keys.verifiers(ORIGIN)))


@pytest.fixture
async def signer(api: Api) -> AsyncIterator[Signer]:
    connection = await api.database.connect()
    yield Signer(api, connection)
    await connection.close()


def faults(report: Report) -> set[str]:
    return {finding.fault for finding in report.findings}


async def answered(api: Api, record_id: str, role: Role = Role.PUBLIC, query: str = "") -> dict[str, Any]:
    response = await api.get(f"/v1/records/{record_id}?proof=true{query}", role)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


@pytest.mark.parametrize("role", [Role.PUBLIC, Role.SUBMITTER, Role.REGULATOR, Role.SUBJECT])
async def test_each_audience_can_prove_what_it_is_shown_and_learns_no_more(
    api: Api, signer: Signer, role: Role
) -> None:
    record_id = (await api.submit()).json()["id"]
    pending = await api.get(f"/v1/records/{record_id}?proof=true", role)
    assert (pending.status_code, pending.json()["type"]) == (409, "urn:credit-service:problem:proof-pending")
    assert pending.headers["retry-after"]
    await signer.sign()
    answer = await answered(api, record_id, role)
    report = signer.verify(answer)
    assert (report.holds, report.entries) == (True, 1), report.findings
    opened = {field["name"] for field in answer["proofs"][0]["opening"] if field.get("value")}
    assert ("restricted_facts" in opened) == (role in (Role.REGULATOR, Role.SUBJECT))
    assert ("shared_facts" in opened) == (role is not Role.PUBLIC)
    if role is Role.PUBLIC:
        assert "agency-submitter" not in orjson.dumps(answer).decode()


async def test_an_answer_that_was_changed_does_not_hold(api: Api, signer: Signer) -> None:
    record_id = (await api.submit()).json()["id"]
    other_id = (await api.submit(document_number="渝中市监处罚〔2026〕2号")).json()["id"]
    await signer.sign()
    answer = await answered(api, record_id)

    def altered(change: Any) -> set[str]:
        forged = copy.deepcopy(answer)
        change(forged)
        return faults(signer.verify(forged))

    field = next(place for place, one in enumerate(answer["proofs"][0]["opening"]) if one["name"] == "severity")
    value = answer["proofs"][0]["opening"][field]["value"]
    assert altered(lambda a: a.update(severity="minor")) == {"answer-altered"}
    assert altered(lambda a: a["facts"].update(fine_amount="1.00")) == {"answer-altered"}
    assert altered(lambda a: a.update(id=other_id)) >= {"answer-altered"}
    assert altered(lambda a: a.update(verdict="innocent")) == {"answer-unproved"}
    assert altered(lambda a: a.pop("proofs")) >= {"answer-unproved"}
    assert "answer-altered" in altered(
        lambda a: a["proofs"][0]["opening"][field].update(value=value.replace("general", "minor").replace("s", "t"))
    )
    event = answer["proofs"][0]["event"]
    assert "proof-invalid" in altered(lambda a: a["proofs"][0].update(event=event.replace("stored", "voided")))
    tlog = answer["proofs"][0]["tlog_proof"]
    assert "proof-invalid" in altered(lambda a: a["proofs"][0].update(tlog_proof=tlog.replace("index ", "index 1")))
    stranger = Verifier(ORIGIN, 1, b"\x07" * 32)
    assert faults(verify_answer(answer, Trust([stranger]))) >= {"proof-invalid"}
    assert faults(verify_answer({}, Trust([]))) == {"answer-unproved"}


async def test_what_held_on_a_day_is_proved_by_the_versions_it_rests_on(api: Api, signer: Signer) -> None:
    """A correction holds from the beginning, a removal only from its day: the answer then rests on two versions."""
    record_id = (await api.submit()).json()["id"]
    before = api.clock.instant
    api.clock.instant = before + timedelta(days=2)
    await api.submit(facts={"fine_amount": "13000.00"})
    await signer.sign()
    day = (before + timedelta(days=1)).isoformat().replace("+", "%2B")
    corrected = await answered(api, record_id, Role.REGULATOR, f"&as_of={day}")
    assert signer.verify(corrected).holds, signer.verify(corrected).findings
    assert corrected["facts"]["fine_amount"] == "13000.00"
    as_known = await answered(api, record_id, Role.REGULATOR, f"&as_of={day}&known_at={day}")
    assert signer.verify(as_known).holds, signer.verify(as_known).findings
    assert (as_known["facts"]["fine_amount"], as_known["proofs"][0]["version"]) == ("12000.00", 1)
    forged = as_known | {"facts": corrected["facts"]}
    assert faults(signer.verify(forged)) == {"answer-altered"}


async def proved(api: Api, path: str, role: Role = Role.PUBLIC) -> dict[str, Any]:
    response = await api.get(path, role)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


@pytest.mark.parametrize("role", [Role.PUBLIC, Role.SUBMITTER, Role.REGULATOR, Role.SUBJECT])
async def test_a_profile_and_a_page_of_records_are_proved_as_a_whole(api: Api, signer: Signer, role: Role) -> None:
    for number in range(3):
        await api.submit(document_number=f"渝中市监处罚〔2026〕{number}号")
    profile, page = f"/v1/entities/{COMPANY}", f"/v1/entities/{COMPANY}/records"
    for path in (profile, page):
        pending = await api.get(f"{path}?proof=true", role)
        assert (pending.status_code, pending.json()["type"]) == (409, "urn:credit-service:problem:proof-pending")
    await signer.sign()
    for path, entries in ((profile, 4), (page, 3)):
        answer = await proved(api, f"{path}?proof=true", role)
        report = signer.verify(answer)
        assert (report.holds, report.entries) == (True, entries), report.findings
        opened = {field["name"] for r in answer["records"] for field in r["proofs"][0]["opening"] if "value" in field}
        assert ("restricted_facts" in opened) == (role in (Role.REGULATOR, Role.SUBJECT))
        assert ("shared_facts" in opened) == (role is not Role.PUBLIC)
        plain = await proved(api, path, role)
        for part in (answer, *answer["records"]):
            part.pop("proof", None)
            part.pop("proofs", None)
        assert answer == plain, "the same answer, but for its proofs"
    assert (await api.get(f"{profile}?proof=maybe", role)).status_code == (
        await api.get(f"{page}?proof=maybe", role)
    ).status_code


async def test_a_profile_of_a_day_is_proved_by_the_versions_it_rests_on(api: Api, signer: Signer) -> None:
    await api.submit()
    before = api.clock.instant
    api.clock.instant = before + timedelta(days=2)
    await api.submit(facts={"fine_amount": "13000.00"})
    await signer.sign()
    day = (before + timedelta(days=1)).isoformat().replace("+", "%2B")
    for path in (f"/v1/entities/{COMPANY}", f"/v1/entities/{COMPANY}/records"):
        for query, amount in ((f"as_of={day}", "13000.00"), (f"as_of={day}&known_at={day}", "12000.00")):
            answer = await proved(api, f"{path}?proof=true&{query}", Role.REGULATOR)
            assert signer.verify(answer).holds, signer.verify(answer).findings
            assert [record["facts"]["fine_amount"] for record in answer["records"]] == [amount]
            rested = [proof["version"] for proof in answer["records"][0]["proofs"]]
            assert rested == ([2] if amount == "13000.00" else [1])


async def test_a_profile_that_was_changed_does_not_hold(api: Api, signer: Signer) -> None:
    await api.submit()
    await api.submit(document_number="渝中市监处罚〔2026〕2号")
    await signer.sign()
    answer = await proved(api, f"/v1/entities/{COMPANY}?proof=true")

    def altered(change: Any) -> set[str]:
        forged = copy.deepcopy(answer)
        change(forged)
        report = signer.verify(forged)
        assert not report.holds
        return faults(report)

    assert altered(lambda a: a.update(name="重庆另一有限公司")) == {"answer-altered"}
    assert altered(lambda a: a.update(uscc=OTHER_COMPANY)) >= {"answer-altered"}
    assert altered(lambda a: a["records"][1].update(severity="minor")) == {"answer-altered"}
    assert altered(lambda a: a["records"][1].pop("proofs")) == {"answer-unproved"}
    assert altered(lambda a: a.pop("proof")) == {"answer-unproved"}
    swapped = altered(lambda a: a["records"][0].update(proofs=a["records"][1]["proofs"]))
    assert "answer-altered" in swapped
    assert "proof-invalid" in altered(
        lambda a: a["proof"].update(tlog_proof=a["records"][0]["proofs"][0]["tlog_proof"])
    )
    stranger = Verifier(ORIGIN, 1, b"\x07" * 32)
    assert "proof-invalid" in faults(verify_answer(answer, Trust([stranger])))
    assert faults(verify_answer({"records": []}, Trust([]))) == {"answer-unproved"}


async def test_one_command_knows_what_a_file_is(api: Api, signer: Signer, tmp_path: Path) -> None:
    await api.submit()
    await signer.sign()
    key = str(signer.keys.verifiers(ORIGIN)[0])
    jwks, other = tmp_path / "jwks.json", tmp_path / "other.json"
    jwks.write_bytes((await api.get("/.well-known/jwks.json")).content)
    other.write_bytes(orjson.dumps({"keys": []}))

    def run(content: bytes, *options: str) -> tuple[int, str]:
        file = tmp_path / "file"
        file.write_bytes(content)
        result = CliRunner().invoke(cli.app, ["verify", str(file), *options])
        return result.exit_code, result.output

    profile = (await api.get(f"/v1/entities/{COMPANY}?proof=true")).content
    code, said = run(profile, "--key", key)
    assert (code, "2 entries checked" in said) == (0, True), said
    assert run(profile)[0] == 1, "no key is no trust"
    code, said = run(profile.replace(b"general", b"serious", 1), "--key", key)
    assert (code, "FAULT answer-altered" in said) == (1, True), said

    screening = (await api.http.post("/v1/screenings", json={"codes": [COMPANY]})).content
    code, said = run(screening, "--jwks", str(jwks))
    assert (code, "1 subjects checked" in said) == (0, True), said
    for content, keys in ((screening, other), (screening.replace(COMPANY.encode(), OTHER_COMPANY.encode()), jwks)):
        code, said = run(content, "--jwks", str(keys))
        assert (code, "FAULT report-forged" in said) == (1, True), said
    assert "FAULT report-forged" in run(screening)[1]
    streamed = (await api.http.post("/v1/screenings/stream", content=b'{"code":"%b"}\n' % COMPANY.encode())).content
    assert run(streamed, "--jwks", str(jwks))[0] == 0
    assert run(streamed.rsplit(b"\n", 2)[0], "--jwks", str(jwks))[0] == 1
    nothing = (await api.http.post("/v1/screenings/stream", content=b"")).content
    code, said = run(nothing, "--jwks", str(jwks))
    assert (code, "FAULT report-empty" in said) == (1, True), said
    code, said = run(b'{"material": {}, "reveal": {}}')
    assert (code, "FAULT draw-differs" in said) == (1, True), said
    for empty in (b"", b"{}", b"[]", b'{"records":[]}'):
        code, said = run(empty, "--key", key)
        assert (code, "FAULT answer-unproved" in said) == (1, True), said


async def test_erasing_content_leaves_every_proof_valid(
    api: Api, signer: Signer, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    """Lawful erasure end to end: what was proved still holds, and what was erased can be found nowhere."""
    record_id = (await api.submit(decided_on="2021-08-01", facts={"violation_type": "销售过期食品"})).json()["id"]
    kept = (await api.submit(document_number="渝中市监处罚〔2026〕2号")).json()["id"]
    await signer.sign()
    proved = await answered(api, record_id, Role.REGULATOR)
    assert (await signer.verify_all(tmp_path / "before")).holds
    async with api.database.transaction() as session:
        found = await life.held(session, UUID(record_id))
        limit = found.disclosure_until
    assert limit is not None
    api.clock.instant = limit
    async with api.database.transaction() as session:
        assert await life.archive_due(session, CATALOGUE, Actor("worker", "job"), limit, 10) == 1
    erasure = f"/v1/records/{record_id}/erasure"
    body = {"reason": "披露期限届满: 销售过期食品一案"}
    assert (await api.call("POST", erasure, Role.ADMINISTRATOR, json=body)).status_code == 200
    await signer.sign()
    after = await signer.verify_all(tmp_path / "after")
    assert after.holds, after.findings
    assert after.entries == after.size == await owner.fetchval("SELECT count(*) FROM audit_event")
    assert await checkpoints.verify_stored(signer.connection, signer.keys)
    assert signer.verify(proved).holds, "whoever kept the proved answer can still prove it"
    assert signer.verify(await answered(api, kept, Role.REGULATOR)).holds
    gone = await api.get(f"/v1/records/{record_id}?proof=true", Role.REGULATOR)
    assert (gone.status_code, "过期" in gone.text) == (200, False)
    assert "answer-unproved" in faults(signer.verify(gone.json())), "the entry is there, what it said is not"
    bundles = b"".join(file.read_bytes() for file in (tmp_path / "after" / "tile" / "entries").rglob("*.p*/*"))
    assert "过期" not in bundles.decode(errors="replace")


members = st.dictionaries(st.text("abc_", min_size=1, max_size=6), st.none() | st.text(max_size=8), min_size=1)


@given(members, st.binary(min_size=32, max_size=32), st.data())
def test_any_selection_of_fields_opens_the_same_commitment(
    document: dict[str, Any], salt: bytes, data: st.DataObject
) -> None:
    fields = openings.fields_of(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
    shown = data.draw(st.sets(st.sampled_from(sorted(document))))
    told = openings.opening(salt, fields, shown)
    assert {one["name"] for one in told if "value" in one} == shown
    assert openings.committed_by(told) == openings.commit(salt, fields)
    assert len({one.get("salt") or one["digest"] for one in told}) == len(told), "no two salts or digests alike"
