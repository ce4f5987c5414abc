"""Every figure that was read from the sources stands in the catalogue, with its status."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from credit_service.catalogue.loader import load
from credit_service.catalogue.rule_models import PublicityRule
from credit_service.catalogue.rules import classify, item_in_force, rule_for

HERE = Path(__file__).parent
CATALOGUE = load()
TODAY = date(2026, 11, 24)
FIGURES = list(csv.DictReader((HERE / "figures.csv").open(encoding="utf-8")))
STARTER = yaml.safe_load((HERE / "starter.yaml").read_text(encoding="utf-8"))
LETTERS = {"verified": "V", "secondary": "V2", "wording": "P", "memory": "M", "inference": "I"}


def told(value: Any) -> str:
    """A figure as the table writes it."""
    return "、".join(sorted(value)) if isinstance(value, frozenset | tuple) else str(value)


def figure_of(row: dict[str, str]) -> tuple[str, str]:
    """The figure and the status that the catalogue holds for a row of the table."""
    day, path = date.fromisoformat(row["on"]), row["figure"].split(".")
    if row["kind"] == "field":
        item = item_in_force(CATALOGUE, row["name"], day)
        value = getattr(next(f for f in item.fields if f.name == path[0]), path[1])
        return (str(len(value)) if isinstance(value, tuple) else told(value)), item.status
    # A time-limit of the past is asked as of its own day: newer ones reach back to older records.
    rule: Any = rule_for(CATALOGUE, row["kind"], row["name"], day, day)
    if row["figure"] == "deadline":
        return f"{rule.amount} {rule.unit}", rule.status
    value = rule
    for part in path:
        value = (
            value.classes[part] if isinstance(value, PublicityRule) and part in value.classes else getattr(value, part)
        )
    # A false promise's figures were verified less well than the rest of their rule.
    return told(value), rule.fraud.status if path[0] == "fraud" else rule.status


@pytest.mark.parametrize("row", FIGURES, ids=lambda row: f"{row['section']}-{row['name']}-{row['on']}-{row['figure']}")
def test_the_catalogue_holds_the_figure(row: dict[str, str]) -> None:
    assert figure_of(row) == (row["value"], row["status"])


def figures_of_the_catalogue() -> Iterator[tuple[str, str, str]]:
    """Each period, count and amount that any version of any rule holds, as (kind, version, figure)."""
    for rule in (version for versions in CATALOGUE.rules.values() for version in versions):
        for path, value in leaves(rule.body):
            if rule.kind == "deadline" and path in ("amount", "extension"):
                yield rule.kind, rule.version, "deadline" if path == "amount" else path
            elif is_figure(value):
                yield rule.kind, rule.version, path.removeprefix("classes.")


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from leaves(part, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def is_figure(value: Any) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"P\d.*|\d+\.\d\d", value) is not None
    return isinstance(value, int) and not isinstance(value, bool)


def test_no_figure_of_the_catalogue_is_missing_from_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    covered = set()
    for row in (row for row in FIGURES if row["kind"] != "field"):
        day = date.fromisoformat(row["on"])
        rule: Any = rule_for(CATALOGUE, row["kind"], row["name"], day, day)
        assert rule.legal_basis
        covered.add((row["kind"], rule.version, row["figure"]))
    assert set(figures_of_the_catalogue()) - covered == set()
    with capsys.disabled():
        sections = Counter(row["section"].split(".")[0] for row in FIGURES)
        told = ", ".join(f"{count} of section {section}" for section, count in sections.items())
        print(f"\n{len(FIGURES)} figures of the sources checked: {told}")
        print(f"{len(starter_leaves())} of the starter rule file")


# The starter rule file: each leaf has a reader, and each reader a leaf ----------------------------


def starter_leaves() -> dict[str, Any]:
    """Every leaf by dotted path, without the date of the file and the legend of calendars."""

    def walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            for key, part in value.items():
                yield from walk(part, f"{path}.{key}" if path else str(key))
        else:
            yield path, value

    rest = {key: value for key, value in STARTER.items() if key not in ("asof", "calendars", "severity_rules")}
    return dict(walk(rest, ""))


def publicity(severity: str, name: str = "penalty") -> Any:
    rule = rule_for(CATALOGUE, "publicity", name, TODAY, TODAY)
    assert rule is not None
    return rule.classes[severity]


def rule(kind: str, name: str, day: date = TODAY) -> Any:
    return rule_for(CATALOGUE, kind, name, day, day)


def letter(kind: str, name: str) -> str:
    return LETTERS[rule(kind, name).status]


def days(name: str) -> str:
    deadline = rule("deadline", name)
    assert deadline.unit == "working-days"
    return f"{deadline.amount}wd"


def counted(name: str, key: str) -> Any:
    deadline = rule("deadline", name)
    return {"n": deadline.amount, "cal": "wd" if deadline.unit == "working-days" else "d"}[key]


def amount_and_status(prefix: str, name: str, confidence: str = "confidence") -> dict[str, Callable[[], Any]]:
    """Readers of an entry ``{n, cal, confidence}``."""
    return {
        f"{prefix}.n": lambda: counted(name, "n"),
        f"{prefix}.cal": lambda: counted(name, "cal"),
        f"{prefix}.{confidence}": lambda: letter("deadline", name),
    }


def zero(period: str) -> Any:
    return 0 if period == "P0D" else period


STARTS = {
    "pushed-to-authority": "pushed_to_authority",
    "received-by-credit-china": "received_by_creditchina",
    "accepted": "accepted",
    "decision": "decision",
}
IN_WORDS = {"stop-publication": "stop_publish", "stop-sharing": "stop_share"}
CONDITIONS = {"minimum-period-reached": "min_period_reached"}


def starts(name: str) -> str:
    return STARTS[rule("deadline", name).starts]


def ndrc() -> Any:
    return rule("repair", "ndrc")


READERS: dict[str, Callable[[], Any]] = {
    "severity.minor.publish_default": lambda: publicity("minor").published,
    "severity.minor.min": lambda: zero(publicity("minor").minimum),
    "severity.minor.max": lambda: publicity("minor").maximum,
    "severity.minor.repair_from": lambda: publicity("minor").repair_from.replace("-", "_"),
    "severity.general.publish_default": lambda: publicity("general").published,
    "severity.general.min": lambda: publicity("general").minimum,
    "severity.general.max": lambda: publicity("general").maximum,
    "severity.general.auto_stop": lambda: publicity("general").auto_stop,
    "severity.serious.publish_default": lambda: publicity("serious").published,
    "severity.serious.min": lambda: publicity("serious").minimum,
    "severity.serious.max": lambda: publicity("serious").maximum,
    "severity.serious.auto_stop": lambda: publicity("serious").auto_stop,
    **{f"severity.{s}.confidence": lambda: letter("publicity", "penalty") for s in ("minor", "general", "serious")},
    "clock_start.ndrc36": lambda: rule("publicity", "penalty").clock_start.replace("-", "_") + "_date",
    "clock_start.samr45": lambda: rule("publicity", "enterprise-publicity-system-penalty").clock_start + "_date",
    "repair.conditions": lambda: [CONDITIONS.get(c, c.replace("-", "_")) for c in ndrc().conditions],
    **amount_and_status("repair.accept_days", "repair-accept"),
    "repair.accept_days.from": lambda: starts("repair-accept"),
    **amount_and_status("repair.decide_days", "repair-decide"),
    "repair.decide_days.from": lambda: starts("repair-decide"),
    "repair.decide_days.extendable": lambda: rule("deadline", "repair-decide").extension is not None,
    "repair.decide_days.ext": lambda: rule("deadline", "repair-decide").extension,
    **amount_and_status("repair.total_days", "repair-total"),
    "repair.total_days.from": lambda: starts("repair-total"),
    "repair.effects": lambda: [IN_WORDS.get(e, e.replace("-", "_")) for e in ndrc().effects],
    "repair.fraud.record": lambda: ndrc().fraud is not None,
    "repair.fraud.bar": lambda: ndrc().fraud.bar,
    "repair.fraud.publish": lambda: ndrc().fraud.publicity,
    "repair.fraud.confidence": lambda: LETTERS[ndrc().fraud.status],
    "repair.litigation_suspends_publicity": lambda: ndrc().litigation_suspends_publicity,
    **amount_and_status("repair.annulled_withdraw", "withdraw-annulled"),
    "repair.precedence_if_third_party_differs": lambda: ndrc().third_party_precedence.replace("-", ""),
    "samr.serious_list.term": lambda: publicity("serious", "market-regulation-serious-list").maximum,
    "samr.serious_list.early_after": lambda: rule("repair", "market-regulation-serious-list").early_after,
    **amount_and_status("samr.serious_list.accept", "market-regulation-repair-accept", "c"),
    **amount_and_status("samr.serious_list.decide", "market-regulation-repair-decide", "c"),
    **amount_and_status("samr.serious_list.stop_after_decision", "serious-list-stop", "c"),
    "samr.serious_list.fraud": lambda: (
        "restart_term" if rule("repair", "market-regulation-serious-list").fraud.restarts_term else ""
    ),
    "samr.penalty_publish.same_province": lambda: days("publish-enterprise-publicity-system"),
    "samr.penalty_publish.other_province": lambda: [
        days("push-other-province"),
        days("publish-received-from-other-province"),
    ],
    "samr.penalty_publish.warning_only": lambda: (
        "never" if rule("publicity", "market-regulation-penalty").never_published == {"警告"} else ""
    ),
    "samr.penalty_publish.confidence": lambda: letter("deadline", "publish-enterprise-publicity-system"),
    **amount_and_status("samr.cross_province_repair_push", "repair-cross-province-push"),
    "samr.abnormal.list": lambda: days("abnormal-list-annual-report"),
    "samr.abnormal.remove": lambda: days("abnormal-list-removal"),
    "samr.abnormal.objection_accept": lambda: days("abnormal-list-objection-accept"),
    "samr.abnormal.objection_verify": lambda: days("abnormal-list-objection-verify"),
    "samr.abnormal.confidence": lambda: letter("deadline", "abnormal-list-removal"),
    **amount_and_status("sgs_upload", "publish-credit-china"),
    "sgs_upload.from": lambda: starts("publish-credit-china"),
    **amount_and_status("gov_info_general", "government-information"),
    "objection.flag": lambda: days("objection-flag"),
    "objection.own": lambda: days("objection-own"),
    "objection.forwarded": lambda: days("objection-forwarded"),
    "objection.confidence": lambda: letter("deadline", "objection-own"),
    "retention_disclosure_max.n": lambda: rule("retention", "default").disclosure_maximum,
    "retention_disclosure_max.from": lambda: rule("retention", "default").starts.replace("-", "_"),
    "evaluation.grades": lambda: list(
        next(f for f in CATALOGUE.latest("comprehensive-evaluation").fields if f.name == "grade").values
    ),
    "evaluation.at_least": lambda: f"P{rule('deadline', 'comprehensive-evaluation-cycle').amount}Y",
    "evaluation.confidence": lambda: letter("deadline", "comprehensive-evaluation-cycle"),
}
OF_OTHER_PARTS = {
    "evaluation.rule",
    "objection.national_figure",
    "retention_disclosure_max.confidence",
    *(f"risk_class.{name}" for name in ("classes", "recompute", "public", "confidence")),
}
"""Rules over several records, remarks, and the supervision class, which is no record of the catalogue."""


def test_every_leaf_of_the_starter_file_is_read() -> None:
    assert starter_leaves().keys() == READERS.keys() | OF_OTHER_PARTS


@pytest.mark.parametrize("path", sorted(READERS))
def test_the_catalogue_agrees_with_the_starter_file(path: str) -> None:
    value = starter_leaves()[path]
    assert READERS[path]() == (value.isoformat() if isinstance(value, date) else value)


@pytest.mark.parametrize(
    ("facts", "severity"),
    [
        ({"procedure": "simple", "penalty_categories": ["罚款"]}, "minor"),
        ({"procedure": "ordinary", "penalty_categories": ["警告"]}, "minor"),
        ({"procedure": "ordinary", "penalty_categories": ["警告", "通报批评"]}, "minor"),
        ({"procedure": "ordinary", "penalty_categories": ["警告", "罚款"]}, "general"),
        *(
            ({"procedure": "ordinary", "penalty_categories": [category, "罚款"]}, "serious")
            for category in STARTER["severity_rules"][1]["if"].partition("[")[2].partition("]")[0].split(", ")
        ),
        ({"procedure": "ordinary", "penalty_categories": ["罚款"]}, "general"),
    ],
)
def test_severity_follows_the_starter_file(facts: dict[str, Any], severity: str) -> None:
    item = CATALOGUE.latest("administrative-penalty")
    finding = classify(item, rule_for(CATALOGUE, "severity", item.severity_rule, TODAY, TODAY), facts)
    assert finding.severity == severity
    assert "第二章" in finding.explanation[0].article


@pytest.mark.parametrize("code", sorted(i.code for i in CATALOGUE.latest_items() if i.section == "serious-dishonesty"))
def test_every_serious_list_is_serious(code: str) -> None:
    item = CATALOGUE.latest(code)
    finding = classify(item, rule_for(CATALOGUE, "severity", item.severity_rule, TODAY, TODAY), {})
    assert finding.severity == "serious"
