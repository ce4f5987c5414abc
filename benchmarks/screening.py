"""``POST /v1/screenings`` with 10,000 codes beside single lookups of the same codes, on one served registry.

The public asks for lists, and for a scenario with its measures; an agency (here a regulator) for the same, each file
that it is shown being logged; and everybody by name, the names written as they are registered or in another way.

Single lookups are made one after another by one caller, as somebody without a screening would, and by 32 callers at
once. Rounds alternate, so that other work on the machine hits all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import random
import socket
import threading
import time
from datetime import UTC, datetime
from typing import Any

import asyncpg
import psutil

from benchmarks import population
from benchmarks.load import Target, generator, press
from benchmarks.lookup import PURPOSE, Registry, _lines, registry
from benchmarks.names import invented, places
from benchmarks.support import codes, machine, median, say
from credit_service.accounts import tokens
from credit_service.accounts.keys import KeyStore
from credit_service.entities import names
from credit_service.platform.database import connect_arguments

CODES = 10_000
SLICE_SECONDS = 2
STREAMED = 200_000
LIST = "serious-dishonesty-government-procurement"
RECORDS_AN_ENTITY = 5

# Every entity gets records until there are five on average; one in thirty is on a list.
_MORE_RECORDS = """
INSERT INTO record SELECT r.*
FROM bench_code c
CROSS JOIN LATERAL generate_series(1, $1::int) AS k
JOIN bench_code m ON m.n = 1 + (c.n + k) % 6
CROSS JOIN LATERAL (SELECT t FROM record t WHERE t.uscc = m.uscc ORDER BY t.id LIMIT 1) AS like_it
CROSS JOIN LATERAL json_populate_record(like_it.t, json_build_object('uscc', c.uscc, 'id', gen_random_uuid(),
    'document_number', '基准' || c.n || '-' || k,
    'item_code', CASE WHEN (c.n + k) % 150 = 0 THEN $2::text ELSE (like_it.t).item_code END)) AS r
WHERE c.n BETWEEN $3 AND $4
"""
BLOCK = 100_000


async def fill(found: Registry, entities: int) -> int:
    """Bring the registry to five records an entity; gives how many there are."""
    connection = await asyncpg.connect(**connect_arguments(found.server.superuser_url))
    try:
        await connection.execute("SET synchronous_commit = off; SET timezone = 'UTC'")
        before = await connection.fetchval("SELECT count(*) FROM record")
        each = -(-(RECORDS_AN_ENTITY * entities - before) // entities)
        for start in range(1, entities + 1, BLOCK):
            await connection.execute(_MORE_RECORDS, each, LIST, start, start + BLOCK - 1)
            say(f"records of {min(entities, start + BLOCK - 1)} of {entities} entities")
        await connection.execute("VACUUM (ANALYZE) record, entity")
        await connection.execute("CHECKPOINT")
        counted: int = await connection.fetchval("SELECT count(*) FROM record")
        return counted
    finally:
        await connection.close()


async def fill_names(found: Registry, every: list[str]) -> list[str]:
    """Give each entity an invented name; gives names to screen, a third as registered, the others typed otherwise."""
    chance, where, asked = random.Random(45255), places(), []
    connection = await asyncpg.connect(**connect_arguments(found.server.superuser_url))
    try:
        await connection.execute("SET synchronous_commit = off; DELETE FROM entity_name")
        for start in range(0, len(every), BLOCK):
            rows = []
            for number, uscc in enumerate(every[start : start + BLOCK], start):
                division, trade_name, trade, form = invented(chance, where)
                name = division + trade_name + trade + form
                identifier = f"00000000-0000-7000-8000-{number:012x}"
                rows.append((uscc, identifier, name, None, None, *names.keys_of(name)))
                ways = name, trade_name + trade, f"{trade_name}（{division}）{trade}{form}"
                asked.append(ways[number % 3])
            await connection.copy_records_to_table("entity_name", records=rows)
            say(f"names of {start + len(rows)} of {len(every)} entities")
        await connection.execute("VACUUM (ANALYZE) entity_name")
        return asked
    finally:
        await connection.close()


def agency(found: Registry) -> dict[str, str]:
    """What a regulator sends with its queries."""
    token = tokens.issue(
        KeyStore(found.folder / "keys"),
        issuer=found.base_url,
        principal=population.REGULATOR,
        now=datetime.now(UTC),
        lifetime_seconds=6 * 3600,
    )
    return {"Authorization": f"Bearer {token}", **PURPOSE}


class Screener:
    """One caller of the screening, over one keep-alive connection."""

    def __init__(
        self,
        found: Registry,
        every: list[str],
        scenario: str | None,
        *,
        member: str = "codes",
        headers: dict[str, str] | None = None,
    ) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", found.port, timeout=120)
        self._every, self._scenario, self._member = every, scenario, member
        self._headers = {"Content-Type": "application/json"} | (headers or {})

    def call(self, chance: random.Random) -> float:
        """Seconds of one call; the answer is checked for its size only."""
        body = {self._member: chance.sample(self._every, CODES), "scenario": self._scenario}
        sent = json.dumps(body).encode()
        began = time.perf_counter()
        self._connection.request("POST", "/v1/screenings", sent, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        seconds = time.perf_counter() - began
        if answer.status != 200 or content.count(b'"index":') != CODES:
            raise SystemExit(f"screening: {answer.status} {content[:300]!r}")
        return seconds


def stream(found: Registry, every: list[str]) -> dict[str, Any]:
    """A stream read while it is sent: codes a second, and the service's memory before and at most."""
    process = psutil.Process(found.process)
    family = [process, *process.children(recursive=True)]

    def memory() -> int:
        return sum(each.memory_info().rss for each in family) >> 20

    before, most, lines = memory(), 0, 0
    connection = socket.create_connection(("127.0.0.1", found.port), timeout=120)

    def send() -> None:
        head = "POST /v1/screenings/stream?scenario=procurement HTTP/1.1\r\nHost: x\r\n"
        head += "Transfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        for start in range(0, STREAMED, 2000):
            block = "".join(f'{{"code":"{every[(start + n) % len(every)]}"}}\n' for n in range(2000)).encode()
            connection.sendall(b"%x\r\n%b\r\n" % (len(block), block))
        connection.sendall(b"0\r\n\r\n")

    began = time.perf_counter()
    sender = threading.Thread(target=send)
    sender.start()
    tail = b""
    while not tail.endswith(b"0\r\n\r\n"):
        received = connection.recv(1 << 16)
        if not received:
            raise SystemExit("the stream broke off")
        lines += received.count(b'"index":')
        tail = (tail + received)[-2000:]
        most = max(most, memory())
    seconds = time.perf_counter() - began
    sender.join()
    connection.close()
    if b'"jws"' not in tail:
        raise SystemExit(f"the stream ended unsigned: {tail!r}")
    return {
        "codes": STREAMED,
        "codes_per_second": round(STREAMED / seconds),
        "memory_before_mb": before,
        "memory_most_mb": most,
    }


def run(entities: int, rounds: int, calls: int) -> dict[str, Any]:
    with registry(entities) as found:
        records = asyncio.run(fill(found, entities))
        every = list(codes(entities))
        lookup = Target(found.port, "/v1/entities/", _lines(found, "public"))
        asked = asyncio.run(fill_names(found, every))
        callers = {
            "procurement": Screener(found, every, "procurement"),
            "lists only": Screener(found, every, None),
            "procurement, by an agency": Screener(found, every, "procurement", headers=agency(found)),
            "names": Screener(found, asked, None, member="names"),
        }
        chance = random.Random(32100)
        for caller in callers.values():
            caller.call(chance)
        press(lookup, connections=1, seconds=1, seed=0)
        times: dict[str, list[float]] = {name: [] for name in callers}
        rates: dict[str, list[float]] = {"single": [], "single_32": []}
        ratios: dict[str, list[float]] = {"single": [], "single_32": []}
        for number in range(1, rounds + 1):
            mine = {name: [caller.call(chance) for _ in range(calls)] for name, caller in callers.items()}
            for name, seconds in mine.items():
                times[name] += seconds
            rate = CODES / median(mine["procurement"], 6)
            for name, connections in (("single", 1), ("single_32", 32)):
                rates[name].append(press(lookup, connections=connections, seconds=SLICE_SECONDS, seed=number)["rps"])
                ratios[name].append(rate / rates[name][-1])
            alone, many = rates["single"][-1], rates["single_32"][-1]
            say(f"round {number}/{rounds}: {rate:.0f} codes/s, {alone:.0f} lookups/s by one caller, {many:.0f} by 32")
        streamed = stream(found, every)
    return {
        "benchmark": "screening",
        "machine": machine(),
        "load_generator": generator(),
        "entities": entities,
        "records": records,
        "codes_a_call": CODES,
        "screening": _all_figures(times),
        "single_lookups_per_second": {name: round(median(found_rates)) for name, found_rates in rates.items()},
        "stream": streamed,
        "targets": _targets(times, ratios),
        "over_32_callers_at_once": median(ratios["single_32"]),
    }


def _all_figures(times: dict[str, list[float]]) -> dict[str, Any]:
    return {name: _figures(seconds) for name, seconds in times.items()}


def _figures(seconds: list[float]) -> dict[str, Any]:
    ordered = sorted(seconds)
    middle = median(ordered, 6)
    return {
        "calls": len(ordered),
        "codes_per_second": round(CODES / middle),
        "p50_ms": round(middle * 1000, 1),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 1),
    }


def _targets(times: dict[str, list[float]], ratios: dict[str, list[float]]) -> dict[str, Any]:
    over = median(ratios["single"])
    tails = {name: round(each["p99_ms"] / each["p50_ms"], 2) for name, each in _all_figures(times).items()}
    return {
        "codes_over_single_lookups": {"at_least": 25.0, "measured": over, "met": over >= 25.0},
        "p99_over_p50": {"below": 4.0, "measured": tails, "met": max(tails.values()) < 4.0},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1_000_000, help="entities, with five records each")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--calls", type=int, default=20, help="screenings of each kind in a round")
    options = parser.parse_args()
    if options.size < CODES:
        raise SystemExit(f"at least {CODES} entities")
    print(json.dumps(run(options.size, options.rounds, options.calls), ensure_ascii=False, indent=2))


if __name__ == "__main__":
    main()
