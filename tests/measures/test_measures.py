"""Measures: only what stands counts, terms are the statute's, an application's state follows from its record."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_service.accounts.rules import Role
from credit_service.catalogue.loader import CatalogueError, load
from credit_service.measures import rules
from credit_service.measures.rules import MeasureIndex, Outcome
from credit_service.platform.resources import schemas_dir
from credit_service.records.bulk import StandingRecord
from credit_service.records.models import State
from credit_service.worker import announce_lifted_measures
from tests.api import CATALOGUE, COMPANY, OTHER_AGENCY, OTHER_COMPANY, Api
from tests.supervision.screening.listings import listing

NOW = datetime(2026, 5, 6, 2, tzinfo=UTC)
PROCUREMENT_LIST = "serious-dishonesty-government-procurement"
LISTS = [item.code for item in CATALOGUE.latest_items() if item.list_colour == "black"]


def standing(**changes: Any) -> StandingRecord:
    values: dict[str, Any] = {
        "uscc": COMPANY,
        "id": UUID(int=1),
        "item_code": PROCUREMENT_LIST,
        "document_number": "1",
        "decided_on": date(2026, 4, 20),
        "valid_until": None,
        "authority_uscc": COMPANY,
        "authority_name": "甲",
        "severity": "serious",
        "state": "published",
        "publicity_from": NOW - timedelta(days=10),
        "publicity_until": NOW + timedelta(days=1000),
        "disclosure_until": None,
        "disputed_since": None,
        "version": 1,
        "texts": ['{"reason": "提供虚假材料"}', None],
    }
    return StandingRecord(**values | changes)


INSTANTS = st.datetimes(datetime(2024, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))


@given(
    state=st.sampled_from(sorted(State)),
    item=st.sampled_from([*LISTS, "administrative-penalty", "abnormal-operation-list"]),
    scenario=st.sampled_from([None, *sorted(CATALOGUE.scenarios)]),
    begins=INSTANTS,
    stops=st.none() | INSTANTS,
    disclosed=st.none() | INSTANTS,
    now=INSTANTS,
)
def test_what_does_not_stand_leads_to_nothing(
    state: str,
    item: str,
    scenario: str | None,
    begins: datetime,
    stops: datetime | None,
    disclosed: datetime | None,
    now: datetime,
) -> None:
    record = standing(
        state=state,
        item_code=item,
        publicity_from=begins,
        publicity_until=stops,
        disclosure_until=disclosed,
        texts=['{"penalty_categories": ["吊销许可证件"], "violation_type": "串通投标", "reason": "甲"}'],
    )
    found = MeasureIndex(CATALOGUE, now, scenario).consequences(record)
    if state not in ("published", "withheld") or (disclosed is not None and disclosed <= now):
        assert found == []
    for each in found:
        assert scenario is None or scenario in each.measure.scenarios
        assert each.measure.in_force((now + timedelta(hours=8)).date())
        assert each.until is None or each.until > (now + timedelta(hours=8)).date()
        own_term = each.measure.maximum_term is not None
        if not own_term:
            assert state == "published"
            assert begins <= now
            assert stops is None or now < stops


@pytest.mark.parametrize("scenario", ["procurement", "bidding", "licence", "subsidy", "honours", "financing"])
def test_each_scenario_has_a_measure_with_its_law(scenario: str) -> None:
    index = MeasureIndex(CATALOGUE, NOW, scenario)
    found = [each for code in LISTS for each in index.consequences(standing(item_code=code))]
    assert found, scenario
    for each in found:
        law = rules.legal_view(CATALOGUE, each.measure)
        assert law["implementer"]
        assert each.measure.kind == "C" or law["legal_basis"]


def test_a_dispute_pauses_where_the_rule_says_so(tmp_path: Path) -> None:
    disputed = standing(disputed_since=NOW)
    [bar] = [
        each
        for each in MeasureIndex(CATALOGUE, NOW, "procurement").consequences(disputed)
        if each.measure.code == "procurement-bar"
    ]
    assert (bar.paused, bar.outcome) == (False, Outcome.REQUIRED)
    for file in (schemas_dir() / "catalogue").iterdir():
        text = file.read_text(encoding="utf-8")
        (tmp_path / file.name).write_text(text.replace("pauses_measures: false", "pauses_measures: true"), "utf-8")
    pausing = MeasureIndex(load(tmp_path), NOW, "procurement")
    found = pausing.consequences(disputed)
    assert {each.paused for each in found} == {True}
    assert rules.outcome(found, "punishment") is Outcome.NONE
    assert rules.outcome(pausing.consequences(standing()), "punishment") is Outcome.REQUIRED


def test_a_measure_that_reduces_rights_without_a_statute_cannot_be_configured(tmp_path: Path) -> None:
    for file in (schemas_dir() / "catalogue").iterdir():
        (tmp_path / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    measures = tmp_path / "measures.yaml"
    good = measures.read_text(encoding="utf-8")
    statute = "{document: government-procurement-law, article: 第七十七条, status: verified}"
    assert good.count(statute) == 1
    measures.write_text(good.replace(statute, "{document: samr-order-44, article: 第十五条, status: memory}"), "utf-8")
    with pytest.raises(CatalogueError, match="procurement-bar reduces rights and names no law"):
        load(tmp_path)


async def check(api: Api, scenario: str, role: Role = Role.REGULATOR, **more: Any) -> dict[str, Any]:
    answer = await api.call("POST", "/v1/measure-checks", role, json={"uscc": COMPANY, "scenario": scenario}, **more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_check_gives_basis_term_and_authority(api: Api) -> None:
    record = await listing(api, PROCUREMENT_LIST)
    found = await check(api, "procurement")
    assert (found["punishment"], found["incentive"]) == ("required", "none")
    bar = next(measure for measure in found["measures"] if measure["measure"] == "procurement-bar")
    assert (bar["record_id"], bar["until"], bar["implementer"]) == (record, "2029-04-20", "财政部门")
    assert (bar["minimum_term"], bar["maximum_term"], bar["kind"]) == ("P1Y", "P3Y", "A")
    assert bar["legal_basis"][0]["article"] == "第七十七条"
    assert (await check(api, "honours"))["punishment"] == "optional"
    assert (await check(api, "schooling"))["measures"] == []
    own = await check(api, "procurement", Role.SUBJECT)
    assert own["measures"] == found["measures"]
    other = await api.call(
        "POST", "/v1/measure-checks", Role.SUBJECT, entity=OTHER_COMPANY, json={"uscc": COMPANY, "scenario": "honours"}
    )
    assert other.status_code == 404
    unknown = await api.call("POST", "/v1/measure-checks", Role.REGULATOR, json={"uscc": COMPANY, "scenario": "x"})
    assert unknown.json()["type"].endswith("scenario-unknown")


async def apply(api: Api, record: str, role: Role = Role.SUBMITTER, **changes: Any) -> httpx.Response:
    body = {
        "uscc": COMPANY,
        "scenario": "procurement",
        "measure": "procurement-bar",
        "record_id": record,
        "content": "两年内禁止参加政府采购活动",
        "department": "重庆市渝中区财政局",
        "ends_on": "2028-04-20",
        "amount": "1200000.00",
    } | changes
    identity = {"agency": body.pop("agency")} if "agency" in body else {}
    return await api.call("POST", "/v1/measures/applications", role, json=body, **identity)


async def test_a_measure_is_taken_on_a_ground_and_within_its_term(api: Api, owner: asyncpg.Connection[Any]) -> None:
    record = await listing(api, PROCUREMENT_LIST)
    for changes, pointer in (
        ({"ends_on": "2030-01-01"}, "/ends_on"),
        ({"ends_on": "2026-12-01"}, "/ends_on"),
        ({"ends_on": None}, "/ends_on"),
        ({"begins_on": "2026-01-01"}, "/begins_on"),
        ({"content": "张三, 11010519491231002X"}, "/content"),
        ({"measure": "bidding-collusion-bar"}, "/measure"),
        ({"scenario": "honours"}, "/measure"),
        ({"record_id": str(UUID(int=5))}, "/measure"),
        ({"measure": "procurement-false-complaint-bar"}, "/measure"),
    ):
        refused = await apply(api, record, **changes)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer), changes
    taken = await apply(api, record)
    assert taken.status_code == 201, taken.text
    assert (taken.json()["state"], taken.json()["amount"], taken.json()["item_code"]) == (
        "applied",
        "1200000.00",
        PROCUREMENT_LIST,
    )
    assert await owner.fetchval("SELECT count(*) FROM audit_event WHERE action = 'measure.applied'") == 1
    pool = await api.database.pool()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.execute("UPDATE measure_application SET content = 'x'")


async def test_facts_that_only_point_need_the_implementers_finding(api: Api) -> None:
    stored = (await api.submit(facts={"violation_type": "串通投标"})).json()["id"]
    ban = {
        "measure": "bidding-collusion-bar",
        "scenario": "bidding",
        "ends_on": "2028-04-20",
        "content": "取消投标资格",
    }
    refused = await apply(api, stored, **ban)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/finding")
    assert (await apply(api, stored, **ban, finding="情节严重, 见处罚决定书")).status_code == 201


async def move(api: Api, record: str, action: str) -> None:
    from credit_service.platform.context import Actor
    from credit_service.records import life, store
    from credit_service.records.standing import Action

    async with api.database.transaction() as session:
        row = await store.by_id_locked(session, UUID(record))
        assert row is not None
        actor = Actor("test", "test")
        await life.move(session, CATALOGUE, actor, api.clock.now(), row, Action(action), reason="测试")


async def state_of(api: Api, identifier: str) -> tuple[str, str | None]:
    shown = (await api.get(f"/v1/measures/applications/{identifier}", Role.REGULATOR)).json()
    return shown["state"], shown["lifted_because"]


@pytest.mark.parametrize(
    ("action", "state", "because"),
    [
        ("repair", "lifted", "repaired"),
        ("annul", "lifted", "annulled"),
        ("withdraw", "lifted", "withdrawn"),
        ("remove", "lifted", "removed"),
        ("shield", "suspended", None),
    ],
)
async def test_a_record_that_falls_lifts_its_measures_in_that_instant(
    api: Api, owner: asyncpg.Connection[Any], action: str, state: str, because: str | None
) -> None:
    record = await listing(api, PROCUREMENT_LIST)
    taken = (await apply(api, record)).json()["id"]
    assert await state_of(api, taken) == ("applied", None)
    await move(api, record, action)
    assert await state_of(api, taken) == (state, because)
    assert (await check(api, "procurement"))["punishment"] == "none"
    expected = 1 if state == "lifted" else 0
    assert await announce_lifted_measures(api.database, api.clock.now()) == expected
    assert await announce_lifted_measures(api.database, api.clock.now()) == 0
    announced = await owner.fetch("SELECT uscc FROM audit_event WHERE action = 'measure.lifted'")
    assert [row["uscc"] for row in announced] == [COMPANY] * expected


async def test_a_term_ends_by_itself_to_the_second(api: Api) -> None:
    record = await listing(api, PROCUREMENT_LIST)
    taken = (await apply(api, record)).json()["id"]
    api.clock.instant = datetime(2028, 4, 19, 15, 59, 59, tzinfo=UTC)
    assert await state_of(api, taken) == ("applied", None)
    api.clock.instant += timedelta(seconds=1)
    assert await state_of(api, taken) == ("lifted", "expired")


async def test_sql_and_rules_agree_on_when_a_record_carries_a_measure(api: Api, owner: asyncpg.Connection[Any]) -> None:
    """``measures.store`` works out in SQL what ``rules.carries`` says in Python; here over every combination."""
    record = await listing(api, PROCUREMENT_LIST)
    taken = (await apply(api, record)).json()["id"]
    await owner.execute("UPDATE measure_application SET ends_at = NULL")
    now = api.clock.now()
    instants = (None, now - timedelta(seconds=1), now, now + timedelta(seconds=1))
    days = (None, date(2026, 5, 5), date(2026, 5, 6), date(2099, 12, 31))
    by_term = {
        follows: next(m[-1] for m in CATALOGUE.measures.values() if (m[-1].maximum_term is None) == follows)
        for follows in (True, False)
    }
    states = ("published", "repaired", "removed")
    for state, stop, disclosed, valid, follows in itertools.product(states, instants, instants, days, (True, False)):
        await owner.execute(
            "UPDATE record SET state = $1, publicity_until = $2, disclosure_until = $3, valid_until = $4",
            state,
            stop,
            disclosed,
            valid,
        )
        await owner.execute("UPDATE measure_application SET follows_record = $1", follows)
        like = standing(
            state=state,
            publicity_until=stop,
            disclosure_until=disclosed,
            valid_until=valid,
            publicity_from=now - timedelta(days=1),
            decided_on=date(2026, 4, 20),
        )
        carried = rules.carries(by_term[follows], like, now)
        assert (await state_of(api, taken))[0] == ("applied" if carried else "lifted"), (
            state,
            stop,
            disclosed,
            valid,
            follows,
        )


async def test_applications_by_state_and_whose_they_are(api: Api) -> None:
    record = await listing(api, PROCUREMENT_LIST)
    first = (await apply(api, record)).json()["id"]
    second = (await apply(api, record, role=Role.REGULATOR, agency=OTHER_AGENCY)).json()["id"]

    async def seen(role: Role, **more: Any) -> list[str]:
        params = more.pop("params", {})
        answer = await api.get("/v1/measures/applications", role, params=params, **more)
        return [each["id"] for each in answer.json()["applications"]]

    assert await seen(Role.REGULATOR) == [second, first]
    assert await seen(Role.SUBMITTER) == [first]
    assert await seen(Role.SUBJECT) == [second, first]
    assert await seen(Role.SUBJECT, entity=OTHER_COMPANY) == []
    assert await seen(Role.REGULATOR, params={"state": "lifted"}) == []
    page = (await api.get("/v1/measures/applications", Role.REGULATOR, params={"limit": 1})).json()
    assert await seen(Role.REGULATOR, params={"cursor": page["next_cursor"], "limit": 1}) == [first]
    await move(api, record, "repair")
    assert await seen(Role.REGULATOR, params={"state": "lifted"}) == [second, first]
    hidden = await api.get(f"/v1/measures/applications/{second}", Role.SUBMITTER)
    assert hidden.status_code == 404


async def test_case_feedback_is_appended_by_the_agency_alone(api: Api) -> None:
    record = await listing(api, PROCUREMENT_LIST)
    taken = (await apply(api, record)).json()["id"]
    path = f"/v1/measures/applications/{taken}/feedback"
    body = {
        "content": "已从供应商库移除",
        "explanation": "依法执行",
        "amount": "300.50",
        "department": "渝中区财政局",
        "publisher": "重庆市财政局",
    }
    for _ in range(2):
        answer = await api.call("POST", path, Role.SUBMITTER, json=body)
        assert answer.status_code == 201, answer.text
    assert [each["amount"] for each in answer.json()["feedback"]] == ["300.50", "300.50"]
    again = await api.call("POST", path, Role.SUBMITTER, {"Idempotency-Key": "k1"}, json=body)
    replayed = await api.call("POST", path, Role.SUBMITTER, {"Idempotency-Key": "k1"}, json=body)
    assert (again.content, replayed.headers["idempotency-replayed"]) == (replayed.content, "true")
    foreign = await api.call("POST", path, Role.SUBMITTER, agency=OTHER_AGENCY, json=body)
    assert foreign.status_code == 404
    for method in ("PUT", "PATCH", "DELETE"):
        assert (await api.call(method, path, Role.SUBMITTER, json=body)).status_code == 405


async def test_batch_statistics(api: Api) -> None:
    body = {
        "source": "全国信用信息共享平台",
        "kind": "punishment",
        "year": 2026,
        "category": "严重失信主体名单",
        "received": 10,
        "processed": 9,
    }
    made = await api.call("POST", "/v1/measures/statistics", Role.SUBMITTER, json=body)
    assert made.status_code == 201, made.text
    more = await api.call("POST", "/v1/measures/statistics", Role.SUBMITTER, json=body | {"processed": 11})
    assert more.json()["errors"][0]["pointer"] == "/processed"
    for role, year, count in ((Role.REGULATOR, 2026, 1), (Role.REGULATOR, 2025, 0), (Role.SUBMITTER, 2026, 1)):
        found = (await api.get("/v1/measures/statistics", role, params={"year": year})).json()["statistics"]
        assert len(found) == count
    assert (await api.get("/v1/measures/statistics", Role.SUBMITTER, agency=OTHER_AGENCY)).json()["statistics"] == []


WORDS = sorted(
    {
        word
        for versions in CATALOGUE.measures.values()
        for measure in versions
        for trigger in measure.triggers
        for allowed in (trigger.any_of, trigger.mentions)
        for words in allowed.values()
        for word in words
    }
)


@given(
    scenario=st.sampled_from([None, *sorted(CATALOGUE.scenarios)]),
    category=st.sampled_from([*WORDS, "罚款", "警告"]),
    violation=st.lists(st.sampled_from([*WORDS, "其他", "无"]), max_size=3).map("、".join),
    fine=st.sampled_from([None, "0.00", "1999999.99", "2000000.00", "30000000.00"]),
    escaped=st.booleans(),
)
def test_the_pattern_of_a_query_never_leaves_out_a_record_that_matters(
    scenario: str | None, category: str, violation: str, fine: str | None, escaped: bool
) -> None:
    index = MeasureIndex(CATALOGUE, NOW, scenario)
    facts = {"penalty_categories": [category], "violation_type": violation, "fine_amount": fine, "reason": violation}
    text = json.dumps(facts, ensure_ascii=escaped)
    for code in index.items:
        if index.consequences(standing(item_code=code, texts=[text, None])) and index.only_with is not None:
            items, pattern = index.only_with
            assert code not in items or pattern.search(text)
