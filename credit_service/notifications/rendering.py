"""The texts: loaded and checked at start, rendered when a notification is owed.

A file holds a subject line, the announcement that may leave the registry, and the text for the inbox, parted by lines
of three hyphens. The announcement may name the case's reference and nothing else of it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

import jinja2
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from credit_service.catalogue.models import Words
from credit_service.notifications.rules import ANNOUNCED, ANNOUNCED_TOO, VARIABLES, Language, Template

FOLDER = Path(__file__).parent / "templates"
_LINES = frozenset("\n\t")

Value = str | int | date | Words
"""What a text says of its case: ``Words`` in the reader's language, names and what people wrote as they are."""


class TemplateError(ValueError):
    """A text or its data is not as declared: a mistake in the program, not in a request."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A notification in words."""

    subject: str
    announcement: str
    body: str


@dataclass(frozen=True, slots=True)
class _Text:
    subject: jinja2.Template
    announcement: jinja2.Template
    body: jinja2.Template


def _environment() -> ImmutableSandboxedEnvironment:
    # Plain text for mail and inbox: escaping for HTML is the business of whoever shows it as HTML.
    return ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)


@lru_cache
def texts() -> Mapping[tuple[Template, Language], _Text]:
    """Every template in every language. Raises ``TemplateError`` naming the file and what is wrong with it."""
    return load(FOLDER)


def load(folder: Path) -> Mapping[tuple[Template, Language], _Text]:
    environment = _environment()
    return {
        (template, language): _load(environment, folder / f"{template.value}.{language.value}.txt", template)
        for template in Template
        for language in Language
    }


def _load(environment: ImmutableSandboxedEnvironment, file: Path, template: Template) -> _Text:
    try:
        source = file.read_text(encoding="utf-8")
        parts = [part.strip() for part in source.split("\n---\n")]
        used = [meta.find_undeclared_variables(environment.parse(part)) for part in parts]
    except (OSError, UnicodeDecodeError, jinja2.TemplateSyntaxError) as error:
        raise TemplateError(f"{file.name}: {error}") from error
    if len(parts) != 3 or not all(parts) or "\n" in parts[0]:
        raise TemplateError(f"{file.name}: a subject line, an announcement and a text, parted by ---")
    declared, announced = VARIABLES[template], ANNOUNCED | ANNOUNCED_TOO.get(template, frozenset())
    whole = set().union(*used)
    if whole - ANNOUNCED != declared:
        wrong = sorted((whole - ANNOUNCED) ^ declared)
        raise TemplateError(f"{file.name}: declared and used variables differ: {', '.join(wrong)}")
    outside = (used[0] | used[1]) - announced
    if outside:
        raise TemplateError(f"{file.name}: may not leave the registry: {', '.join(sorted(outside))}")
    return _Text(*(environment.from_string(part) for part in parts))


def render(template: Template, language: Language, case_reference: str, data: Mapping[str, Value]) -> Rendered:
    """A template in words. Raises ``TemplateError`` unless ``data`` holds exactly the declared variables."""
    if data.keys() != VARIABLES[template]:
        wrong = sorted(data.keys() ^ VARIABLES[template])
        raise TemplateError(f"{template.value}: declared and given variables differ: {', '.join(wrong)}")
    text = texts()[template, language]
    values = {name: _spell(value, language) for name, value in data.items()}
    values["case_reference"] = _spell(case_reference, language)
    return Rendered(
        subject=" ".join(text.subject.render(values).split()),
        announcement=text.announcement.render(values),
        body=text.body.render(values),
    )


def _spell(value: Value, language: Language) -> str:
    if isinstance(value, Words):
        value = value.zh if language is Language.ZH else value.en
    if isinstance(value, date):
        zh = f"{value.year}年{value.month}月{value.day}日"
        return zh if language is Language.ZH else f"{value.day} {value:%B %Y}"
    # Control characters and lone surrogates have no place in a notice, and no carrier takes them.
    return "".join(c for c in str(value) if c in _LINES or unicodedata.category(c) not in ("Cc", "Cs")).strip()
