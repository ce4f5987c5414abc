"""Load on one address over uniformly random codes: wrk where it is installed, otherwise a client of our own.

Our own client (``python -m benchmarks.load JSON``) is a process of its own: keep-alive connections, bare asyncio
protocols on uvloop, requests made beforehand. It costs more processor time than wrk, which on a machine of two cores
is taken from the server; ratios suffer less than rates.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

CODE = 18
SCRIPT = Path(__file__).with_name("lookup.lua")


@dataclass(frozen=True)
class Target:
    """What to ask for: lines of codes (``width`` 18) or of codes with the ETag of the copy at hand."""

    port: int
    prefix: str
    lines: str
    width: int = CODE
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    suffix: str = ""


def generator() -> str:
    """The name of the load generator that ``press`` uses here."""
    return "wrk" if shutil.which("wrk") else "asyncio"


def press(target: Target, *, connections: int, seconds: float, seed: int) -> dict[str, Any]:
    """One slice of load. Raises SystemExit when a request failed."""
    run = _wrk if generator() == "wrk" else _asyncio
    found = run(target, connections, seconds, seed)
    if found["failed"] or not found["requests"]:
        raise SystemExit(f"{target.prefix}: {found}")
    return {"rps": found["requests"] / found["seconds"], "p50_ms": found["p50_ms"], "p99_ms": found["p99_ms"]}


def _wrk(target: Target, connections: int, seconds: float, seed: int) -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        headers = [part for name, value in target.headers.items() for part in ("-H", f"{name}: {value}")]
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", *headers, "-s", str(SCRIPT)]
        command += [f"http://127.0.0.1:{target.port}/", "--", target.lines, str(target.width), target.prefix]
        done = subprocess.run(
            [*command, str(seed), str(result), target.suffix], capture_output=True, text=True, check=False
        )
        if done.returncode or not result.exists():
            raise SystemExit(f"wrk: {done.stdout}{done.stderr}")
        found: Mapping[str, Any] = json.loads(result.read_text())
        return found


def _asyncio(target: Target, connections: int, seconds: float, seed: int) -> Mapping[str, Any]:
    order = json.dumps({**asdict(target), "connections": connections, "seconds": seconds, "seed": seed})
    done = subprocess.run([sys.executable, "-m", "benchmarks.load", order], stdout=subprocess.PIPE, check=True)
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


class _Caller(asyncio.Protocol):
    """One keep-alive connection: the next request leaves when the last answer is whole."""

    def __init__(self, requests: list[bytes], status: int, times: list[float], until: float) -> None:
        self._requests, self._times, self._until = requests, times, until
        self._expected = b"HTTP/1.1 %d" % status
        self._choose = random.randrange
        self._buffer = b""
        self.failed = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._requests[self._choose(len(self._requests))])

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0 or len(buffer) < end + 4 + self._body_bytes(buffer[:end]):
            self._buffer = buffer
            return
        self._buffer = b""
        now = time.perf_counter()
        self._times.append(now - self._began)
        self.failed += not buffer.startswith(self._expected)
        if now < self._until:
            self._ask()
        else:
            self._transport.close()

    @staticmethod
    def _body_bytes(head: bytes) -> int:
        at = head.find(b"content-length: ")
        return int(head[at + 16 :].split(b"\r", 1)[0]) if at >= 0 else 0

    def connection_lost(self, error: Exception | None) -> None:
        self.failed += time.perf_counter() < self._until
        if not self.ended.done():
            self.ended.set_result(None)


def _requests(order: Mapping[str, Any], most: int = 200_000) -> list[bytes]:
    lines, width = Path(order["lines"]).read_text(), order["width"]
    tail = "".join(f"{name}: {value}\r\n" for name, value in order["headers"].items())
    made = []
    places = range(len(lines) // width)
    for number in places if len(places) <= most else random.sample(places, most):
        line = lines[number * width : (number + 1) * width]
        own = f"If-None-Match: {line[CODE:]}\r\n" if width > CODE else ""
        path = f"{order['prefix']}{line[:CODE]}{order['suffix']}"
        made.append(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{tail}{own}\r\n".encode())
    return made


async def _call(order: Mapping[str, Any]) -> dict[str, Any]:
    random.seed(order["seed"])
    requests, times, loop = _requests(order), [], asyncio.get_running_loop()
    began = time.perf_counter()
    callers = []
    for _ in range(order["connections"]):
        caller = _Caller(requests, order["status"], times, began + order["seconds"])
        await loop.create_connection(lambda made=caller: made, "127.0.0.1", order["port"])
        callers.append(caller)
    await asyncio.gather(*(caller.ended for caller in callers))
    elapsed = time.perf_counter() - began
    times.sort()
    at = {name: times[int(len(times) * share)] * 1e3 for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99))}
    failed = sum(caller.failed for caller in callers)
    return {"requests": len(times), "seconds": elapsed, **at, "failed": failed}


if __name__ == "__main__":
    import uvloop

    print(json.dumps(uvloop.run(_call(json.loads(sys.argv[1])))))
