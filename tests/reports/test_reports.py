"""Credit reports: the whole file in its sections, marked, for one pair of eyes, signed, proved by the log."""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from credit_service import cli
from credit_service.accounts.document_signatures import SignatureInvalid
from credit_service.accounts.rules import Role
from credit_service.catalogue.wording import SECTIONS
from credit_service.entities import profile
from credit_service.reports import rules, signing
from tests.api import AGENCY_NAME, COMPANY, OTHER_COMPANY, Api
from tests.audit.support import ORIGIN, Ledger, ledger
from tests.supervision.screening.listings import listing

PATH = f"/v1/entities/{COMPANY}/report"
ROLES = [Role.PUBLIC, Role.SUBMITTER, Role.REGULATOR, Role.SUBJECT]


async def report_of(api: Api, role: Role = Role.PUBLIC, query: str = "") -> dict[str, Any]:
    answer = await api.get(PATH + query, role)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


def records_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [record for section in document["report"]["sections"] for record in section["records"]]


@pytest.mark.parametrize("role", ROLES)
async def test_it_says_what_the_profile_says_in_the_official_order(api: Api, role: Role) -> None:
    await api.submit()
    await listing(api)
    report = (await report_of(api, role))["report"]
    profile_now = (await api.get(f"/v1/entities/{COMPANY}", role)).json()
    assert [section["code"] for section in report["sections"]] == list(SECTIONS)
    filled = {section["code"] for section in report["sections"] if section["records"]}
    assert filled == {"administrative", "serious-dishonesty"}
    assert {s["note"]["zh"] for s in report["sections"] if s["code"] not in filled} == {"查询期内无相关信息"}
    assert report["summary"] == profile_now["summary"]
    assert (report["distrust_punishment_subject"], report["complete"], report["disputed"]) == (True, True, 0)
    assert report["registration"]["name"] == profile_now["name"]
    shown = {record["id"]: record | {"marks": []} for record in profile_now["records"]}
    assert {record["id"]: record for record in records_of({"report": report})} == shown
    assert re.fullmatch(r"20260506100000[0-9A-F]{8}", report["number"])
    assert (report["issued_at"], report["audience"]) == ("2026-05-06T02:00:00.000000Z", profile_now["audience"])
    assert not {"class", "risk_class", "score", "grade"} & report.keys()


async def test_more_records_than_a_profile_holds(api: Api) -> None:
    for number in range(profile.RECORDS_SHOWN + 1):
        assert (await api.submit(document_number=f"渝中市监处罚〔2026〕{number + 1}号")).status_code == 201
    for role in ROLES:
        report = (await report_of(api, role))["report"]
        assert len(records_of({"report": report})) == report["summary"]["records"] == profile.RECORDS_SHOWN + 1
        assert report["complete"]


async def test_each_reader_sees_its_own_and_states_a_purpose(api: Api) -> None:
    await api.submit()
    public = records_of(await report_of(api))[0]
    agency = records_of(await report_of(api, Role.SUBMITTER))[0]
    regulator = records_of(await report_of(api, Role.REGULATOR))[0]
    assert "shared_facts" not in public
    assert ("shared_facts" in agency, "restricted_facts" in agency) == (True, False)
    assert "restricted_facts" in regulator
    refused = await api.get(PATH, Role.REGULATOR, headers={"Credit-Purpose": "curiosity"})
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:credit-service:problem:purpose-required")
    stranger = await api.get(PATH, Role.SUBJECT, entity=OTHER_COMPANY)
    assert stranger.json()["report"]["audience"] == "public", "another entity is the public here"
    unknown = await api.get(f"/v1/entities/{OTHER_COMPANY}/report")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:credit-service:problem:not-found")
    person = await api.get("/v1/entities/11010519491231002X/report")
    assert person.status_code == 422
    assert "11010519491231002X" not in person.text


async def test_the_subject_is_told_who_looked_and_nobody_else_is(api: Api) -> None:
    await api.submit()
    assert (await report_of(api, Role.SUBJECT))["report"]["accesses"] == []
    for _ in range(2):
        await report_of(api, Role.REGULATOR)
    sealed = {"Credit-Purpose": "inspection", "Credit-Case": "2026-1", "Credit-Sealed-Until": "2026-05-20"}
    assert (await api.get(PATH, Role.REGULATOR, headers=sealed)).status_code == 200
    while api.app.state.journal._unwritten:
        await asyncio.sleep(0.01)
    (looked,) = (await report_of(api, Role.SUBJECT))["report"]["accesses"]
    assert (looked["agency_name"], looked["purpose"], looked["accesses"]) == (AGENCY_NAME, "supervision", 2)
    for role in (Role.PUBLIC, Role.SUBMITTER, Role.REGULATOR):
        assert (await report_of(api, role))["report"]["accesses"] is None


async def test_an_archived_entity_has_a_report_for_itself_and_its_supervisor_alone(
    api: Api, owner: asyncpg.Connection[Any]
) -> None:
    await api.submit()
    await owner.execute("UPDATE entity SET registration_status = 'deregistered', archived_at = $1", api.clock.now())
    assert [(await api.get(PATH, role)).status_code for role in ROLES] == [410, 410, 200, 200]


async def test_what_was_signed_and_nothing_else(api: Api) -> None:
    await api.submit()
    document = await report_of(api)
    jwks = (await api.get("/.well-known/jwks.json")).json()
    claims = signing.verified(document, jwks)
    assert (claims["sub"], claims["records"], claims["number"]) == (COMPANY, 1, document["report"]["number"])
    changes: list[tuple[str, Any]] = [
        ("number", "20260506100000FFFFFFFF"),
        ("disputed", 1),
        ("registration", document["report"]["registration"] | {"name": "重庆另一有限公司"}),
        ("sections", []),
    ]
    for member, value in changes:
        forged = {**document, "report": {**document["report"], member: value}}
        with pytest.raises(SignatureInvalid):
            signing.verified(forged, jwks)
    screening = (await api.http.post("/v1/screenings", json={"codes": [COMPANY]})).json()
    for other in (screening["jws"], await api.token(Role.REGULATOR), ""):
        with pytest.raises(SignatureInvalid):
            signing.verified({**document, "jws": other}, jwks)
    for empty in ({}, {"report": None, "jws": ""}, {"report": {}, "jws": document["jws"]}):
        with pytest.raises(SignatureInvalid):
            signing.verified(empty, jwks)
    for beside in ({"verdict": "clean"}, {"digest": "0" * 64}):
        with pytest.raises(SignatureInvalid):
            signing.verified({**document, **beside}, jwks)


@pytest.fixture
async def book(api: Api, tmp_path: Path) -> AsyncIterator[Ledger]:
    async with ledger(api.database, api.clock, tmp_path / "ledger") as found:
        yield found


async def test_the_command_verifies_a_report_by_its_signature_and_by_the_log(
    api: Api, book: Ledger, tmp_path: Path
) -> None:
    await api.submit()
    await listing(api)
    pending = await api.get(f"{PATH}?proof=true")
    assert (pending.status_code, pending.json()["type"]) == (409, "urn:credit-service:problem:proof-pending")
    await book.sequence()
    await book.checkpoint()
    jwks = tmp_path / "jwks.json"
    jwks.write_bytes((await api.get("/.well-known/jwks.json")).content)
    key = str(book.keys.verifiers(ORIGIN)[0])

    def run(document: dict[str, Any], *options: str) -> tuple[int, str]:
        file = tmp_path / "report.json"
        file.write_bytes(orjson.dumps(document))
        result = CliRunner().invoke(cli.app, ["verify", str(file), *options])
        return result.exit_code, result.output

    bare, proved = await report_of(api), await report_of(api, query="?proof=true")
    code, said = run(bare, "--jwks", str(jwks))
    assert (code, "2 records checked" in said, "By its signature alone" in said) == (0, True, True), said
    code, said = run(proved, "--jwks", str(jwks), "--key", key)
    assert (code, "3 entries checked" in said, "By its signature alone" in said) == (0, True, False), said
    (told,) = (line for line in said.splitlines() if "NOT PROVED by the log: " in line)
    assert {"audience", "summary", "declarations", "complete", "accesses", "distrust_punishment_subject"} <= set(
        told.partition("by the log: ")[2].partition(";")[0].split(", ")
    )
    assert "leaves nothing out" in told
    code, said = run(bare, "--jwks", str(jwks), "--key", key)
    assert (code, "FAULT answer-unproved" in said) == (1, True), said
    code, said = run(bare)
    assert (code, "FAULT report-forged" in said) == (1, True), said
    forged = copy.deepcopy(bare)
    records_of(forged)[0]["severity"] = "minor"
    code, said = run(forged, "--jwks", str(jwks))
    assert (code, "FAULT report-forged" in said) == (1, True), said
    # A registry that signs what its own log does not hold is found out by the log.
    lying = copy.deepcopy(proved["report"])
    records_of({"report": lying})[0]["severity"] = "minor"
    resigned = orjson.loads(signing.signed(api.app.state.keys.signing(), lying))
    code, said = run(resigned, "--jwks", str(jwks), "--key", key)
    assert (code, "FAULT answer-altered" in said) == (1, True), said
    lying = copy.deepcopy(proved["report"])
    records_of({"report": lying})[0]["marks"] = [{"code": "repaired", "zh": "已修复", "en": "Repaired", "since": None}]
    resigned = orjson.loads(signing.signed(api.app.state.keys.signing(), lying))
    code, said = run(resigned, "--jwks", str(jwks), "--key", key)
    assert (code, "a mark does not follow" in said) == (1, True), said


@pytest.mark.parametrize(
    "change",
    [
        lambda report: report["summary"].update(records=report["summary"]["records"] + 1),
        lambda report: report["summary"].update(serious_dishonesty=0),
        lambda report: report.update(complete=False),
        lambda report: report["sections"][1].update(records=report["sections"][0]["records"]),
    ],
)
async def test_a_report_whose_figures_and_sections_do_not_follow_from_its_records_is_no_report(
    api: Api, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    """Whoever has the key signs; what a reader looks at first must not say other than the records below it."""
    await api.submit()
    await listing(api)
    document = await report_of(api)
    assert rules.answer_of(document["report"])
    change(document["report"])
    with pytest.raises(ValueError, match=r"does? not follow|another's section"):
        rules.answer_of(document["report"])
    keys, file = tmp_path / "keys.json", tmp_path / "report.json"
    keys.write_bytes((await api.get("/.well-known/document-keys.json")).content)
    file.write_bytes(signing.signed(api.app.state.keys.signing(), document["report"]))
    result = CliRunner().invoke(cli.app, ["verify", str(file), "--jwks", str(keys)])
    assert (result.exit_code, "FAULT report-forged" in result.output) == (1, True), result.output


async def test_what_a_file_says_is_shown_and_is_never_a_line_or_an_order_to_the_terminal(
    api: Api, book: Ledger, tmp_path: Path
) -> None:
    await api.submit()
    await book.sequence()
    await book.checkpoint()
    answer = (await api.get(f"/v1/entities/{COMPANY}/records?proof=true")).json()
    key = str(book.keys.verifiers(ORIGIN)[0])
    (record,) = answer["records"]
    record["\x1b[2J\n9999 entries checked: holds\u202e"] = record["id"] = "\x1b]0;x\x07\r\nreport: holds"
    file = tmp_path / "answer.json"
    file.write_bytes(orjson.dumps(answer))
    result = CliRunner().invoke(cli.app, ["verify", str(file), "--key", key])
    assert result.exit_code == 1
    assert "9999 entries" in result.output
    assert all(line.startswith(("FAULT ", ORIGIN, "日志不证明")) for line in result.output.splitlines()), result.output
    assert all(each.isprintable() for each in result.output.replace("\n", ""))


INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))
RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "section": st.sampled_from(sorted(SECTIONS)),
            "disputed_since": st.none() | st.just("2026-05-06T02:00:00Z"),
        },
        optional={
            "state": st.sampled_from(["published", "repaired", "shielded", "annulled"]),
        },
    ).map(lambda record: record | {"state_from": "2026-01-01T00:00:00Z"}),
    max_size=12,
)


@given(INSTANTS, RECORDS, st.integers(0, 3))
def test_every_record_is_in_one_section_with_its_marks(
    issued_at: datetime, records: list[dict[str, Any]], more: int
) -> None:
    told = [{**record, "id": number} for number, record in enumerate(records)]
    registered = {"uscc": COMPANY, "name": "名称"}
    labels = {"trust_incentive_subject": False, "distrust_punishment_subject": False, "audience": "regulator"}
    whole = {**registered, **labels, "records": told, "summary": {"records": len(told) + more}}
    number = rules.report_number(issued_at, "0123ABCD")
    assert len(number) == 22
    assert datetime.strptime(number[:14] + "+0800", "%Y%m%d%H%M%S%z") == issued_at.replace(microsecond=0)
    report = rules.compose(whole, number=number, issued_at=issued_at, issuer="here", edition="2026", accesses=None)
    found = [record for section in report["sections"] for record in section["records"]]
    assert sorted(record["id"] for record in found) == list(range(len(told)))
    assert report["complete"] == (more == 0)
    for record in found:
        codes = {mark["code"] for mark in record["marks"]}
        assert ("disputed" in codes) == (record["disputed_since"] is not None)
        assert codes - {"disputed"} == {record.get("state")} & {"repaired", "shielded"}
    back = rules.answer_of(report)
    assert sorted(back["records"], key=lambda record: record["id"]) == told
    assert {name: back[name] for name in registered} == registered
