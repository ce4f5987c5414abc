"""Synthetic records of every catalogue item, in every state."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from credit_service.catalogue.facts import checker_of
from credit_service.catalogue.models import Catalogue, Field, Item
from credit_service.demo.population import SEED, DemoAgency, DemoEntity
from credit_service.identity.uscc import compose
from credit_service.records.rules import Draft, attested_notices

RECORDS = 20_000
EACH_ITEM = 100
OPEN_ENDED = date(2099, 12, 31)
OLDEST_DAYS = 1500
UNSERVED_EVERY = 37
"""Each so-manieth record has no proof of notice yet, and one before it is older than the disclosure limit."""
BEYOND_LIMIT_DAYS = (1850, 1950)
GRADES = "AAABBBBBBCCCD"

_VIOLATIONS = (
    ("经营超过保质期的食品", "《中华人民共和国食品安全法》第一百二十四条第一款第五项"),
    ("发布虚假广告", "《中华人民共和国广告法》第五十五条第一款"),
    ("未按规定明码标价", "《中华人民共和国价格法》第四十二条"),
    ("未取得许可从事经营活动", "《无证无照经营查处办法》第十三条"),
    ("特种设备未经检验投入使用", "《中华人民共和国特种设备安全法》第八十四条第一项"),
)
_PENALTIES: tuple[tuple[tuple[str, ...], str, int], ...] = (
    (("罚款",), "ordinary", 50),
    (("罚款", "没收违法所得"), "ordinary", 20),
    (("警告",), "simple", 12),
    (("警告", "罚款"), "simple", 8),
    (("吊销许可证件",), "ordinary", 4),
    (("责令停产停业", "罚款"), "ordinary", 4),
    (("通报批评",), "ordinary", 2),
)


def drafts(
    catalogue: Catalogue, entities: list[DemoEntity], agencies: list[DemoAgency], today: date
) -> Iterator[Draft]:
    """20,000 drafts, the same every time for one day; each catalogue item has some."""
    chance = random.Random(SEED + 1)  # noqa: S311 - synthetic data
    senders = {code: [agency for agency in agencies if code in agency.items] for code in catalogue.items}
    others = [code for code, found in senders.items() if found and not code.startswith("administrative-")]
    subjects = {prefix: [e for e in entities if e.uscc.startswith(prefix)] for prefix in _prefixes(catalogue)}
    for number in range(RECORDS):
        if number < EACH_ITEM * len(others):
            code = others[number % len(others)]
        else:
            code = chance.choices(("administrative-penalty", "administrative-licence"), (55, 45))[0]
        agency = chance.choice(senders[code])
        entity = chance.choice(subjects[catalogue.latest(code).subject_prefix or ""])
        yield _draft(chance, catalogue, code, entity, agency, number, today)


def _beyond_limit(number: int) -> bool:
    return number % UNSERVED_EVERY == UNSERVED_EVERY - 1


def _prefixes(catalogue: Catalogue) -> set[str]:
    return {item.subject_prefix or "" for item in catalogue.latest_items()}


def _draft(
    chance: random.Random,
    catalogue: Catalogue,
    code: str,
    entity: DemoEntity,
    agency: DemoAgency,
    number: int,
    today: date,
) -> Draft:
    decided_on, item = _decision(chance, catalogue, code, number, today)
    facts, basis = _facts(chance, item, entity, decided_on)
    by_name = {field.name: field for field in item.fields}
    checked = checker_of(item)(facts)
    for error in checked.errors:
        name = error.pointer.removeprefix("/facts/")
        if error.rule.startswith("required"):
            facts[name] = _value(chance, item, by_name[name], decided_on)
    checked = checker_of(item)(facts)
    if checked.errors:
        raise ValueError(f"demo facts of {code}: {checked.errors}")
    valid_until: date | None = decided_on + timedelta(days=chance.choice((365, 1095, 1825)))
    if item.kind == "penalty":
        valid_until = OPEN_ENDED
    elif _beyond_limit(number) and item.retention_rule is not None:
        valid_until = None
    document_number = f"{agency.name[-6:-3]}演〔{decided_on.year}〕{number + 1}号"
    return Draft(
        item=item,
        notices=attested_notices(catalogue, item, decided_on, None if number % UNSERVED_EVERY == 0 else "演示数据"),
        uscc=entity.uscc,
        entity_name=entity.name,
        document_number=facts.get("commitment_code", document_number),
        decided_on=decided_on,
        valid_until=valid_until,
        authority_uscc=agency.uscc,
        authority_name=agency.name,
        source_uscc=agency.uscc,
        source_name=agency.name,
        legal_basis=basis or catalogue.documents[item.legal_basis[0].document].title_zh,
        public_facts=checked.public,
        shared_facts=checked.shared,
        restricted_facts=checked.restricted,
    )


def _decision(chance: random.Random, catalogue: Catalogue, code: str, number: int, today: date) -> tuple[date, Item]:
    """A day on which the item was in force, most of them recent and some beyond the limit of disclosure."""
    versions = catalogue.items[code]
    for attempt in range(100):
        day = today - timedelta(days=int(OLDEST_DAYS * chance.random() ** 2))
        if _beyond_limit(number) and attempt < 50:
            day = today - timedelta(days=chance.randint(*BEYOND_LIMIT_DAYS))
        for item in versions:
            if item.in_force(day):
                return day, item
    return versions[-1].effective_from, versions[-1]


def _facts(
    chance: random.Random, item: Item, entity: DemoEntity, decided_on: date
) -> tuple[dict[str, Any], str | None]:
    if item.code == "administrative-penalty":
        return _penalty(chance)
    facts: dict[str, Any] = {}
    for field in item.fields:
        if field.required or (field.publication == "public" and not field.required_if and chance.random() < 0.7):
            facts[field.name] = _value(chance, item, field, decided_on)
    if item.kind == "evaluation" and item.list_colour is None:
        facts["grade"] = _grade(item.code, entity)
    if item.kind == "commitment":
        facts |= _commitment(chance, entity, decided_on)
    return facts, None


def _grade(code: str, entity: DemoEntity) -> str:
    """Grades of an entity never contradict each other: who is D nationally is A nowhere (国办发〔2026〕8号)."""
    national = random.Random(entity.uscc).choice(GRADES)  # noqa: S311 - synthetic data
    return national if code == "comprehensive-evaluation" else {"D": "C", "C": "B"}.get(national, "A")


def _commitment(chance: random.Random, entity: DemoEntity, decided_on: date) -> dict[str, Any]:
    """A commitment, now and then breached; what was not performed is told then."""
    fulfilment = chance.choices(("全部履行", "部分履行", "全部未履行"), (80, 12, 8))[0]
    facts = {
        "commitment_code": f"{entity.division}{decided_on:%Y%m%d}{chance.randint(1, 999999):06}",
        "fulfilment": fulfilment,
        "publication_type": chance.choices(("可向社会公开", "特定范围内公开", "不可公开"), (80, 15, 5))[0],
    }
    if fulfilment != "全部履行":
        facts |= {"unperformed_content": "演示数据: 未按承诺期限整改。", "breach_liability_content": "记入信用记录。"}
    return facts


def _penalty(chance: random.Random) -> tuple[dict[str, Any], str]:
    violation, basis = chance.choice(_VIOLATIONS)
    categories, procedure, _ = chance.choices(_PENALTIES, [weight for _, _, weight in _PENALTIES])[0]
    facts: dict[str, Any] = {
        "subject_type": "legal_entity",
        "procedure": procedure,
        "violation_type": violation,
        "violation_facts": f"演示数据: 当事人{violation}, 经查证属实, 案发后已停止违法行为。",
        "penalty_categories": list(categories),
        "penalty_content": "、".join(categories),
    }
    if "罚款" in categories:
        facts["fine_amount"] = f"{chance.choice((500, 2000, 5000, 12000, 50000, 200000))}.00"
    if "没收违法所得" in categories:
        facts["confiscated_amount"] = f"{chance.randint(100, 9999)}.00"
    if "吊销许可证件" in categories:
        facts["suspended_or_revoked_licences"] = "演示许可证 DEMO-0001"
    return facts, basis


def _value(chance: random.Random, item: Item, field: Field, decided_on: date) -> Any:
    if field.format == "uscc":
        return compose("51", "500000", f"502{chance.randint(0, 99999):05}")
    if field.format == "commitment-code":
        return f"500103{decided_on:%Y%m%d}{chance.randint(1, 999999):06}"
    match field.type:
        case "enum":
            return chance.choice([value for value in field.values if not value.startswith("其他")])
        case "list":
            return [field.values[0]] if field.values else ["演示"]
        case "date":
            return decided_on.isoformat()
        case "money":
            return f"{chance.randint(1, 500)}0000.00"
        case "integer":
            return decided_on.year
        case _:
            return f"演示数据 {item.name_zh} {field.label_zh}"[: field.max_length or 200]
