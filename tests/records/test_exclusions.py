"""D bars an industry grade of A (国办发〔2026〕8号): the pure rule, and over HTTP in any order."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import asyncpg
import httpx
import orjson
from hypothesis import given
from hypothesis import strategies as st

from credit_service.accounts.rules import Role
from credit_service.catalogue.loader import load
from credit_service.records.exclusions import Stated, bars, excluded_by, refusal
from tests.api import COMPANY, OTHER_COMPANY, Api

CATALOGUE = load()
[EXCLUSION] = CATALOGUE.latest("comprehensive-evaluation").excludes
TODAY = date(2026, 5, 6)
days = st.integers(-400, 0).map(lambda n: TODAY + timedelta(days=n))
ends = st.none() | st.integers(-30, 30).map(lambda n: TODAY + timedelta(days=n))
stated = st.builds(Stated, st.fixed_dictionaries({"grade": st.sampled_from("ABCD")}), days, ends)


@given(st.lists(stated, max_size=6))
def test_the_newest_evaluation_decides(standing: list[Stated]) -> None:
    barred = bars(EXCLUSION, standing, TODAY)
    newest = [s for s in standing if all(s.decided_on >= other.decided_on for other in standing)]
    still = [s for s in newest if s.valid_until is None or s.valid_until >= TODAY]
    assert barred == any(s.facts["grade"] == "D" for s in still)
    assert bars(EXCLUSION, standing[::-1], TODAY) == barred, "order does not matter"
    later = [bars(EXCLUSION, standing, TODAY + timedelta(days=n)) for n in range(40)]
    assert later == sorted(later, reverse=True), "time only lifts a bar"


@given(st.text(max_size=5))
def test_only_grades_of_a_are_barred(grade: str) -> None:
    assert bool(refusal(EXCLUSION, {"grade": grade})) == (grade in {"A", "A级", "AA", "AA级", "AAA", "AAA级"})


def test_nothing_else_is_excluded() -> None:
    pairs = {(code, item.code) for item in CATALOGUE.latest_items() for code, _ in excluded_by(CATALOGUE, item)}
    assert pairs == {("comprehensive-evaluation", "industry-evaluation")}


def evaluation(kind: str, grade: str, number: int, on: str, uscc: str = COMPANY) -> dict[str, Any]:
    facts = {"grade": grade, "evaluator": "评定单位"} | ({"industry": "食品经营"} if kind == "industry" else {})
    return {
        "item_code": f"{kind}-evaluation",
        "uscc": uscc,
        "document_number": f"{kind}{number}",
        "decided_on": on,
        "notices": [],
        "facts": dict.fromkeys(
            ("violation_type", "violation_facts", "penalty_categories", "penalty_content", "fine_amount")
        )
        | {"legal_representative": None}
        | facts,
    }


async def grades(owner: asyncpg.Connection[Any], item: str) -> list[tuple[str, str]]:
    rows = await owner.fetch("SELECT shared_facts, state FROM record WHERE item_code = $1 ORDER BY id", item)
    return [(orjson.loads(row["shared_facts"])["grade"], row["state"]) for row in rows]


async def move(api: Api, record_id: str, action: str, body: dict[str, Any]) -> httpx.Response:
    return await api.call("POST", f"/v1/records/{record_id}/{action}", Role.SUBMITTER, {"If-Match": "*"}, json=body)


async def test_an_a_is_refused_while_a_d_stands(api: Api, owner: asyncpg.Connection[Any]) -> None:
    await api.submit(**evaluation("comprehensive", "D", 1, "2026-04-30"))
    refused = await api.submit(**evaluation("industry", "A", 1, "2026-05-01"))
    assert refused.status_code == 422
    [error] = refused.json()["errors"]
    assert (error["pointer"], "不得评为A级" in error["rule"]) == ("/facts/grade", True)
    assert (await api.submit(**evaluation("industry", "B", 2, "2026-05-01"))).status_code == 201
    assert (await api.submit(**evaluation("industry", "A", 3, "2026-05-01", OTHER_COMPANY))).status_code == 201


async def test_a_d_is_stored_as_received_and_ends_the_a(api: Api, owner: asyncpg.Connection[Any]) -> None:
    await api.submit(**evaluation("industry", "A", 1, "2026-05-01"))
    assert (await api.submit(**evaluation("comprehensive", "D", 1, "2026-05-02"))).status_code == 201
    assert await grades(owner, "industry-evaluation") == [("A", "removed")]
    shown = (await api.get(f"/v1/entities/{COMPANY}", Role.REGULATOR)).json()["records"]
    assert {(r["item_code"], r["state"]) for r in shown} >= {("industry-evaluation", "removed")}


async def test_a_withdrawn_c_brings_the_d_before_it_back(api: Api, owner: asyncpg.Connection[Any]) -> None:
    await api.submit(**evaluation("comprehensive", "D", 1, "2026-04-01"))
    better = (await api.submit(**evaluation("comprehensive", "C", 2, "2026-05-01"))).json()
    assert (await api.submit(**evaluation("industry", "A", 1, "2026-05-02"))).status_code == 201
    assert (await move(api, better["id"], "withdrawal", {"reason": "报送错误"})).status_code == 200
    assert await grades(owner, "industry-evaluation") == [("A", "removed")]


async def test_a_correction_to_d_ends_the_a_and_one_to_a_is_refused(api: Api, owner: asyncpg.Connection[Any]) -> None:
    await api.submit(**evaluation("comprehensive", "C", 1, "2026-04-01"))
    await api.submit(**evaluation("industry", "A", 1, "2026-05-02"))
    await api.submit(**evaluation("industry", "B", 2, "2026-05-02"))
    assert (await api.submit(**evaluation("comprehensive", "D", 1, "2026-04-01"))).json()["outcome"] == "corrected"
    assert await grades(owner, "industry-evaluation") == [("A", "removed"), ("B", "withheld")]
    assert (await api.submit(**evaluation("industry", "A", 2, "2026-05-02"))).status_code == 422
    assert await grades(owner, "industry-evaluation") == [("A", "removed"), ("B", "withheld")]


async def test_a_shielded_a_does_not_come_back_under_a_d(api: Api, owner: asyncpg.Connection[Any]) -> None:
    shielding = {"reason": "法院裁定批准重整计划", "court_name": "重庆市第五中级人民法院", "ruling_number": "破1号"}
    shielding |= {"ruled_on": "2026-05-06", "declaration": "正在执行重整计划"}
    ending = {"reason": "重整计划未能执行", "outcome": "failed", "document_number": "破2号", "decided_on": "2026-05-06"}
    stored = (await api.submit(**evaluation("industry", "A", 1, "2026-05-02"))).json()
    assert (await move(api, stored["id"], "shielding", shielding)).status_code == 200
    await api.submit(**evaluation("comprehensive", "D", 1, "2026-05-03"))
    assert (await move(api, stored["id"], "unshielding", ending)).status_code == 422
    assert await grades(owner, "industry-evaluation") == [("A", "shielded")]
