"""``credit-service import``: send a file over HTTP, wait for the server when it goes away, and go on."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from credit_service.cli.database import fail

if TYPE_CHECKING:
    import httpx
    from rich.progress import Progress

CHUNK_BYTES = 1 << 18
RETRY_SECONDS = 1.0
PATIENCE_SECONDS = 300.0
SHOWN_REFUSALS = 10


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
) -> None:
    """批量报送 Import a file; a cut-off import goes on where it was.

    The key is the file's digest and a number: an import that was cut off is found again by it and resumed, a finished
    one is followed by the next number. Ends with 1 when rows were refused.
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
    with httpx.Client(base_url=server, headers=headers, timeout=httpx.Timeout(600, connect=5)) as http:
        with Progress(*columns, console=console, transient=True) as progress:
            done = _send_patiently(http, file, asked, key, progress)
        _report(console, http, done)
        if receipts is not None:
            _write_receipts(http, done, receipts)
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


def _send_patiently(
    http: httpx.Client, file: Path, asked: dict[str, str], key: str | None, progress: Progress
) -> dict[str, Any]:
    """Send until the server has answered; a finished import of the same key is passed over, unless it was asked for."""
    import httpx

    task = progress.add_task(file.name, total=file.stat().st_size)
    keys = _keys(file, asked, key)
    current = next(keys)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            response = _send(http, file, asked, current, progress, task)
        except httpx.TransportError as error:
            if time.monotonic() > deadline:
                raise fail(f"the server does not answer: {type(error).__name__}") from error
            progress.update(task, description=f"{file.name} (等待服务 waiting)")
            time.sleep(RETRY_SECONDS)
            continue
        if response.status_code in (409, 503):
            time.sleep(RETRY_SECONDS)
            continue
        if response.status_code == 200 and key is None:
            current = next(keys)
            continue
        if response.status_code not in (200, 201):
            raise fail(response.text)
        answer: dict[str, Any] = response.json()
        return answer


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
