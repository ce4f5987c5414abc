"""Import of penalty rows, beside a bare COPY of the same file in the same run.

``python -m benchmarks.imports [--rows N] [--entities N]`` prints JSON. The import goes the whole way: upload stream,
judging in its own process, staging, merge, versions, audit events, receipts and rendered profiles. The peers, each a
bare COPY: of the stored records into a table like ``record`` (columns, types, indexes), of the file into 30 text
columns with the natural key as primary key, and of the file into 30 text columns without any index. What no import
could surpass is printed beside them: COPY of all the rows that it leaves, into tables like theirs, over one connection
and over two at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import json
import random
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from credit_service.accounts import commands as accounts
from credit_service.accounts.models import AgencyWrite, Grant
from credit_service.catalogue.loader import load
from credit_service.catalogue.store import synchronise
from credit_service.identity.uscc import compose
from credit_service.platform import migration
from credit_service.platform.clock import SystemClock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database, connect_arguments
from credit_service.platform.embedded import EmbeddedServer
from credit_service.records.imports.commands import Importer, Request
from credit_service.records.imports.judges import JudgingProcess
from credit_service.records.imports.templates import template_of

AGENCY = compose("11", "500103", "00928654")
NAME = "重庆市渝中区市场监督管理局"
ACTOR = Actor("client:benchmark", "benchmark", AGENCY)
LEFT_BY_AN_IMPORT = (
    "record",
    "record_version",
    "audit_event",
    "import_receipt",
    "entity",
    "entity_name",
    "entity_version",
    "profile",
)
FACTS = "当事人于2026年1月在其经营场所销售超过保质期的预包装食品若干，货值金额三百元，违法所得一百元，案发后主动整改。"
LABELS = [
    column.labels[0] for column in template_of("administrative-penalty").columns if column.codes[0] not in
    {"DFBM", "SJC", "CF_SYFW", "CF_SXYZCD", "CF_ZT"}
]  # fmt: skip


def write_file(path: Path, rows: int, entities: int) -> None:
    """A penalty file of 30 columns, ``rows`` rows about ``entities`` companies in turn."""
    chance = random.Random(1)
    codes = [compose("91", "500103", f"MA{number:06}") for number in range(entities)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(LABELS)
        for number in range(rows):
            company = number % entities
            filled = {
                "行政相对人名称": f"重庆测试{company}有限公司",
                "行政相对人类别": "法人及非法人组织",
                "行政相对人代码_1(统一社会信用代码)": codes[company],
                "法定代表人": "张三",
                "行政处罚决定书文号": f"渝中市监处罚〔2026〕{number}号",
                "违法行为类型": "违反食品安全管理规定",
                "违法事实": FACTS,
                "处罚依据": "《中华人民共和国食品安全法》第一百二十四条第一款第五项",
                "处罚类别": "罚款、没收违法所得",
                "处罚内容": "罚款一万二千元，没收违法所得一百元",
                "罚款金额(万元)": f"{chance.randint(1, 500) / 100}",
                "没收违法所得、没收非法财物的金额(万元)": "0.01",
                "处罚决定日期": f"2026-04-{chance.randint(1, 28):02}",
                "处罚有效期": "2099-12-31",
                "处罚机关": NAME,
                "处罚机关统一社会信用代码": AGENCY,
                "数据来源单位": NAME,
                "数据来源单位统一社会信用代码": AGENCY,
            }
            writer.writerow([filled.get(label, "") for label in LABELS])


async def _copy(owner: asyncpg.Connection, path: Path, *, keyed: bool) -> float:
    columns = ", ".join(f"c{number} text" for number in range(len(LABELS)))
    named = ("行政相对人代码_1(统一社会信用代码)", "行政处罚决定书文号", "处罚机关统一社会信用代码")
    places = [LABELS.index(label) for label in named]
    key = f", PRIMARY KEY ({', '.join(f'c{place}' for place in places)})" if keyed else ""
    await owner.execute(f"DROP TABLE IF EXISTS bare; CREATE TABLE bare ({columns}{key})")
    began = time.perf_counter()
    await owner.copy_to_table("bare", source=path, format="csv", header=True)
    return time.perf_counter() - began


async def _copy_stored(
    owner: asyncpg.Connection, url: str, folder: Path, tables: Sequence[str] = ("record",), *, connections: int = 1
) -> float:
    """The rows of these tables once more, by bare COPY into tables of the same shape and indexes.

    Over several ``connections`` at once, each with its share of every table's rows.
    """
    await owner.execute("SET synchronize_seqscans = off")  # shares of one order of rows
    shares: list[list[tuple[str, Path]]] = [[] for _ in range(connections)]
    for table in tables:
        await owner.execute(
            f"DROP TABLE IF EXISTS bare_{table}; CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)"
        )
        each = -(-await owner.fetchval(f"SELECT count(*) FROM {table}") // connections)
        for number, share in enumerate(shares):
            part = f"SELECT * FROM {table} LIMIT {each} OFFSET {number * each}"
            share.append((table, folder / f"{table}.{number}.copy"))
            await owner.copy_from_query(part, output=share[-1][1])

    async def write(share: list[tuple[str, Path]]) -> None:
        connection = await asyncpg.connect(**connect_arguments(url))
        for table, path in share:
            await connection.copy_to_table(f"bare_{table}", source=path)
        await connection.close()

    began = time.perf_counter()
    await asyncio.gather(*(write(share) for share in shares))
    taken = time.perf_counter() - began
    for table in tables:
        whole = f"SELECT (SELECT count(*) FROM {table}) = (SELECT count(*) FROM bare_{table})"
        assert await owner.fetchval(whole)
        await owner.execute(f"DROP TABLE bare_{table}")
    return taken


async def _upload(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 18):
            yield chunk


async def _import(database: Database, executor: Executor, path: Path, key: str) -> tuple[float, Any]:
    request = Request(key, "auto", "row", path.name, "text/csv")
    importer = Importer(database, SystemClock(), load(), executor, ACTOR, request)
    began = time.perf_counter()
    record, _ = await importer.run(_upload(path), 1 << 34)
    return time.perf_counter() - began, record


def _processes() -> list[psutil.Process]:
    """This process and the judging process."""
    process = psutil.Process()
    return [each for each in (process, *process.children(recursive=True)) if each.name() != "postgres"]


def _resident(processes: Sequence[psutil.Process]) -> int:
    return sum(process.memory_info().rss for process in processes) >> 20


@contextlib.asynccontextmanager
async def _highest() -> AsyncIterator[list[int]]:
    """Mebibytes resident while the block runs: the most seen so far."""
    processes = _processes()
    seen = [_resident(processes)]

    async def watch() -> None:
        while True:
            await asyncio.sleep(0.02)
            seen[0] = max(seen[0], _resident(processes))

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        watching.cancel()


async def _measure(folder: Path, service: str, owner_url: str, rows: int, entities: int) -> dict[str, Any]:
    database = Database(service, role="credit_service")
    owner = await asyncpg.connect(**connect_arguments(owner_url))
    executor = JudgingProcess()
    body = AgencyWrite(
        name=NAME,
        division="500103",
        level="district",
        grants=[Grant(item_code="administrative-penalty", division_prefix="5001")],
    )
    async with database.transaction() as session:
        await accounts.put_agency(session, load(), ACTOR, SystemClock().now(), AGENCY, body)
    warm = folder / "warm.csv"
    write_file(warm, 50, 50)
    path = folder / "rows.csv"
    write_file(path, rows, entities)
    await _import(database, executor, warm, "warm")
    idle = _resident(_processes())
    heap = statistics.median([await _copy(owner, path, keyed=False) for _ in range(3)])
    keyed = statistics.median([await _copy(owner, path, keyed=True) for _ in range(3)])
    await owner.execute("DROP TABLE bare")
    async with _highest() as peak:
        first, record = await _import(database, executor, path, "first")
    records = statistics.median([await _copy_stored(owner, owner_url, folder) for _ in range(3)])
    everything, side_by_side = [
        statistics.median(
            [await _copy_stored(owner, owner_url, folder, LEFT_BY_AN_IMPORT, connections=number) for _ in range(3)]
        )
        for number in (1, 2)
    ]
    again, repeated = await _import(database, executor, path, "again")
    stored = await owner.fetchval("SELECT count(*) FROM record_version")
    events = await owner.fetchval("SELECT count(*) FROM audit_event WHERE action = 'record.stored'")
    assert stored == events == record.stored + 50 or stored == events
    executor.shutdown()
    await database.close()
    await owner.close()
    return {
        "rows": rows,
        "entities": entities,
        "file_mebibytes": path.stat().st_size >> 20,
        "stored": record.stored,
        "unchanged_on_repeat": repeated.unchanged,
        "import_rows_per_second": round(rows / first),
        "repeat_rows_per_second": round(rows / again),
        "copy_into_record_table_rows_per_second": round(rows / records),
        "copy_into_keyed_text_rows_per_second": round(rows / keyed),
        "copy_into_bare_text_rows_per_second": round(rows / heap),
        "copy_of_everything_stored_rows_per_second": round(rows / everything),
        "copy_of_everything_stored_over_two_connections_rows_per_second": round(rows / side_by_side),
        "import_of_copy_of_everything_stored": round(everything / first, 4),
        "import_of_copy_into_record_table": round(records / first, 4),
        "import_of_copy_into_keyed_text": round(keyed / first, 4),
        "import_of_copy_into_bare_text": round(heap / first, 4),
        "memory_above_idle_mebibytes": peak[0] - idle,
        "peak_memory_of_this_process_mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


def run(rows: int = 100_000, entities: int = 20_000) -> dict[str, Any]:
    """One import of ``rows`` rows on a server of its own, and its peers."""
    folder = Path(tempfile.mkdtemp(prefix="credit-service-benchmark-"))
    folder.chmod(0o755)
    try:
        with EmbeddedServer(folder / "data") as server:
            migration.upgrade(server.owner_url)
            asyncio.run(synchronise(server.owner_url, load()))
            return asyncio.run(_measure(folder, server.service_url, server.owner_url, rows, min(entities, rows)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--entities", type=int, default=20_000)
    arguments = parser.parse_args()
    print(json.dumps(run(arguments.rows, arguments.entities), indent=1))


if __name__ == "__main__":
    main()
