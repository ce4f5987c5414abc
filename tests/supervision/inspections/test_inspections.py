"""From a plan to a published result: fixed before the value is known, within limits, linked to what follows."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from credit_service.accounts.rules import Role
from credit_service.records.models import State
from credit_service.supervision.classes import recompute, runs
from credit_service.supervision.inspections import rules
from credit_service.supervision.inspections.rules import Result
from tests.api import AGENCY, CATALOGUE, OTHER_AGENCY, Api
from tests.conftest import NOW
from tests.records.imports.files import IDENTITY_NUMBER
from tests.supervision.classes.support import adopt, below_a_province, company, enter, penalty_fact
from tests.supervision.inspections.test_draw import VERIFY

ITEM = {"code": "food-safety", "name": "食品经营监督检查", "legal_basis": "《食品安全法》第一百一十条"}
BEACON = {"source": "中国福利彩票双色球", "round": "2026052", "due_at": (NOW + timedelta(days=1)).isoformat()}
VALUE = "03 08 12 25 31 33 + 07"
PEOPLE = [
    company(
        *(penalty_fact(severity=None, item_code="serious-dishonesty-tax") for _ in range(number % 2)), number=number
    )
    for number in range(30)
]
QUOTAS = {
    "A": {"ratio": "0.2", "max_per_year": 1},
    "B": {"ratio": "0.2"},
    "C": {"ratio": "0.3"},
    "D": {"ratio": "0.5", "max_per_year": 2},
}


async def call(api: Api, method: str, path: str, **more: Any) -> Any:
    tag = more.pop("tag", None)
    answer = await api.call(method, path, Role.REGULATOR, {"If-Match": tag} if tag else {}, **more)
    assert answer.status_code < 300, answer.text
    return answer


@pytest.fixture
async def registry(api: Api, owner: asyncpg.Connection[Any]) -> Api:
    """Fifteen companies of class A, fifteen of class D, two agencies with an item and three inspectors each."""
    await enter(owner, PEOPLE)
    await adopt(api.database, api.clock)
    await runs.resume(api.database, CATALOGUE, api.clock)
    for agency in (AGENCY, OTHER_AGENCY):
        await call(api, "POST", "/v1/inspections/items", json=ITEM, agency=agency)
        for number in range(3):
            body = {"staff_number": f"ZF-{number}", "name": "王执法", "items": ["food-safety"]}
            await call(api, "POST", "/v1/inspections/inspectors", json=body, agency=agency)
    return api


async def planned(api: Api, agency: str = AGENCY, **changes: Any) -> str:
    body = {
        "title": "2026年食品经营抽查",
        "year": 2026,
        "items": ["food-safety"],
        "quotas": QUOTAS,
        "class_a_reason": "上级部署的专项整治",
    }
    return str((await call(api, "POST", "/v1/inspections/plans", json=body | changes, agency=agency)).json()["id"])


async def committed(api: Api, agency: str = AGENCY, **changes: Any) -> str:
    plan = await planned(api, agency, **changes)
    path = f"/v1/inspections/plans/{plan}/commitment"
    await call(api, "POST", path, json={"beacon": BEACON}, tag='"v1"', agency=agency)
    return plan


async def drawn(api: Api, plan: str, agency: str = AGENCY) -> httpx.Response:
    body, tag = {"public_value": VALUE}, {"If-Match": '"v2"'}
    return await api.call("POST", f"/v1/inspections/plans/{plan}/draw", Role.REGULATOR, tag, json=body, agency=agency)


async def assigned(api: Api, plan: str) -> list[dict[str, Any]]:
    answer = await call(api, "GET", f"/v1/inspections/plans/{plan}/inspections", params={"limit": 500})
    return list(answer.json()["inspections"])


async def test_a_draw_is_fixed_before_the_value_is_known_and_verified_by_anybody(
    registry: Api, owner: asyncpg.Connection[Any]
) -> None:
    api = registry
    officers = (await call(api, "GET", "/v1/inspections/inspectors")).json()["inspectors"]
    for entity in PEOPLE:  # the first officer may inspect nobody
        path = f"/v1/inspections/inspectors/{officers[0]['id']}/conflicts"
        await call(api, "POST", path, json={"uscc": entity.uscc, "reason": "配偶任职"})
    plan = await committed(api)
    before = (await api.get(f"/v1/inspections/draws/{plan}")).json()
    assert (before["reveal"], before["drawn"]) == (None, None)
    early = await drawn(api, plan)
    assert (early.status_code, early.json()["errors"][0]["pointer"]) == (422, "/public_value")
    api.clock.instant = NOW + timedelta(days=1, hours=1)
    assert (await drawn(api, plan)).json() == {"plan_id": plan, "drawn": 11, "excluded": 0}
    again = await drawn(api, plan)
    assert again.status_code == 412
    document = (await api.get(f"/v1/inspections/draws/{plan}")).json()
    assert document["material"] == before["material"]
    assert document["commitment"] == before["commitment"]
    assert all(VERIFY.verify(document).values())
    opened = await api.get(f"/v1/inspections/draws/{plan}/openings", Role.AUDITOR, headers={"Credit-Purpose": "audit"})
    assert rules.faults_of(document, opened.content) == []
    found = await assigned(api, plan)
    assert len(found) == 11
    assert all(officers[0]["id"] not in each["inspectors"] and len(each["inspectors"]) == 2 for each in found)
    by_handle = {each["handle"]: each["uscc"] for each in found}
    assert {each["entity"] for each in document["drawn"]} == set(by_handle)
    await api.app.state.journal.close()
    read = await owner.fetch("SELECT uscc FROM access_log WHERE route LIKE '%/openings'")
    assert sorted(row["uscc"] for row in read) == sorted(each.uscc for each in PEOPLE), "a stratum tells a class"


async def test_a_plan_is_for_divisions_its_agency_answers_for(registry: Api) -> None:
    await below_a_province(registry)
    body = {"title": "抽查", "year": 2026, "items": ["food-safety"], "quotas": QUOTAS, "class_a_reason": "专项整治"}
    for division in ("50", "500112", "310115"):
        path, asked = "/v1/inspections/plans", body | {"division": division}
        refused = await registry.call("POST", path, Role.REGULATOR, json=asked)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/division")
    plan = await planned(registry)
    own = (await call(registry, "GET", f"/v1/inspections/plans/{plan}")).json()
    assert own["division"] == "500103"


async def test_the_published_draw_tells_no_class_and_no_name(registry: Api) -> None:
    """Handles cannot be linked without the key; the public, subjects and other agencies are refused the openings."""
    api = registry
    plan = await committed(api)
    api.clock.instant = NOW + timedelta(days=2)
    await drawn(api, plan)
    text = (await api.get(f"/v1/inspections/draws/{plan}")).text
    officers = (await call(api, "GET", "/v1/inspections/inspectors")).json()["inspectors"]
    assert not any(each.uscc in text for each in PEOPLE)
    assert not any(each["id"] in text or each["name"] in text for each in officers)
    assert '"ratio"' not in text
    assert '"risk_class"' not in text
    path = f"/v1/inspections/draws/{plan}/openings"
    for role in (Role.PUBLIC, Role.SUBJECT, Role.SUBMITTER, Role.ADMINISTRATOR):
        assert (await api.get(path, role)).status_code in (401, 403)
    assert (await api.get(path, Role.REGULATOR, agency=OTHER_AGENCY)).status_code == 404
    assert (await api.get(f"/v1/inspections/plans/{plan}", Role.REGULATOR, agency=OTHER_AGENCY)).status_code == 404


async def test_nobody_is_drawn_beyond_the_yearly_limit_whoever_draws(
    registry: Api, owner: asyncpg.Connection[Any]
) -> None:
    """Six plans of two agencies, all committed to before any draw, drawn at once: A once at most, D twice."""
    api = registry
    quotas = {
        "A": {"ratio": "0.6", "max_per_year": 1},
        "B": {"ratio": "0.6"},
        "C": {"ratio": "0.6"},
        "D": {"ratio": "0.9", "max_per_year": 2},
    }
    agencies = [AGENCY, OTHER_AGENCY] * 3
    plans = [await committed(api, agency, quotas=quotas) for agency in agencies]
    api.clock.instant = NOW + timedelta(days=2)
    answers = await asyncio.gather(*(drawn(api, plan, agency) for plan, agency in zip(plans, agencies, strict=True)))
    assert [answer.status_code for answer in answers] == [200] * 6, [answer.text for answer in answers]
    visits = {row["uscc"]: row["n"] for row in await owner.fetch("SELECT uscc, count(*) n FROM inspection GROUP BY 1")}
    most = {each.uscc: 2 if each.records else 1 for each in PEOPLE}
    assert all(visits.get(code, 0) <= limit for code, limit in most.items())
    assert sum(visits.values()) == sum(most.values()), "enough was asked for to use up every limit"
    for plan in plans:
        document = (await api.get(f"/v1/inspections/draws/{plan}")).json()
        assert all(VERIFY.verify(document).values())
    spent = await planned(api, quotas=quotas)
    path = f"/v1/inspections/plans/{spent}/commitment"
    beacon = BEACON | {"due_at": "2026-12-31T23:30:00+08:00"}
    refused = await api.call("POST", path, Role.REGULATOR, {"If-Match": '"v1"'}, json={"beacon": beacon})
    assert refused.json()["type"].endswith("inspection-draw-refused")
    following = await planned(api, year=2027, quotas=quotas)
    path = f"/v1/inspections/plans/{following}/commitment"
    borrowed = await api.call("POST", path, Role.REGULATOR, {"If-Match": '"v1"'}, json={"beacon": beacon})
    assert borrowed.json()["errors"][0]["pointer"] == "/beacon/due_at", "a visit of 2026 is none of 2027"
    beacon = BEACON | {"due_at": "2027-01-01T00:30:00+08:00"}
    await call(api, "POST", path, json={"beacon": beacon}, tag='"v1"')
    api.clock.instant = datetime(2027, 12, 31, 16, tzinfo=UTC)
    late = await drawn(api, following)
    assert (late.status_code, late.json()["type"]) == (422, "urn:credit-service:problem:inspection-draw-refused")
    api.clock.instant -= timedelta(seconds=1)
    assert (await drawn(api, following)).status_code == 200


async def test_every_commitment_is_listed_made_or_not(registry: Api) -> None:
    api = registry
    plans = []
    for _ in range(3):
        api.clock.instant += timedelta(minutes=1)
        plans.append(await committed(api, participants=[OTHER_AGENCY]))
    await planned(api)  # nothing is published of what nobody committed to
    api.clock.instant = NOW + timedelta(days=2)
    await drawn(api, plans[1])
    found: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None:
        page = (await api.get(f"/v1/inspections/draws?limit=1{cursor}")).json()
        found += page["draws"]
        cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else None
    assert [each["plan_id"] for each in found] == plans[::-1]
    assert [each["drawn_at"] is not None for each in found] == [False, True, False]
    for each in found:
        document = (await api.get(f"/v1/inspections/draws/{each['plan_id']}")).json()
        assert each["commitment"] == document["commitment"]
        assert (each["agency_uscc"], each["participants"]) == (AGENCY, [OTHER_AGENCY])
    assert (await api.get("/v1/inspections/draws?cursor=x")).status_code == 400


async def test_a_team_that_some_entity_would_not_find_is_seen_before_the_lists_are_fixed(registry: Api) -> None:
    api = registry
    officers = (await call(api, "GET", "/v1/inspections/inspectors")).json()["inspectors"]
    plan = await planned(api, inspectors_each=3)
    path = f"/v1/inspections/inspectors/{officers[0]['id']}/conflicts"
    await call(api, "POST", path, json={"uscc": PEOPLE[-1].uscc, "reason": "配偶任职"})
    commitment = f"/v1/inspections/plans/{plan}/commitment"
    refused = await api.call("POST", commitment, Role.REGULATOR, {"If-Match": '"v1"'}, json={"beacon": BEACON})
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:credit-service:problem:inspection-draw-refused")
    assert (await call(api, "GET", f"/v1/inspections/plans/{plan}")).json()["state"] == "draft"


async def test_a_joint_plan_draws_from_both_pools(registry: Api) -> None:
    api = registry
    plan = await committed(api, participants=[OTHER_AGENCY], inspectors_each=4)
    api.clock.instant = NOW + timedelta(days=2)
    assert (await drawn(api, plan)).status_code == 200
    shown = await call(api, "GET", f"/v1/inspections/plans/{plan}", agency=OTHER_AGENCY)
    assert shown.json()["state"] == "drawn"
    assert all(len(each["inspectors"]) == 4 for each in await assigned(api, plan))


async def test_a_negative_result_is_published_counts_and_stops_with_its_penalty(
    registry: Api, owner: asyncpg.Connection[Any]
) -> None:
    api = registry
    plan = await committed(api)
    api.clock.instant = NOW + timedelta(days=2)
    await drawn(api, plan)
    found = next(each for each in await assigned(api, plan))
    uscc = found["uscc"]
    body = {
        "result": Result.CORRECTION_ORDERED.value,
        "inspected_on": "2026-05-08",
        "document_number": "渝中市监检[2026]1号",
    }
    path = f"/v1/inspections/{found['id']}"
    for number in (IDENTITY_NUMBER, "检查\u200b1号"):
        refused = await api.call(
            "POST", f"{path}/result", Role.REGULATOR, {"If-Match": '"v1"'}, json=body | {"document_number": number}
        )
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/document_number")
        assert number not in refused.text
    done = (await call(api, "POST", f"{path}/result", json=body, tag='"v1"')).json()
    assert (done["state"], done["version"]) == ("recorded", 2)
    second = await api.call("POST", f"{path}/result", Role.REGULATOR, {"If-Match": '"v2"'}, json=body)
    assert second.json()["type"].endswith("inspection-plan-state")

    async def published() -> list[str]:
        results = (await api.get(f"/v1/inspections/draws/{plan}/results")).json()["results"]
        seen = [record["id"] for record in (await api.get(f"/v1/entities/{uscc}/records")).json()["records"]]
        assert (done["record_id"] in seen) == bool(results)
        return [result["uscc"] for result in results]

    assert await published() == [uscc]
    await recompute.follow_changes(api.database, CATALOGUE, api.clock)
    why = (await api.get(f"/v1/supervision/entities/{uscc}/class", Role.REGULATOR)).json()
    assert "inspection-problem" in [each["rule"] for each in why["contributions"]]
    penalty = await api.submit(uscc=uscc, decided_on=date(2026, 5, 8).isoformat(), document_number="因检查处罚1号")
    assert penalty.status_code == 201, penalty.text
    linked = await call(api, "POST", f"{path}/follow-up", json={"record_id": penalty.json()["id"]})
    assert linked.status_code == 200
    until = dict(await owner.fetch("SELECT id::text, publicity_until FROM record WHERE uscc = $1", uscc))
    assert until[done["record_id"]] == until[penalty.json()["id"]], "as long as the penalty is shown"
    tag = {"If-Match": "*"}
    basis = {"authority_name": "法院", "document_number": "行终1号", "decided_on": "2026-05-08", "kind": "judgment"}
    annulled = await api.call(
        "POST",
        f"/v1/records/{penalty.json()['id']}/annulment",
        Role.SUBMITTER,
        tag,
        json={"reason": "处罚被撤销", "basis": basis},
    )
    assert annulled.status_code == 200, annulled.text
    assert await published() == []
    states = dict(await owner.fetch("SELECT id::text, state FROM record WHERE uscc = $1", uscc))
    assert (states[done["record_id"]], states[penalty.json()["id"]]) == (State.REPAIRED, State.ANNULLED)
    await recompute.follow_changes(api.database, CATALOGUE, api.clock)
    why = (await api.get(f"/v1/supervision/entities/{uscc}/class", Role.REGULATOR)).json()
    assert "inspection-problem" not in [each["rule"] for each in why["contributions"]]


async def test_a_plan_says_what_is_wrong_with_it(registry: Api) -> None:
    api = registry
    body = {"title": "抽查", "year": 2026, "items": ["no-such-item"], "quotas": {"A": {"ratio": "0.1"}}}
    answer = await api.call("POST", "/v1/inspections/plans", Role.REGULATOR, json=body)
    pointers = {error["pointer"] for error in answer.json()["errors"]}
    assert {"/items/0", "/class_a_reason", "/quotas/B/ratio"} <= pointers
    late = await planned(api)
    path = f"/v1/inspections/plans/{late}/commitment"
    beacon = BEACON | {"due_at": NOW.isoformat()}
    answer = await api.call("POST", path, Role.REGULATOR, {"If-Match": '"v1"'}, json={"beacon": beacon})
    assert answer.json()["errors"][0]["pointer"] == "/beacon/due_at"
    identity = {"staff_number": "11010519491231002X", "name": "某人"}
    assert (await api.call("POST", "/v1/inspections/inspectors", Role.REGULATOR, json=identity)).status_code == 422
