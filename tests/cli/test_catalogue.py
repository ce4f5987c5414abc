"""``credit-service catalogue``: what editors see of an edition, of a change, and of the law of a day."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from credit_service.catalogue.loader import load
from credit_service.catalogue.reference import page
from credit_service.catalogue.wording import KINDS, LEVELS, SECTIONS, STATUSES, period
from credit_service.cli import app
from credit_service.platform.resources import schemas_dir
from tests.support import ROOT

SHIPPED = schemas_dir() / "catalogue"
CATALOGUE = load()
FORWARDED = "{amount: 5, unit: working-days, starts: forwarded"
STANDARD = "  - {id: gbt-45255-2025,"
NEW_LAW = "  - {id: new-law, level: law, title_zh: 新法, title_en: New, status: memory}\n"


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, ["catalogue", *arguments])
    assert result.exit_code == code, result.output
    return result


def edition(folder: Path, *changes: tuple[str, str, str]) -> Path:
    """A copy of the shipped edition with texts replaced: (file, old, new)."""
    shutil.copytree(SHIPPED, folder)
    for name, old, new in changes:
        text = (folder / name).read_text(encoding="utf-8")
        assert text.count(old) == 1
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")
    return folder


def test_check_counts_a_good_edition_and_names_the_place_of_a_fault(tmp_path: Path) -> None:
    told = run("check").output
    assert told.startswith(f"edition {CATALOGUE.edition}: {len(CATALOGUE.items)} items")
    assert "990000 示例市" in run("check", "--supplement", str(ROOT / "examples" / "supplement")).output
    broken = edition(tmp_path / "a", ("items-other.yaml", "publicity_rule: judgment\n", "publicity_rule: none\n"))
    line = (broken / "items-other.yaml").read_text(encoding="utf-8").split("publicity_rule: none\n")[0].count("\n") + 1
    refused = run("check", str(broken), code=1)
    assert f"items-other.yaml:{line}: unknown publicity rule none" in refused.output


def test_show_differs_where_order_36_changed_the_rule() -> None:
    before = run("show", "administrative-penalty", "--on", "2026-03-31").output
    after = run("show", "administrative-penalty", "--on", "2026-04-01").output
    assert {"ndrc-order-58-publicity", "ndrc-order-58-severity", "ndrc-order-58-repair"} <= set(
        re.findall(r"[\w-]+", before)
    )
    assert {"ndrc-order-36-publicity", "ndrc-order-36-severity", "ndrc-order-36-repair"} <= set(
        re.findall(r"[\w-]+", after)
    )
    assert "order-36" not in before
    assert "order-58" not in after
    # A general penalty: three years at most under Order 58, one year under Order 36.
    assert ("一般·最长 3年" in before, "general: at most: 3 years" in before) == (True, True)
    assert ("一般·最长 1年" in after, "general: at most: 1 year" in after) == (True, True)
    # What Order 36 did not change stands in both.
    for same in ("行政处罚  Administrative penalty", "local-regulations-retention", "samr-order-107-publicity"):
        assert same in before
        assert same in after


def test_show_of_what_is_not_there_says_why() -> None:
    assert "目录中没有该事项" in run("show", "none", code=1).output
    assert "[2026-04-01, )" in run("show", "customs-aeo", "--on", "2026-03-31", code=1).output
    assert "neither a folder nor a date" in run("show", "customs-aeo", "--on", "yesterday", code=1).output


@pytest.mark.parametrize("code", sorted(CATALOGUE.items))
def test_show_knows_words_for_every_item(code: str) -> None:
    item = CATALOGUE.latest(code)
    told = run("show", code, "--on", item.effective_from.isoformat()).output
    assert item.name_zh in told
    assert item.name_en in told
    for kind in ("severity", "publicity", "repair"):
        assert (getattr(item, f"{kind}_rule") is not None) == (f"{KINDS[kind]}" in told)


def test_diff_of_two_days_tells_what_the_law_changed() -> None:
    told = run("diff", "2026-03-31", "2026-04-01").output
    assert "~ rule publicity penalty\n" in told
    assert "    version: ndrc-order-58-publicity -> ndrc-order-36-publicity\n" in told
    assert "    body.classes.general.maximum: P3Y -> P1Y\n" in told
    assert "+ item customs-aeo\n" in told
    assert "retention default" not in told
    found = json.loads(run("diff", "2026-03-31", "2026-04-01", "--json").output)
    window = next(d for d in found if (d["section"], d["key"]) == ("rule", "publicity penalty"))
    assert {"path": "body.classes.general.maximum", "before": "P3Y", "after": "P1Y"} in window["changes"]
    assert f"{len(found)} 处不同 differences" in told
    assert json.loads(run("diff", "2026-05-01", "2026-05-02", "--json").output) == []


def test_diff_of_two_editions_tells_every_change_and_nothing_else(tmp_path: Path) -> None:
    after = edition(
        tmp_path / "after",
        ("deadlines.yaml", FORWARDED, FORWARDED.replace("5", "4")),
        ("items-other.yaml", "label_zh: 案由, ", "label_zh: 案由类别, "),
        ("documents.yaml", STANDARD, f"{NEW_LAW}{STANDARD}"),
        ("rules-severity.yaml", 'edition: "2026-11-24"', 'edition: "2026-12-01"'),
    )  # fmt: skip
    found = json.loads(run("diff", str(SHIPPED), str(after), "--json").output)
    told = {(d["section"], d["key"], d["change"]): d["changes"] for d in found}
    judgment = next(key for key in told if key[0] == "item")
    assert told.keys() == {
        ("document", "new-law", "added"),
        ("rule", "deadline shanghai-objection-source", "changed"),
        judgment,
    }
    assert told["rule", "deadline shanghai-objection-source", "changed"] == [
        {"path": "body.amount", "before": 5, "after": 4}
    ]
    assert told[judgment] == [{"path": "fields.cause_of_action.label_zh", "before": "案由", "after": "案由类别"}]
    back = json.loads(run("diff", str(after), str(SHIPPED), "--json").output)
    assert {d["change"] for d in back if d["section"] == "document"} == {"removed"}
    assert json.loads(run("diff", str(SHIPPED), str(SHIPPED), "--json").output) == []
    assert "neither a folder nor a date" in run("diff", str(SHIPPED), "2026-04-01", code=1).output


def test_a_broken_edition_is_not_compared(tmp_path: Path) -> None:
    broken = edition(tmp_path / "a", ("items-other.yaml", "publicity_rule: judgment\n", "publicity_rule: none\n"))
    assert "items-other.yaml:" in run("diff", str(SHIPPED), str(broken), code=1).output


def test_the_page_is_current_and_whole(tmp_path: Path) -> None:
    written = ROOT / "docs" / "catalogue-reference.md"
    assert run("page", str(written), "--check").output == ""
    text = written.read_text(encoding="utf-8")
    for versions in CATALOGUE.items.values():
        for item in versions:
            assert f"#### {item.name_zh} {item.name_en} `{item.code}`" in text
    anchors = set(re.findall(r'<a id="([^"]+)"></a>', text))
    assert anchors == {f"{rule.kind}-{rule.version}" for versions in CATALOGUE.rules.values() for rule in versions}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors
    for known in (KINDS, SECTIONS, STATUSES):
        assert all(f"{words}" in text for words in known.values())
    assert {document.level for document in CATALOGUE.documents.values()} <= LEVELS.keys()
    stale = tmp_path / "page.md"
    stale.write_text(text + "x", encoding="utf-8")
    assert "is not current" in run("page", str(stale), "--check", code=1).output
    run("page", str(stale))
    assert stale.read_text(encoding="utf-8") == text == page(CATALOGUE)


def test_periods_in_words() -> None:
    assert period("P3M") == ("3个月", "3 months")
    assert period("P1Y") == ("1年", "1 year")
    assert period("P1Y6M10D") == ("1年6个月10日", "1 year 6 months 10 days")
