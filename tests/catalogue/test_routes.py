"""The catalogue over HTTP: what was in force on a day, cacheable, in both languages; other editions by setting."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from credit_service.accounts import commands as accounts
from credit_service.accounts.models import AgencyWrite, Grant
from credit_service.accounts.rules import Role
from credit_service.app import create_app
from credit_service.catalogue import routes
from credit_service.catalogue.loader import configured, load
from credit_service.catalogue.store import synchronise
from credit_service.catalogue.views import change_days, interval_of
from credit_service.catalogue.wording import STATUSES
from credit_service.platform.clock import FixedClock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.resources import schemas_dir
from credit_service.platform.settings import Settings
from credit_service.records.imports import validation
from credit_service.records.imports.judges import JudgingProcess
from tests.api import AGENCY, AGENCY_NAME, COMPANY, NOTICES, Api, running
from tests.support import ROOT, DatabaseUrls

CATALOGUE = load()


async def test_the_catalogue_of_today(api: Api) -> None:
    answer = await api.get("/v1/catalogue")
    body = answer.json()
    assert answer.status_code == 200
    assert (body["edition"], body["digest"]) == (CATALOGUE.edition, CATALOGUE.digest)
    assert date.fromisoformat(body["holds_from"]) <= date(2026, 5, 6)
    items = {item["code"]: item for item in body["items"]}
    assert items.keys() == {item.code for item in CATALOGUE.latest_items() if item.in_force(date(2026, 5, 6))}
    penalty = items["administrative-penalty"]
    assert (penalty["name_zh"], penalty["name_en"]) == ("行政处罚", "Administrative penalty")
    assert penalty["rules"]["publicity"] == "ndrc-order-36-publicity"
    assert penalty["destination_rules"] == {"enterprise-publicity-system": "samr-order-107-publicity"}
    rules = {rule["version"]: rule for rule in body["rules"] if rule["kind"] == "publicity"}
    window = rules["ndrc-order-36-publicity"]
    assert window["body"]["classes"]["general"] == {
        "published": True,
        "minimum": "P3M",
        "maximum": "P1Y",
        "auto_stop": True,
        "auto_stop_suppressible": True,
        "repair_from": "minimum",
    }
    assert "ndrc-order-58-publicity" not in rules
    # 7 working days for Credit China and 20 for the enterprise publicity system: the conflict is shown, not resolved.
    limits = {rule["name"]: rule["body"] for rule in body["rules"] if rule["kind"] == "deadline"}
    assert (limits["publish-credit-china"]["amount"], limits["publish-credit-china"]["destination"]) == (
        7,
        "credit-china",
    )
    assert limits["publish-enterprise-publicity-system"]["amount"] == 20
    measures = {measure["code"]: measure for measure in body["measures"]}
    assert measures["procurement-bar"]["legal_basis"][0]["document"] == "government-procurement-law"
    assert {scenario["code"] for scenario in body["scenarios"]} >= set(measures["procurement-bar"]["scenarios"])
    assert {m["status"] for m in measures.values()} <= STATUSES.keys()
    assert {document["id"] for document in body["documents"]} == CATALOGUE.documents.keys()


@pytest.mark.parametrize("path", ["/v1/catalogue", "/v1/catalogue/items/administrative-penalty"])
async def test_a_copy_at_hand_is_not_sent_again(api: Api, path: str) -> None:
    first = await api.get(path)
    again = await api.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert first.headers["cache-control"] == again.headers["cache-control"] == "public, max-age=300"
    older = await api.get(path, params={"on": "2026-03-31"}, headers={"If-None-Match": first.headers["etag"]})
    assert older.status_code == 200
    assert older.headers["etag"] != first.headers["etag"]


async def test_no_copy_outlives_the_law_it_tells(api: Api) -> None:
    change = min(day for day in change_days(CATALOGUE) if day == date(2026, 4, 1))
    midnight = datetime(2026, 3, 31, 16, tzinfo=UTC)
    assert interval_of(CATALOGUE, change)[0] == change
    api.clock.instant = midnight - timedelta(seconds=30)
    before = await api.get("/v1/catalogue")
    assert before.headers["cache-control"] == "public, max-age=30"
    api.clock.instant = midnight
    after = await api.get("/v1/catalogue")
    assert after.headers["etag"] != before.headers["etag"]
    assert (before.json()["holds_until"], after.json()["holds_from"]) == ("2026-04-01", "2026-04-01")


async def test_an_answer_is_rendered_once_for_the_days_it_holds(api: Api) -> None:
    routes._rendered.cache_clear()
    bodies = {(await api.get("/v1/catalogue", params={"on": f"2026-05-{day:02d}"})).content for day in range(1, 29)}
    assert len(bodies) == 1
    assert routes._rendered.cache_info().misses == 1


async def test_an_item_by_its_day(api: Api) -> None:
    path = "/v1/catalogue/items/administrative-penalty"
    old, new = [(await api.get(path, params={"on": day})).json() for day in ("2026-03-31", "2026-04-01")]
    assert old["item"]["rules"]["publicity"] == "ndrc-order-58-publicity"
    assert new["item"]["rules"]["publicity"] == "ndrc-order-36-publicity"
    kinds = {rule["kind"] for rule in new["rules"]}
    assert kinds == {"severity", "publicity", "retention", "notice", "repair", "objection", "deadline"}
    assert {"repair-accept", "repair-decide", "objection-own"} <= {rule["name"] for rule in new["rules"]}
    cited = {
        basis["document"] for part in (new["item"], *new["rules"], *new["measures"]) for basis in part["legal_basis"]
    }
    assert {document["id"] for document in new["documents"]} == cited
    assert {m["code"] for m in new["measures"]} == set(new["item"]["measures"])


async def test_an_item_unknown_or_not_in_force(api: Api) -> None:
    unknown = await api.get("/v1/catalogue/items/none")
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (404, "path:code")
    early = await api.get("/v1/catalogue/items/customs-aeo", params={"on": "2026-03-31"})
    assert (early.status_code, early.json()["errors"][0]["pointer"]) == (404, "query:on")
    assert "2026-04-01" in early.json()["errors"][0]["detail"]
    assert (await api.get("/v1/catalogue", params={"on": "2026-02-30"})).status_code == 422


async def test_the_days_between_two_changes_say_the_same(api: Api) -> None:
    for day in change_days(CATALOGUE):
        begins, ends = interval_of(CATALOGUE, day)
        assert begins == day
        assert interval_of(CATALOGUE, day - timedelta(days=1))[1] == day
        assert ends is None or interval_of(CATALOGUE, ends - timedelta(days=1)) == (begins, ends)
    dawn = (await api.get("/v1/catalogue", params={"on": "1970-01-01"})).json()
    assert (dawn["holds_from"], dawn["items"], dawn["rules"], dawn["measures"]) == (None, [], [], [])


# Editions by setting ----------------------------------------------------------------------------------------------

NEW_LIST = """\
  - <<: *list
    code: serious-dishonesty-example
    name_zh: 示例领域严重失信主体
    name_en: Serious dishonesty in the example field
    authority_zh: 示例主管部门
    authority_en: Example regulator
    legal_basis: [{document: example-order-1, article: 第三条, status: verified}]
    effective_from: 2026-05-01
    status: verified
"""
NEW_DOCUMENT = """\
  - {id: example-order-1, level: departmental-rule, title_zh: 示例领域严重失信主体名单管理办法, \
title_en: Example list, number: 示例令第1号, effective_from: 2026-05-01, status: verified}
"""


@pytest.fixture
def edition(tmp_path: Path) -> Path:
    """The shipped edition with the list of the editors' guide added, by editing its YAML as the guide says."""
    folder = tmp_path / "edition"
    shutil.copytree(schemas_dir() / "catalogue", folder)
    for name, text in (("lists-serious-dishonesty.yaml", NEW_LIST), ("documents.yaml", NEW_DOCUMENT)):
        path = folder / name
        old = path.read_text(encoding="utf-8").replace('edition: "2026-11-24"', 'edition: "2026-12-01"')
        path.write_text(old.rstrip("\n") + "\n" + text, encoding="utf-8")
    return folder


def listing(**changes: Any) -> dict[str, Any]:
    served = [notice for notice in NOTICES if notice["kind"] != "publicity-notice"]
    return {
        "item_code": "serious-dishonesty-example",
        "uscc": COMPANY,
        "entity_name": "重庆测试有限公司",
        "document_number": "示例列〔2026〕1号",
        "decided_on": "2026-05-05",
        "authority_uscc": AGENCY,
        "authority_name": AGENCY_NAME,
        "legal_basis": "《示例领域严重失信主体名单管理办法》第三条",
        "notices": served,
        "facts": {"reason": "示例原因"},
    } | changes


async def grant(api: Api, *codes: str) -> None:
    grants = [Grant(item_code=code, division_prefix="5001") for code in codes]
    body = AgencyWrite(name=AGENCY_NAME, division=AGENCY[2:8], level="district", grants=grants)
    async with api.database.transaction() as session:
        await accounts.put_agency(
            session, api.app.state.catalogue, Actor("test", "setup"), api.clock.now(), AGENCY, body
        )


async def test_a_list_added_by_editing_yaml_takes_records(
    database: Database, database_urls: DatabaseUrls, owner: asyncpg.Connection[Any], clock: FixedClock,
    tmp_path: Path, edition: Path,
) -> None:  # fmt: skip
    catalogue = load(edition)
    assert (catalogue.edition, len(catalogue.items)) == ("2026-12-01", len(CATALOGUE.items) + 1)
    assert "no-honours" in catalogue.latest("serious-dishonesty-example").measures
    try:
        assert await synchronise(database_urls.owner, catalogue) > 0
        async with running(database, clock, tmp_path, catalogue=catalogue, catalogue_dir=edition) as api:
            await grant(api, "serious-dishonesty-example")
            created = await api.call("POST", "/v1/records", Role.SUBMITTER, {"Idempotency-Key": "k"}, json=listing())
            assert created.status_code == 201, created.text
            shown = (await api.get(f"/v1/records/{created.json()['id']}", Role.SUBJECT, entity=COMPANY)).json()
            assert (shown["severity"], shown["rule_version"]) == ("serious", "ndrc-order-36-serious-list")
            assert shown["explanation"][0]["article"].startswith("信用修复管理办法第二章")
            profile = (await api.get(f"/v1/entities/{COMPANY}")).json()
            assert profile["records"][0]["item_name_zh"] == "示例领域严重失信主体"
            page = (await api.get("/v1/lists/serious-dishonesty-example/entries")).json()
            assert [entry["document_number"] for entry in page["records"]] == ["示例列〔2026〕1号"]
            assert (await api.get("/v1/catalogue/items/serious-dishonesty-example")).json()["edition"] == "2026-12-01"
    finally:
        await owner.execute("DELETE FROM catalogue_item WHERE code = 'serious-dishonesty-example'")
        await synchronise(database_urls.owner, CATALOGUE)


def test_the_settings_name_the_edition_and_the_supplement(tmp_path: Path, edition: Path) -> None:
    supplement = ROOT / "examples" / "supplement"
    settings = Settings(data_dir=tmp_path, catalogue_dir=edition, catalogue_supplement_dir=supplement)
    catalogue = configured(settings)
    assert create_app(settings).state.catalogue.digest == catalogue.digest
    assert {"serious-dishonesty-example", "example-fake-commitment"} <= catalogue.items.keys()
    assert len({catalogue.digest, load(edition).digest, CATALOGUE.digest}) == 3


def digest_of_the_judge() -> str:
    """Asked in the process that judges rows."""
    return validation._catalogue().digest


def test_files_are_judged_by_the_same_catalogue(edition: Path) -> None:
    supplement = ROOT / "examples" / "supplement"
    with JudgingProcess(edition, supplement) as executor:
        assert executor.submit(digest_of_the_judge).result() == load(edition, supplement).digest


async def test_a_record_of_a_supplement_follows_its_stricter_rule(
    database: Database, database_urls: DatabaseUrls, owner: asyncpg.Connection[Any], clock: FixedClock, tmp_path: Path
) -> None:
    catalogue = load(None, ROOT / "examples" / "supplement")
    try:
        assert await synchronise(database_urls.owner, catalogue) == 1
        async with running(database, clock, tmp_path, catalogue=catalogue) as api:
            assert (await api.get("/readyz")).json()["supplement"] == "990000 2026-11-24"
            head = (await api.get("/v1/catalogue")).json()
            assert head["supplement"]["basis"] == "example-credit-regulation"
            item = (await api.get("/v1/catalogue/items/example-fake-commitment")).json()["item"]
            assert item["local"]["update_frequency"] == "daily"
            await grant(api, "example-fake-commitment")
            body = listing(
                item_code="example-fake-commitment",
                notices=NOTICES,
                facts={"commitment_content": "具备经营条件", "facts": "经核查不具备"},
            )
            created = await api.call("POST", "/v1/records", Role.SUBMITTER, {"Idempotency-Key": "k"}, json=body)
            assert created.status_code == 201, created.text
            stored = await owner.fetchrow("SELECT severity, publicity_latest_stop, disclosure_until FROM record")
            assert stored is not None
            assert (stored["severity"], stored["publicity_latest_stop"]) == ("general", date(2027, 5, 5))
            # Three years from the decision, as the supplement says, and not the five of the national rule.
            assert stored["disclosure_until"] == datetime(2029, 5, 4, 16, tzinfo=UTC)
    finally:
        await owner.execute("DELETE FROM catalogue_item WHERE code = 'example-fake-commitment'")
        await synchronise(database_urls.owner, CATALOGUE)
