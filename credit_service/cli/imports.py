"""``credit-service import``: send a file over HTTP, wait for the server when it goes away, and go on."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from credit_service.cli.database import fail

if TYPE_CHECKING:
    import httpx
    from rich.progress import Progress

CHUNK_BYTES = 1 << 18
RETRY_SECONDS = 1.0
WAIT_SECONDS = 60.0
SHOWN_REFUSALS = 10
BUSY = frozenset({408, 409, 429, 502, 503, 504})
"""Answers that mean not now: too slow or too much at once, the same import under way, nothing behind the proxy."""
UNFINISHED = 75
"""The end of a command whose server went away: EX_TEMPFAIL of sysexits.h, try again."""


def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="文件 XLSX, CSV or NDJSON.")],
    *,
    template: Annotated[str, typer.Option(help="数据模板, auto按表头识别 Template.")] = "auto",
    atomicity: Annotated[str, typer.Option(help="row 逐行, file 整批.")] = "row",
    server: Annotated[str, typer.Option(envvar="CREDIT_SERVER", help="服务地址 Server.")] = "http://127.0.0.1:8000",
    token: Annotated[str | None, typer.Option(envvar="CREDIT_TOKEN", help="访问令牌 Access token.")] = None,
    key: Annotated[str | None, typer.Option(help="幂等键 Idempotency-Key; default: a new import of this file.")] = None,
    notices_served: Annotated[
        str | None, typer.Option(help="告知送达声明 Reference of the proof that every subject was notified.")
    ] = None,
    receipts: Annotated[Path | None, typer.Option(help="回执文件 Write every receipt here as NDJSON.")] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="服务无应答时最多等待秒数 Seconds to wait for a server that does not answer.")
    ] = WAIT_SECONDS,
) -> None:
    """批量报送 Import a file; a cut-off import goes on where it was.

    The key is the file's digest and a number: an import that was cut off is found again by it and resumed, a finished
    one is followed by the next number. A server that does not answer is waited for, and says so at once.

    Ends with 1 when rows or the whole import were refused, with 75 when the server did not come back in time: the
    same command goes on where it was.
    """
    if token is None:
        raise fail("an access token is needed: --token or CREDIT_TOKEN")
    import httpx
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    headers = {"Authorization": f"Bearer {token}"}
    asked = {"template": template, "atomicity": atomicity, "file_name": file.name[:200]}
    if notices_served is not None:
        asked["notice_attestation"] = notices_served
    # Each request has a connection of its own: a kept one may be closed at the other end as it is taken up again.
    one_use, times = httpx.Limits(max_keepalive_connections=0), httpx.Timeout(600, connect=5)
    with httpx.Client(base_url=server, headers=headers, timeout=times, limits=one_use) as http:
        with Progress(*columns, console=console, transient=True) as progress:
            patience = Patience(wait, server, lambda text: console.print(text, markup=False, highlight=False))
            done = _send_patiently(http, file, asked, key, progress, patience)
        try:
            _report(console, http, done)
            if receipts is not None:
                _write_receipts(http, done, receipts)
        except httpx.TransportError as error:
            patience.say(f"the import is {done['state']}; its receipts, {done['receipts']}: {type(error).__name__}")
            raise typer.Exit(UNFINISHED) from error
    if done["refused"]:
        raise typer.Exit(1)


def _keys(file: Path, asked: dict[str, str], key: str | None) -> Iterator[str]:
    if key is not None:
        yield key
        return
    digest = hashlib.sha256("\0".join(asked.values()).encode())
    with file.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            digest.update(chunk)
    number = 0
    while True:
        number += 1
        yield f"{digest.hexdigest()[:32]}:{number}"


@dataclass
class Patience:
    """How long a server is waited for: ``seconds`` from when it was first missed, anew after it has taken more."""

    seconds: float
    server: str
    say: Callable[[str], None]
    missed_at: float | None = None
    furthest: int = 0

    def missed(self, reason: str, sent: int) -> None:
        """It did not answer, or not now. Raises ``typer.Exit`` when it has been waited for long enough."""
        now = time.monotonic()
        if self.missed_at is None or sent > self.furthest:
            self.missed_at = now
            self.say(f"服务无应答 {self.server}: {reason}; waiting for it up to {self.seconds:g} s (--wait)")
        self.furthest = max(sent, self.furthest)
        if now - self.missed_at >= self.seconds:
            self.say(
                f"服务未恢复 {self.server} did not come back within {self.seconds:g} s: {reason}. What it has stored "
                "stays; run the same command again and the import goes on where it was"
            )
            raise typer.Exit(UNFINISHED)
        time.sleep(min(RETRY_SECONDS, self.seconds))


def _send_patiently(
    http: httpx.Client, file: Path, asked: dict[str, str], key: str | None, progress: Progress, patience: Patience
) -> dict[str, Any]:
    """Send until the server has answered; a finished import of the same key is passed over, unless it was asked for."""
    import httpx

    task = progress.add_task(file.name, total=file.stat().st_size)
    keys = _keys(file, asked, key)
    current = next(keys)
    while True:
        try:
            response = _send(http, file, asked, current, progress, task)
        except httpx.TransportError as error:
            progress.update(task, description=f"{file.name} (等待服务 waiting)")
            patience.missed(type(error).__name__, int(progress.tasks[0].completed))
            continue
        if response.status_code in BUSY:
            patience.missed(_why(response), patience.furthest)
            continue
        if response.status_code == 200 and key is None:
            current = next(keys)
            continue
        if response.status_code not in (200, 201):
            raise fail(response.text)
        answer: dict[str, Any] = response.json()
        return answer


def _why(response: httpx.Response) -> str:
    """What an answer other than success says, in a line."""
    if not response.headers.get("content-type", "").startswith("application/problem+json"):
        return f"HTTP {response.status_code}"
    problem = response.json()
    return f"HTTP {response.status_code}, {problem.get('detail') or problem['title_en']}"


def _send(
    http: httpx.Client, file: Path, asked: dict[str, str], key: str, progress: Progress, task: Any
) -> httpx.Response:
    def content() -> Iterator[bytes]:
        progress.reset(task, description=file.name)
        with file.open("rb") as source:
            while chunk := source.read(CHUNK_BYTES):
                yield chunk
                progress.advance(task, len(chunk))

    headers = {"Idempotency-Key": key, "Content-Type": "application/octet-stream"}
    return http.post("/v1/imports", params=asked, content=content(), headers=headers)


def _report(console: Any, http: httpx.Client, done: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(title=f"{done['file_name']}  {done['template']}  {done['state']}")
    for name in ("rows", "stored", "unchanged", "corrected", "refused", "natural_person"):
        table.add_column(name, justify="right")
    table.add_row(
        *(str(done[name]) for name in ("rows", "stored", "unchanged", "corrected", "refused", "natural_person"))
    )
    console.print(table)
    if not done["refused"]:
        return
    page = http.get(done["receipts"], params={"outcome": "refused", "limit": SHOWN_REFUSALS}).json()
    for receipt in page["receipts"]:
        reasons = "; ".join(f"{error['pointer']}: {error['rule']}" for error in receipt.get("errors") or [])
        console.print(f"  row {receipt['row']}: {reasons}", markup=False, highlight=False)


def _write_receipts(http: httpx.Client, done: dict[str, Any], target: Path) -> None:
    with (
        http.stream("GET", done["receipts"], headers={"Accept": "application/x-ndjson"}) as response,
        target.open("wb") as output,
    ):
        for chunk in response.iter_bytes():
            output.write(chunk)
