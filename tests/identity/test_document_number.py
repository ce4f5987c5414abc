"""One form of a document number, whichever brackets its year was typed in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_service.identity.document_number import normalised

OPEN, CLOSE = "(（[［{｛〔【〖〘﹝﹙❲", ")）]］}｝〕】〗〙﹞﹚❳"
BRACKETS = list(zip(OPEN, CLOSE, strict=True))
plain = st.text(st.characters(exclude_characters=OPEN + CLOSE, exclude_categories=["Cs"]), max_size=12)
organs = st.text("渝中市监处罚沪府办发国", min_size=1, max_size=6)
years = st.integers(1000, 2999).map(str)


@given(organs, years, plain)
def test_every_pair_of_brackets_gives_one_number(organ: str, year: str, rest: str) -> None:
    forms = {normalised(f"{organ}{left}{year}{right}{rest}") for left in OPEN for right in CLOSE}
    assert forms == {f"{organ}〔{year}〕{rest}"}


@given(years, st.sampled_from(["渝01破申1号", "最高法民终12号", "沪0115执3号之一"]))
def test_the_number_of_a_case_begins_with_its_year_in_round_brackets(year: str, rest: str) -> None:
    assert {normalised(f"{left}{year}{right}{rest}") for left, right in BRACKETS} == {f"（{year}）{rest}"}


@given(st.text(st.sampled_from(OPEN + CLOSE + "0123456789渝年第号 a\n"), max_size=30))
def test_it_is_settled_at_once_and_moves_nothing_but_brackets(text: str) -> None:
    once = normalised(text)
    assert normalised(once) == once
    assert len(once) == len(text)
    assert all(new in "〔〕（）" for old, new in zip(text, once, strict=True) if old != new)


@given(plain)
def test_without_brackets_nothing_is_touched(text: str) -> None:
    assert normalised(text) == text


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("渝(中)市监罚[2026]1号(补)", "渝(中)市监罚〔2026〕1号(补)"),
        ("京【2025】1号、津（2024）2号", "京〔2025〕1号、津〔2024〕2号"),
        ("[2026]第5号", "〔2026〕第5号"),
        ("(2026)5", "〔2026〕5"),
        ("渝罚[26]1号", "渝罚[26]1号"),
        ("渝罚[12026]1号", "渝罚[12026]1号"),
        ("许可(二〇二六)1号", "许可(二〇二六)1号"),
    ],
)
def test_only_years_and_each_of_them(text: str, stored: str) -> None:
    assert normalised(text) == stored
