"""Code tables of divisions and industries."""

from __future__ import annotations

import pytest

from credit_service.identity import divisions, industries


def test_divisions() -> None:
    assert len(divisions.codes()) > 3000
    assert divisions.name_of("500103") == "渝中区"
    assert divisions.full_name_of("500103") == "重庆市渝中区"
    assert divisions.full_name_of("110105") == "北京市朝阳区"
    assert divisions.full_name_of("320281") == "江苏省无锡市江阴市"
    assert divisions.full_name_of("999999") is None
    assert not divisions.is_known("512301")


@pytest.mark.parametrize(
    ("code", "prefix", "inside"),
    [("500103", "50", True), ("500103", "500000", True), ("500103", "5001", True), ("500103", "51", False)],
)
def test_within(code: str, prefix: str, inside: bool) -> None:
    assert divisions.within(code, prefix) is inside


def test_all_sections_and_divisions_are_there() -> None:
    assert len([code for code in industries.codes() if len(code) == 1]) == 20
    assert sorted(code[1:] for code in industries.codes() if len(code) > 1) == [f"{n:02}" for n in range(1, 98)]


@pytest.mark.parametrize(
    ("code", "section"), [("C", "C"), ("13", "C"), ("C13", "C"), ("C1311", "C"), ("6510", "I"), ("T97", "T")]
)
def test_industry_codes(code: str, section: str) -> None:
    assert industries.section_of(code) == section
    found = industries.industry_of(code)
    assert found is not None
    assert found.name_zh


@pytest.mark.parametrize("code", ["", "U", "A13", "98", "C1", "C13111", "c13"])
def test_no_industry_codes(code: str) -> None:
    assert not industries.is_known(code)
    assert industries.industry_of(code) is None
