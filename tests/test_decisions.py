"""docs/decisions: numbered without a gap, each in the index under its title; every reference leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DECISIONS = ROOT / "docs" / "decisions"
NAMED = re.compile(r"decisions/(\d{4}-[\w-]+\.md)")


def test_numbers_and_index() -> None:
    pages = sorted(DECISIONS.glob("[0-9]*.md"))
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    for number, page in enumerate(pages, 1):
        title = page.read_text(encoding="utf-8").splitlines()[0]
        assert (page.name[:4], title.split(" ")[1]) == (f"{number:04}", f"{number}.")
        assert f"| {number:04} | [{title.split('. ', 1)[1]}]({page.name}) |" in index
    assert index.count("](0") == len(pages)


def test_references() -> None:
    sources = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.sh")]
    sources += [*(ROOT / "credit_service").rglob("*.py"), *(ROOT / "migrations").rglob("*.py")]
    named = {name for path in sources for name in NAMED.findall(path.read_text(encoding="utf-8"))}
    assert "0002-database-roles.md" in named
    assert {name for name in named if not (DECISIONS / name).exists()} == set()
