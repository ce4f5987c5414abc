"""The search by name on a million invented names, beside ILIKE and pg_trgm on the same table in the same run.

Recall at 10: the share of searches whose entity is among the first ten candidates. What is searched is a stored name
changed in one way: a character misspelt (half of them sound alike), left out, added or swapped; division or legal form
left out; widths, spaces and brackets; traditional script; a former name, changed in the same ways.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import asyncpg

from benchmarks.support import codes, goal, machine, prepared_database, say
from credit_service.entities import names
from credit_service.entities.search import NameSearch
from credit_service.identity import divisions
from credit_service.platform.database import Database, connect_arguments
from credit_service.platform.embedded import EmbeddedServer

SEED = 45255
NAMES_AT_ONCE = 50_000
FORMER_SHARE = 0.1
PEER_SEARCHES = 100
_CHARACTERS = (
    "安邦宝北博昌成诚驰创春达大德鼎东方飞丰峰福富刚高格冠光广国海汉杭航浩和恒宏虹鸿厚华环辉汇慧吉佳嘉建健江杰捷金锦晶京景久君俊凯康科可坤兰"
    "蓝乐力立利联亮林凌龙隆禄路茂美民明铭南宁鹏平普奇启千乾强勤青清庆泉仁荣融瑞润三森山尚申升生圣盛石时世顺思四泰腾天田通同彤万旺威伟文五"
    "西禧先祥翔协欣新信星兴雄旭雅亚扬阳耀业一怡亿益逸毅银英盈永优友宇裕元源远越云运泽展长兆振正之志智中忠众洲卓子紫宗百柏保贝本必碧滨冰彩灿"
    "超辰晨澄川聪翠丹岛迪典栋都尔帆芳芬风枫凤甘歌耕古谷桂果豪禾荷红湖花怀欢黄火霁家姜皎洁津晋菁静九菊卡开铠拉莱朗雷黎里莲良六洛绿马麦满梅"
    "门梦妙牧木纳妮诺欧派品璞七琪秋曲群然人日如赛沙珊善上邵深胜诗书舒曙水硕松苏素台桃特亭桐途拓外维未夕溪夏仙贤香骁小晓心杏秀轩雪雨玉园月岳"
)
_TRADES = (
    "商贸 贸易 科技 信息技术 网络科技 建筑工程 建设工程 装饰工程 物流 运输 "
    "供应链管理 餐饮管理 餐饮 食品 农业开发 生物科技 医药 医疗器械 机械制造 "
    "机械设备 电子科技 电子商务 电器 汽车销售 汽车服务 房地产开发 物业管理 "
    "物业服务 广告 文化传媒 文化传播 教育咨询 企业管理 企业管理咨询 商务咨询 "
    "投资管理 环保科技 新能源 新材料 化工 塑料制品 纺织 服饰 家具 建材 五金 "
    "包装 印刷 印务 园林绿化 劳务 人力资源 保安服务 旅游 酒店管理 石油 矿业 "
    "水务 软件"
).split()
_FORMS = ("有限公司",) * 80 + ("有限责任公司",) * 10 + ("股份有限公司",) * 5 + ("集团有限公司",) * 5


def invented(chance: random.Random, places: list[str]) -> tuple[str, str, str, str]:
    """Division, trade name, trade and legal form."""
    length = chance.choices((2, 3, 4), (55, 33, 12))[0]
    trade_name = "".join(chance.choices(_CHARACTERS, k=length))
    return chance.choice(places), trade_name, chance.choice(_TRADES), chance.choice(_FORMS)


def places() -> list[str]:
    """Cities and districts as they stand in names: 重庆市, 重庆市渝中区, 成都市, 四川省成都市."""
    found = []
    for code in divisions.codes():
        whole, own = divisions.full_name_of(code) or "", divisions.name_of(code) or ""
        if own.endswith(("市", "区", "县")) and len(own) > 2:
            found += [whole, own] if code.endswith("00") else [whole]
    return found


Parts = tuple[str, str, str, str]


class Changes:
    """The ways in which a searched name differs from the stored one."""

    def __init__(self, chance: random.Random) -> None:
        import opencc

        self.chance = chance
        self.traditional = opencc.OpenCC("s2t")
        alike = defaultdict(list)
        for character in _CHARACTERS:
            alike[names.syllables_of(character)].append(character)
        self.alike = alike
        self.ways: dict[str, Callable[[Parts], str]] = {
            "misspelt, sounds alike": lambda parts: self._misspelt(parts, alike=True),
            "misspelt, any character": lambda parts: self._misspelt(parts, alike=False),
            "a character left out": self._shortened,
            "a character too many": self._lengthened,
            "two characters swapped": self._swapped,
            "without legal form": lambda p: p[0] + p[1] + p[2],
            "without division": lambda p: p[1] + p[2] + p[3],
            "without both": lambda p: p[1] + p[2],
            "公司 for the legal form": lambda p: f"{p[0]}{p[1]}{p[2]}公司",
            "division in brackets": lambda p: f"{p[1]}（{p[0]}）{p[2]}{p[3]}",
            "width, spaces": lambda p: f" {p[0]} {p[1]}\u3000{p[2]}{p[3]}".replace("有限", "有限\u200b"),
            "traditional script": lambda p: str(self.traditional.convert("".join(p))),
        }

    def _at(self, parts: Parts) -> int:
        """A place in trade name and trade, where people err."""
        return len(parts[0]) + self.chance.randrange(len(parts[1] + parts[2]))

    def _misspelt(self, parts: Parts, *, alike: bool) -> str:
        whole = "".join(parts)
        for _ in range(50):
            place = self._at(parts)
            chosen = self.alike[names.syllables_of(whole[place])] if alike else list(_CHARACTERS)
            others = [character for character in chosen if character != whole[place]]
            if others:
                return whole[:place] + self.chance.choice(others) + whole[place + 1 :]
        return whole

    def _shortened(self, parts: Parts) -> str:
        whole, place = "".join(parts), self._at(parts)
        return whole[:place] + whole[place + 1 :]

    def _lengthened(self, parts: Parts) -> str:
        whole, place = "".join(parts), self._at(parts)
        return whole[:place] + self.chance.choice(_CHARACTERS) + whole[place:]

    def _swapped(self, parts: Parts) -> str:
        whole = "".join(parts)
        place = len(parts[0]) + self.chance.randrange(len(parts[1] + parts[2]) - 1)
        return whole[:place] + whole[place + 1] + whole[place] + whole[place + 2 :]


async def load(connection: asyncpg.Connection[Any], size: int, wanted: int) -> dict[str, list[tuple[str, Parts]]]:
    """Fill the tables; gives a sample of entities with the parts of their present and former names."""
    chance, where = random.Random(SEED), places()
    every = max(1, size // wanted)
    sample: dict[str, list[tuple[str, Parts]]] = {"present": [], "former": []}
    index = "entity_name_tokens"
    definition = await connection.fetchval("SELECT pg_get_indexdef($1::regclass)", index)
    await connection.execute(f"DROP INDEX {index}")
    numbered, now = enumerate(codes(size)), datetime.now(UTC)
    for block in iter(lambda: [pair for _, pair in zip(range(NAMES_AT_ONCE), numbered, strict=False)], []):
        entities, rows = [], []
        for number, uscc in block:
            parts = invented(chance, where)
            name = "".join(parts)
            entities.append((uscc, name, uscc[:2], uscc[2:8], "active", "registrar", now, now))
            rows.append((uscc, _id(2 * number), name, None, None, *names.keys_of(name)))
            former = invented(chance, where) if chance.random() < FORMER_SHARE else None
            if former is not None:
                old = "".join(former)
                rows.append((uscc, _id(2 * number + 1), old, None, date(2020, 1, 1), *names.keys_of(old)))
            if number % every == 0:
                sample["present"].append((uscc, parts))
            if former is not None and len(sample["former"]) < wanted:
                sample["former"].append((uscc, former))
        columns = ["uscc", "name", "category", "division", "registration_status", "source", "created_at", "updated_at"]
        await connection.copy_records_to_table("entity", records=entities, columns=columns)
        await connection.copy_records_to_table("entity_name", records=rows)
        say(f"{block[-1][0] + 1} of {size} entities")
    await connection.execute(definition)
    await connection.execute("VACUUM (ANALYZE) entity, entity_name")
    return sample


def _id(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012x}"


def searches(sample: dict[str, list[tuple[str, Parts]]], each: int) -> Iterator[tuple[str, str, str]]:
    """What was changed, what is searched, and the entity that should be found."""
    chance = random.Random(SEED + 1)
    changes = Changes(chance)
    for way, change in changes.ways.items():
        for uscc, parts in chance.sample(sample["present"], min(each, len(sample["present"]))):
            yield way, change(parts), uscc
    former = chance.sample(sample["former"], min(each, len(sample["former"])))
    for uscc, parts in former:
        yield "former name", "".join(parts), uscc
    for uscc, parts in former:
        yield "former name, changed", chance.choice(list(changes.ways.values()))(parts), uscc


Search = Callable[[str], Awaitable[list[str]]]


async def tried(asked: list[tuple[str, str, str]], search: Search) -> dict[str, Any]:
    """Recall at 10 of each change and of all, and the times of a search in milliseconds."""
    hits: dict[str, list[bool]] = defaultdict(list)
    seconds = []
    for way, text, uscc in asked:
        began = time.perf_counter()
        found = await search(text)
        seconds.append(time.perf_counter() - began)
        hits[way].append(uscc in found)
    seconds.sort()
    every = [hit for found in hits.values() for hit in found]
    return {
        "searches": len(every),
        "recall_at_10": round(sum(every) / len(every), 4),
        "recall_by_change": {way: round(sum(found) / len(found), 4) for way, found in hits.items()},
        "p50_ms": round(seconds[len(seconds) // 2] * 1000, 2),
        "p99_ms": round(seconds[int(len(seconds) * 0.99)] * 1000, 2),
    }


_ILIKE = "SELECT DISTINCT uscc FROM entity_name WHERE name ILIKE '%' || $1 || '%' LIMIT 10"
_TRGM = "SELECT uscc FROM entity_name WHERE name % $1 ORDER BY similarity(name, $1) DESC LIMIT 10"


def _by(connection: asyncpg.Connection[Any], statement: str) -> Search:
    async def search(text: str) -> list[str]:
        return [row["uscc"] for row in await connection.fetch(statement, text)]

    return search


_PEER_DATABASE = """
CREATE DATABASE bench_trgm TEMPLATE template0 LOCALE_PROVIDER libc LC_CTYPE 'C.UTF-8' LC_COLLATE 'C'
"""


async def peers(server: EmbeddedServer, asked: list[tuple[str, str, str]]) -> dict[str, Any]:
    """What PostgreSQL's own means find of the same searches.

    pg_trgm makes no trigrams of Chinese under the registry's ctype C, so its table stands in a database with a UTF-8
    ctype of its own, and holds nothing but names and codes.
    """
    few = random.Random(SEED).sample(asked, min(PEER_SEARCHES, len(asked)))
    connection = await asyncpg.connect(**connect_arguments(server.superuser_url))
    await connection.execute(_PEER_DATABASE)
    arguments = connect_arguments(server.superuser_url) | {"database": "bench_trgm"}
    other = await asyncpg.connect(**arguments)
    try:
        found = {"ILIKE": await tried(few, _by(connection, _ILIKE))}
        await other.execute("CREATE EXTENSION pg_trgm; CREATE TABLE entity_name (uscc text, name text)")
        if not await other.fetchval("SELECT cardinality(show_trgm('安恒博商贸有限公司'))"):
            raise SystemExit("pg_trgm makes no trigrams of Chinese: no peer")
        rows = await connection.fetch("SELECT uscc, name FROM entity_name")
        await other.copy_records_to_table("entity_name", records=rows)
        await other.execute("SET maintenance_work_mem = '512MB'")
        await other.execute("CREATE INDEX ON entity_name USING gin (name gin_trgm_ops)")
        await other.execute("VACUUM (ANALYZE) entity_name")
        found["pg_trgm"] = await tried(few, _by(other, _TRGM))
        return found
    finally:
        await other.close()
        await connection.close()


async def measure(server: EmbeddedServer, size: int, each: int) -> dict[str, Any]:
    connection = await asyncpg.connect(**connect_arguments(server.superuser_url))
    database = Database(server.service_url, role="credit_service", pool_size=2)
    try:
        await connection.execute("SET synchronous_commit = off; SET maintenance_work_mem = '512MB'")
        began = time.perf_counter()
        sample = await load(connection, size, 20 * each)
        loaded = round(time.perf_counter() - began, 1)
        asked = list(searches(sample, each))
        random.Random(SEED).shuffle(asked)
        search = NameSearch(database)

        async def ours(text: str) -> list[str]:
            return [match.uscc for match in await search.find(text, 10, show_archived=False)]

        await tried(asked[:200], ours)
        result = {"ours": await tried(asked, ours)}
        sizes = "SELECT pg_size_pretty(pg_relation_size('entity_name')) AS table,"
        sizes += " pg_size_pretty(pg_relation_size('entity_name_tokens')) AS tokens"
        return {
            "entities": size,
            "names": await connection.fetchval("SELECT count(*) FROM entity_name"),
            "loaded_seconds": loaded,
            "sizes": dict(await connection.fetchrow(sizes)),
            **result,
            **await peers(server, asked),
            "targets": {"recall_at_10": goal(result["ours"]["recall_at_10"], at_least=0.98)},
        }
    finally:
        await database.close()
        await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1_000_000, help="entities")
    parser.add_argument("--each", type=int, default=200, help="searches of each change")
    options = parser.parse_args()
    described = machine()
    with prepared_database({"shared_buffers": "512MB"}) as server:
        result = asyncio.run(measure(server, options.size, options.each))
    print(json.dumps({"machine": described, **result}, ensure_ascii=False, indent=2))


if __name__ == "__main__":
    main()
