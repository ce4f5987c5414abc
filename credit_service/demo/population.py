"""Synthetic entities and agencies: invented names, real division and industry codes, valid codes of every category."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta

from credit_service.identity import divisions, industries
from credit_service.identity.categories import CATEGORIES
from credit_service.identity.uscc import CHARSET, compose

ENTITIES = 5_000
SEED = 20260401

_DISTRICTS = ("500103", "500106", "500112", "500105", "500107", "110105", "310115", "440305", "330106", "370102")
_WORDS = "安恒博诚达德方丰光广海和恒华汇嘉建金景久康科朗联隆明宁鹏启瑞盛泰天通旺祥新信兴亚益永源正中卓"
_TRADES = {
    "A": "农业",
    "C": "制造",
    "E": "建筑工程",
    "F": "商贸",
    "G": "物流",
    "H": "餐饮",
    "I": "信息技术",
    "L": "商务咨询",
    "M": "科技",
    "O": "生活服务",
    "R": "文化传媒",
}
_SUFFIXES = {
    "11": "管理局",
    "12": "服务中心",
    "51": "协会",
    "52": "培训学校",
    "53": "基金会",
    "91": "有限公司",
    "92": "经营部",
    "93": "农民专业合作社",
    "A1": "疗养院",
    "N1": "村民小组经济合作社",
    "N2": "股份经济合作联合社",
    "N3": "乡镇经济联合总社",
    "31": "律师事务所",
    "81": "工会委员会",
}
_STATUSES = ("active",) * 90 + ("revoked",) * 3 + ("suspended",) * 2 + ("deregistered",) * 5


@dataclass(frozen=True)
class DemoEntity:
    """An invented entity."""

    uscc: str
    name: str
    former_name: str | None
    division: str
    industry: str | None
    status: str
    established_on: date
    deregistered_on: date | None
    archived: bool


@dataclass(frozen=True)
class DemoAgency:
    """An invented agency, and the catalogue items it submits."""

    uscc: str
    name: str
    division: str
    level: str
    items: tuple[str, ...]


_OFFICES: tuple[tuple[str, str, str, str, tuple[str, ...] | None], ...] = (
    ("500103", "00928654", "重庆市渝中区市场监督管理局", "district", None),
    (
        "500103",
        "00928718",
        "重庆市渝中区人力资源和社会保障局",
        "district",
        ("administrative-penalty", "serious-dishonesty-wage-arrears", "commitment"),
    ),
    (
        "500112",
        "00929374",
        "重庆市渝北区应急管理局",
        "district",
        ("administrative-penalty", "administrative-licence", "serious-dishonesty-work-safety"),
    ),
    (
        "500000",
        "00927782",
        "国家税务总局重庆市税务局",
        "province",
        ("serious-dishonesty-tax", "taxpayer-grade-a", "administrative-penalty"),
    ),
    (
        "110105",
        "00006132",
        "北京市朝阳区文化和旅游局",
        "district",
        ("administrative-penalty", "administrative-licence", "serious-dishonesty-culture-tourism"),
    ),
    (
        "310115",
        "00245931",
        "上海市浦东新区城市管理行政执法局",
        "district",
        ("administrative-penalty", "administrative-licence"),
    ),
)
"""Division, body of the organisation code, name, level, and the items it submits: ``None`` for all of them."""


def agencies(item_codes: tuple[str, ...]) -> list[DemoAgency]:
    """Six agencies of three districts; the first may submit everything for its city."""
    return [
        DemoAgency(compose("11", division, body), name, division, level, items or item_codes)
        for division, body, name, level, items in _OFFICES
    ]


def entities(today: date) -> list[DemoEntity]:
    """The population, the same every time for one day: every category first, then mostly enterprises."""
    chance = random.Random(SEED)  # noqa: S311 - synthetic data
    categories = sorted(CATEGORIES)
    bodies: set[str] = set()
    result = []
    for number in range(ENTITIES):
        category = categories[number] if number < len(categories) else _category(chance)
        body = _body(chance, bodies)
        result.append(_entity(chance, number, category, body, today))
    return result


def _category(chance: random.Random) -> str:
    if chance.random() < 0.08:
        return chance.choice(sorted(CATEGORIES))
    return chance.choices(("91", "92", "93", "52"), (70, 20, 5, 5))[0]


def _body(chance: random.Random, taken: set[str]) -> str:
    while True:
        body = "MA" + "".join(chance.choices(CHARSET, k=6))
        if body not in taken:
            taken.add(body)
            return body


def _entity(chance: random.Random, number: int, category: str, body: str, today: date) -> DemoEntity:
    division = chance.choice(_DISTRICTS)
    section = chance.choice(sorted(_TRADES))
    industry = chance.choice([code for code in industries.codes() if code[0] == section and len(code) > 1])
    name = _name(chance, division, category, section, number)
    former = _name(chance, division, category, section, number) + "(原)" if chance.random() < 0.1 else None
    established = today - timedelta(days=chance.randint(200, 9000))
    status = chance.choice(_STATUSES)
    deregistered = established + timedelta(days=chance.randint(30, 190)) if status == "deregistered" else None
    return DemoEntity(
        uscc=compose(category, division, body),
        name=name,
        former_name=former,
        division=division,
        industry=industry if category[0] == "9" else None,
        status=status,
        established_on=established,
        deregistered_on=deregistered,
        archived=status == "deregistered" and chance.random() < 0.5,
    )


def _name(chance: random.Random, division: str, category: str, section: str, number: int) -> str:
    place = divisions.name_of(division) or ""
    word = "".join(chance.choices(_WORDS, k=3))
    suffix = _SUFFIXES.get(category, "机构")
    return f"{place}{word}{_TRADES[section]}{suffix}" if category[0] == "9" else f"{place}{word}{suffix}"
