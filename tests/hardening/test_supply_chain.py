"""What the service is made of: pinned by hash and under licences that bind nobody who runs it."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata

import pytest
from packaging.requirements import Requirement

from tests.support import ROOT

PERMISSIVE = re.compile(
    r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|0BSD|Unlicense|Zlib|MPL[- ]2|Mozilla Public License 2|"
    r"PostgreSQL|Public Domain|CC0|HPND",
    re.IGNORECASE,
)
# "GPL" alone would also find what offers it as one of several licences.
COPYLEFT = re.compile(r"\b(?:A|L)?GPL|GNU (?:Affero |Lesser )?General Public", re.IGNORECASE)
READ_BY_HAND: dict[str, str] = {}
"""Packages whose metadata names no licence, with the licence their files hold."""


def pinned(file: str) -> list[Requirement]:
    """The pins of a constraints file."""
    text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [re.sub(r"\s--hash=\S+", "", line).strip() for line in text.splitlines() if line and line[0] not in " #-"]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-test.txt", "constraints-dev.txt"])
def test_every_pin_has_hashes_and_no_place_of_origin(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    pins = re.findall(r"^([a-z0-9][a-z0-9._\[\]-]*)==[^\\]+\\\n(    --hash=sha256:[0-9a-f]{64})", text, re.MULTILINE)
    assert len(pins) == len(pinned(file)) > 30
    assert "://" not in text


def licence_of(name: str) -> str:
    found = metadata(name)
    named = [found.get("License-Expression") or "", *(found.get_all("Classifier") or []), found.get("License") or ""]
    return " ".join(part[:200] for part in named if "icense" in part or part in named[:1] + named[-1:])


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-test.txt"])
def test_licences_are_permissive(file: str) -> None:
    """Of what is installed here; what belongs to another system or Python is not."""
    looked_at, wrong = 0, []
    for pin in pinned(file):
        try:
            licence = READ_BY_HAND.get(pin.name) or licence_of(pin.name)
        except PackageNotFoundError:
            assert pin.marker is not None, f"{pin.name} is pinned and not installed"
            continue
        looked_at += 1
        if not PERMISSIVE.search(licence) or COPYLEFT.search(licence):
            wrong.append(f"{pin.name}: {licence}")
    assert looked_at > 30
    assert not wrong, "\n".join(wrong)
