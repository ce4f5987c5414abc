"""The code: the standard's rules on real codes, and the refusal of natural persons."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_service.identity import batch
from credit_service.identity.categories import CATEGORIES
from credit_service.identity.uscc import (
    CHARSET,
    NATURAL_PERSON_IDENTIFIER,
    USCC_INVALID,
    Uscc,
    check_character,
    compose,
    is_resident_identity_number,
    normalise,
)
from credit_service.platform.errors import Problem

REAL = [
    "91320100748204660Q",
    "91320281142232229Q",
    "91310000132215150M",
    "91320000134762764K",
    "11320100MB1886843H",
    "91230500MA1B3N1N2M",
    "11230500001755309F",
    "91110000600037341L",
    "91350100M000100Y43",
    "11420000MB15291767",
]
BAD_CHECK_DIGIT = "91350203M0001QKT19"
IDENTITY_NUMBER = "11010519491231002X"  # the example of GB 11643

bodies = st.text(alphabet=CHARSET, min_size=8, max_size=8)
divisions = st.text(alphabet="0123456789", min_size=6, max_size=6)
composed = st.builds(compose, st.sampled_from(sorted(CATEGORIES)), divisions, bodies)


@pytest.mark.parametrize("code", REAL)
def test_real_codes_pass(code: str) -> None:
    parsed = Uscc.parse(code)
    assert str(parsed) == code
    assert not parsed.quality_flags
    assert (parsed.division, parsed.organisation_code, parsed.check_character) == (code[2:8], code[8:17], code[17])
    assert parsed.registering_authority == code[0]


def test_python_stdnum_would_accept_this_one() -> None:
    """91110000600037342P: position 18 fits a wrong position 17 (regulations 1.2)."""
    with pytest.raises(Problem) as caught:
        Uscc.parse("91110000600037342P")
    assert "position 17" in caught.value.errors[0].rule


def test_a_code_issued_with_a_wrong_check_digit_needs_admission() -> None:
    with pytest.raises(Problem) as caught:
        Uscc.parse(BAD_CHECK_DIGIT)
    assert caught.value.type is USCC_INVALID
    assert Uscc.parse(BAD_CHECK_DIGIT, admit_bad_check_digit=True).quality_flags == {"check-digit-18"}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "18 characters"),
        ("9111000060003734", "18 characters"),
        ("9111000060003734IL", "without I, O, S, V, Z"),
        ("97110000600037341L", "positions 1-2"),
        ("911A0000600037341L", "positions 3-8"),
        ("91110000600037341A", "position 18"),
        ("1" * 18, "position"),
        ("0" * 17 + "X", "positions 1-2"),
    ],
)
def test_each_rule_has_its_name(text: str, rule: str) -> None:
    with pytest.raises(Problem) as caught:
        Uscc.parse(text, pointer="/where")
    assert caught.value.type is USCC_INVALID
    assert rule in caught.value.errors[0].rule
    assert caught.value.errors[0].pointer == "/where"


@pytest.mark.parametrize(
    "text", [IDENTITY_NUMBER, "１１０１０５１９４９１２３１００２ｘ", " 110105 19491231 002X", "110105491231002"]
)
def test_a_natural_person_is_refused_and_never_echoed(text: str) -> None:
    with pytest.raises(Problem) as caught:
        Uscc.parse(text)
    problem = caught.value
    assert problem.type is NATURAL_PERSON_IDENTIFIER
    said = "".join([str(problem), repr(problem), repr(problem.args), str(problem.document(language="zh"))])
    number = normalise(text)
    assert not any(number[start : start + 6] in said for start in range(len(number) - 5))


def test_admission_of_bad_check_digits_admits_no_person() -> None:
    with pytest.raises(Problem) as caught:
        Uscc.parse(IDENTITY_NUMBER, admit_bad_check_digit=True)
    assert caught.value.type is NATURAL_PERSON_IDENTIFIER


def test_every_category_has_names() -> None:
    assert {"A1", "N2", "Y1", "92", "11"} <= set(CATEGORIES)
    assert all(category.name_zh and category.name_en for category in CATEGORIES.values())
    assert Uscc.parse("11230500001755309F").category.name_zh == "机关"


@given(composed)
def test_composed_codes_parse(code: str) -> None:
    assert Uscc.parse(code).value == code


@given(composed, st.integers(0, 17), st.sampled_from(CHARSET))
def test_one_wrong_character_is_always_found(code: str, position: int, character: str) -> None:
    damaged = code[:position] + character + code[position + 1 :]
    if damaged != code:
        assert check_character(damaged[:17]) != damaged[17]


@given(st.text(max_size=30))
def test_normalisation_is_idempotent(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    "text", ["９１１１００００６０００３７３４１Ｌ", "9111-0000-6000-37341l", "\ufeff91110000 600037341L\u200b\n"]
)
def test_typed_forms_are_one_code(text: str) -> None:
    assert Uscc.parse(text).value == "91110000600037341L"


def _scalar(code: str) -> int:
    try:
        Uscc.parse(code)
    except Problem as problem:
        names = {rule: verdict for verdict, rule in batch.RULES.items()}
        return names[problem.errors[0].rule]
    return batch.VALID


@given(
    st.lists(
        st.one_of(composed, st.text(alphabet=CHARSET + "IO中 -", max_size=19), st.just(IDENTITY_NUMBER)), max_size=20
    )
)
def test_the_batch_says_what_the_single_check_says(codes: list[str]) -> None:
    codes = [normalise(code) for code in codes]
    assert batch.check_batch(codes).tolist() == [_scalar(code) for code in codes]


def test_the_batch_agrees_on_damaged_codes() -> None:
    chance = random.Random(20260401)
    codes = []
    for code in REAL * 50:
        position = chance.randrange(18)
        codes.append(code[:position] + chance.choice(CHARSET) + code[position + 1 :])
    assert batch.check_batch(codes).tolist() == [_scalar(code) for code in codes]


def test_identity_numbers_by_form() -> None:
    assert is_resident_identity_number(IDENTITY_NUMBER)
    assert not is_resident_identity_number("110105194912310021")
    assert not is_resident_identity_number("11010519491331002X")
    assert not is_resident_identity_number(REAL[0])
