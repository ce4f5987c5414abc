"""Names: what is the same name, what a name's core is, and that a search explains itself and identifies nobody."""

from __future__ import annotations

import unicodedata

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_service.accounts.rules import Role
from credit_service.entities import names
from credit_service.entities.ranking import Candidate, Normalisation, rank
from credit_service.identity.uscc import compose
from tests.api import COMPANY, OTHER_COMPANY, Api

THIRD = compose("91", "500103", "MA000003")
HANZI = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), min_size=2, max_size=20)


@pytest.mark.parametrize(
    ("name", "core"),
    [
        ("重庆市渝中区安恒博商贸有限公司", "安恒博商贸"),
        ("重庆安恒博商贸股份有限公司", "安恒博商贸"),
        ("安恒博（重庆）商贸有限公司", "安恒博商贸"),
        ("重慶市安恒博商貿有限責任公司", "安恒博商贸"),
        ("北京市朝阳区建广物流集团有限公司", "建广物流"),
        ("朝阳商贸有限公司", "商贸"),
        ("安恒博商贸有限公司重庆分公司", "安恒博商贸重庆分公司"),
        ("南宁市百益农民专业合作社", "百益"),
        ("安恒企业管理合伙企业(有限合伙)", "安恒企业管理合伙企业"),
        ("有限公司", "有限公司"),
        ("国家税务总局重庆市税务局", "国家税务总局重庆市税务局"),
    ],
)
def test_the_core_is_trade_name_and_trade(name: str, core: str) -> None:
    assert names.core_of(name) == core


def test_names_of_letters_and_digits_alone_have_a_short_way_that_leads_to_the_same() -> None:
    """The short way asks ``isalnum``; the long one goes by the general category of each character."""
    for code in range(0x110000):
        character = chr(code)
        if character.isalnum():
            assert unicodedata.category(character)[0] in "LN", hex(code)


def test_initials_read_a_division_as_a_word() -> None:
    keys = names.keys_of("重庆市安恒博商贸有限公司")
    assert (keys.initials, keys.core_initials) == ("cqsahbsmyxgs", "ahbsm")


@given(HANZI)
def test_folding_is_stable_and_keys_fit_their_columns(name: str) -> None:
    assert names.folded(names.folded(name)) == names.folded(name)
    keys = names.keys_of(name)
    assert keys.tokens == sorted(set(keys.tokens))
    assert all(0 <= token < 1 << 31 for token in keys.tokens)
    assert keys == names.keys_of(f" {name[:1]}（{name[1:]}） ") or "(" in name  # brackets and spaces change nothing


@given(st.lists(HANZI, min_size=1, max_size=6, unique=True), st.data())
def test_the_same_characters_come_first_and_only_they_score_one(stored: list[str], data: st.DataObject) -> None:
    wanted = data.draw(st.sampled_from(stored))
    found = rank(wanted, [Candidate(str(n), name, names.core_of(name), None, None) for n, name in enumerate(stored)])
    assert (found[0].candidate.name, found[0].score, found[0].normalisation) == (wanted, 1.0, Normalisation.NONE)
    assert all(match.score < 1 for match in found[1:])


async def put(api: Api, uscc: str, name: str, **body: object) -> None:
    answer = await api.call(
        "PUT", f"/v1/entities/{uscc}", Role.REGISTRAR, {"If-Match": "*"}, json={"name": name} | body
    )
    assert answer.status_code in (200, 201), answer.text


async def search(api: Api, name: str, role: Role = Role.PUBLIC) -> list[dict[str, object]]:
    answer = await api.get("/v1/entities", role, params={"name": name})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, object]] = answer.json()["matches"]
    return found


@pytest.mark.parametrize(
    ("typed", "normalisation"),
    [
        ("重庆安恒博（集团）商贸有限公司", "none"),
        ("重庆安恒博(集团)商贸 有限公司", "width-case-space"),
        ("重庆安恒博集团商贸有限公司", "punctuation"),
        ("重慶安恒博（集團）商貿有限公司", "script"),
        ("安恒博集团商贸", "division-and-legal-form"),
        ("ahbjtsm", "pinyin-initials"),
        ("cqahbjt", "pinyin-initials"),
        ("重庆安衡博集团商贸有限公司", "similar"),
        ("重庆安恒集团商贸有限公司", "similar"),
        ("安恒博商贸", "similar"),
    ],
)
async def test_a_name_typed_in_another_way_is_found_and_says_why(api: Api, typed: str, normalisation: str) -> None:
    await put(api, COMPANY, "重庆安恒博（集团）商贸有限公司")
    await put(api, OTHER_COMPANY, "重庆建广物流有限公司")
    found = await search(api, typed)
    assert [(match["uscc"], match["normalisation"]) for match in found] == [(COMPANY, normalisation)]
    assert found[0]["status"] == "candidate"
    assert (found[0]["score"] == 1.0) == (normalisation == "none")


async def test_a_former_name_is_found_with_the_days_it_was_borne(api: Api) -> None:
    await put(api, COMPANY, "重庆旧恒商贸有限公司")
    await put(api, COMPANY, "重庆新名物流有限公司")
    [match] = await search(api, "旧恒商贸")
    assert (match["name"], match["matched_name"], match["matched_former"], match["used_until"]) == (
        "重庆新名物流有限公司",
        "重庆旧恒商贸有限公司",
        True,
        "2026-05-06",
    )


async def test_a_name_known_from_a_record_or_a_corrected_one_is_searchable(api: Api, owner: asyncpg.Connection) -> None:
    await api.submit(entity_name="重庆仅由记录得知商贸有限公司")
    assert [match["uscc"] for match in await search(api, "仅由记录得知")] == [COMPANY]
    for row in await owner.fetch("SELECT name, core, initials, core_initials, tokens FROM entity_name"):
        assert tuple(row)[1:] == names.keys_of(row["name"])


async def test_archived_entities_are_found_by_regulators_only(api: Api) -> None:
    gone = {"registration_status": "deregistered", "deregistered_on": "2026-05-01", "archived": True}
    await put(api, COMPANY, "重庆已注销商贸有限公司", **gone)
    assert await search(api, "已注销商贸") == []
    assert await search(api, "已注销商贸", Role.SUBMITTER) == []
    assert [match["uscc"] for match in await search(api, "已注销商贸", Role.REGULATOR)] == [COMPANY]


async def test_namesakes_are_all_candidates(api: Api) -> None:
    for code in (COMPANY, OTHER_COMPANY, THIRD):
        await put(api, code, "重庆同名商贸有限公司")
    assert {match["uscc"] for match in await search(api, "重庆同名商贸有限公司")} == {COMPANY, OTHER_COMPANY, THIRD}


async def test_an_identity_number_is_refused_and_not_repeated(api: Api) -> None:
    answer = await api.get("/v1/entities", params={"name": "11010519491231002X"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:credit-service:problem:natural-person-identifier")
    assert "19491231" not in answer.text
    assert (await api.get("/v1/entities", params={"name": "安"})).status_code == 422
    assert await search(api, "——（）") == []
