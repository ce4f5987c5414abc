"""The texts are whole in both languages, strict about their data, and tell nothing of a case outside."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_service.catalogue.models import Words
from credit_service.notifications import rendering
from credit_service.notifications.rendering import TemplateError
from credit_service.notifications.rules import VARIABLES, Language, Template
from tests.notifications.support import data_for

REFERENCE = "渝中市监罚告〔2026〕1号"
AGAIN = ("可于2026年5月6日起再次申请。", "apply again from 6 May 2026.")
EVERY = [(template, language) for template in Template for language in Language]


@pytest.mark.parametrize(("template", "language"), EVERY)
def test_every_text_says_what_it_is_given_and_only_inside(template: Template, language: Language) -> None:
    data = {name: f"<{name}>" for name in VARIABLES[template]}
    said = rendering.render(template, language, REFERENCE, data)
    for value in data.values():
        assert value in said.body
        assert value not in said.subject
        if template is not Template.CONTACT_VERIFICATION:
            assert value not in said.announcement
    if template is not Template.CONTACT_VERIFICATION:
        assert REFERENCE in said.subject
        assert REFERENCE in said.announcement


def test_days_are_written_as_the_language_writes_them() -> None:
    data = data_for(Template.REPAIR_GRANTED) | {"decided_on": date(2026, 5, 6)}
    assert "2026年5月6日" in rendering.render(Template.REPAIR_GRANTED, Language.ZH, "1", data).body
    assert "6 May 2026" in rendering.render(Template.REPAIR_GRANTED, Language.EN, "1", data).body


def test_words_are_said_in_the_readers_language() -> None:
    data = data_for(Template.DEADLINE_WARNING) | {"stage": Words("受理", "acceptance")}
    assert "“受理”环节" in rendering.render(Template.DEADLINE_WARNING, Language.ZH, "1", data).body
    assert 'stage "acceptance"' in rendering.render(Template.DEADLINE_WARNING, Language.EN, "1", data).body


@pytest.mark.parametrize(
    ("template", "name", "says"),
    [
        (Template.REPAIR_REFUSED, "apply_again_from", ("可于2026年5月6日起再次申请。", "apply again from 6 May 2026.")),
        (
            Template.REPAIR_REJECTED,
            "apply_again_from",
            ("可于2026年5月6日起再次申请。", "apply again from 6 May 2026."),
        ),
        (Template.REPAIR_REVOKED, "barred_until", ("2026年5月6日前不再受理", "accepted before 6 May 2026.")),
    ],
)
def test_a_day_that_does_not_come_is_not_spoken_of(template: Template, name: str, says: tuple[str, str]) -> None:
    for language, said in zip(Language, says, strict=True):
        with_day = rendering.render(template, language, "1", data_for(template) | {name: date(2026, 5, 6)}).body
        without = rendering.render(template, language, "1", data_for(template) | {name: ""}).body
        assert said in with_day
        for part in (said, "再次申请", "apply again", "不再受理", "No new application"):
            assert part not in without


@given(st.text(), st.text())
def test_any_text_can_be_said_and_cannot_become_a_header_or_a_template(value: str, reference: str) -> None:
    data = data_for(Template.OBJECTION_REFUSED) | {"reasons": value + "{{ 7 * 7 }}"}
    said = rendering.render(Template.OBJECTION_REFUSED, Language.ZH, reference, data)
    assert "{{ 7 * 7 }}" in said.body
    assert len(said.subject.splitlines()) == 1
    (said.subject + said.announcement + said.body).encode()
    assert "\x00" not in said.body + said.subject


@pytest.mark.parametrize("change", [{"reasons": None}, {"more": "x"}])
def test_data_that_is_not_as_declared_is_refused(change: dict[str, str | None]) -> None:
    data = {name: value for name, value in (data_for(Template.OBJECTION_REFUSED) | change).items() if value is not None}
    with pytest.raises(TemplateError, match=r"reasons|more"):
        rendering.render(Template.OBJECTION_REFUSED, Language.EN, "1", data)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("only a subject", "parted by ---"),
        ("a {{ reasons }}\n---\nb\n---\n{{ entity_name }} {{ agency_name }}", "may not leave the registry: reasons"),
        ("a\n---\nb\n---\n{{ entity_name }} {{ agency_name }}", "differ: reasons"),
        ("a\n---\nb\n---\n{{ entity_name }} {{ agency_name }} {{ reasons }} {{ legal_representative }}", "differ"),
        ("a\n---\nb\n---\n{{ entity_name", "objection-refused.en.txt"),
        ("a\nb\n---\nb\n---\n{{ entity_name }} {{ agency_name }} {{ reasons }}", "a subject line"),
        (None, "objection-refused.en.txt"),
    ],
)
def test_a_text_that_is_not_as_declared_keeps_the_service_from_starting(
    tmp_path: Path, text: str | None, complaint: str
) -> None:
    folder = tmp_path / "templates"
    shutil.copytree(rendering.FOLDER, folder)
    rendering.load(folder)
    file = folder / "objection-refused.en.txt"
    file.unlink()
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(TemplateError, match=complaint):
        rendering.load(folder)


def test_a_text_cannot_reach_into_the_program(tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    shutil.copytree(rendering.FOLDER, folder)
    parts = "a\n---\nb\n---\n{{ entity_name.__class__.__mro__ }} {{ agency_name }} {{ reasons }}"
    (folder / "objection-refused.en.txt").write_text(parts, encoding="utf-8")
    body = rendering.load(folder)[Template.OBJECTION_REFUSED, Language.EN].body
    with pytest.raises(Exception, match="unsafe"):
        body.render(entity_name="a", agency_name="b", reasons="c")
