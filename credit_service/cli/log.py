"""``credit-service log``: sign, export and verify the transparency log in the database, change its keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from credit_service.cli.database import DataDir, addresses, fail

if TYPE_CHECKING:
    from datetime import datetime

    from credit_service.audit.log import Log
    from credit_service.audit.signing import LogKeys
    from credit_service.platform.database import AnyConnection

T = TypeVar("T")

app = typer.Typer(help="透明日志 The transparency log.", no_args_is_help=True)
keys_app = typer.Typer(help="日志密钥 Keys that sign the log's heads.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")


def _keys(data: Path | None) -> LogKeys:
    from credit_service.audit.log import keys_of
    from credit_service.audit.sm2 import Sm2UnavailableError
    from credit_service.platform.settings import Settings

    try:
        return keys_of(Settings(data_dir=data) if data else Settings())
    except Sm2UnavailableError as error:
        raise fail(str(error)) from error


def _run(data: Path | None, use_case: Callable[[AnyConnection, Log, datetime], Awaitable[T]]) -> T:
    """Run on a connection of the service's role; a fault of the log ends the command with its name."""
    from credit_service.audit.log import Log
    from credit_service.audit.shards import LogCorruptError
    from credit_service.platform.clock import clock_of
    from credit_service.platform.database import Database
    from credit_service.platform.settings import Settings

    settings = Settings(data_dir=data) if data else Settings()

    async def inside(url: str) -> T:
        database = Database(url, role=settings.database_role)
        connection = await database.connect()
        try:
            log = Log(_keys(data), settings.base_url)
            return await use_case(connection, log, clock_of(settings.clock_file).now())
        finally:
            await connection.close()
            await database.close()

    with addresses(data) as found:
        try:
            return asyncio.run(inside(found.service))
        except LogCorruptError as error:
            raise fail(str(error)) from error


@app.command()
def checkpoint(data: DataDir = None) -> None:
    """签发检查点 Give every event its place, look at everything since the last head again, and sign."""

    async def use_case(connection: AnyConnection, log: Log, now: datetime) -> str:
        await log.sequence(connection, now, wait=True)
        found = await log.checkpoint(connection, now, wait=True)
        assert found is not None
        return found.text()

    typer.echo(_run(data, use_case), nl=False)


@app.command()
def reopen(data: DataDir = None) -> None:
    """续开 After a restore that lost signed entries: go on in a new log that commits to the head of the old."""

    async def use_case(connection: AnyConnection, log: Log, now: datetime) -> str:
        return (await log.reopen(connection, now)).origin

    typer.echo(_run(data, use_case))


@app.command()
def witnessed(data: DataDir = None) -> None:
    """征求见证 Ask every witness of CREDIT_LOG_WITNESSES now; fails unless all have signed the newest head."""
    from credit_service.audit.shards import shards
    from credit_service.audit.witnesses import ask_all
    from credit_service.platform.settings import Settings

    async def use_case(connection: AnyConnection, log: Log, now: datetime) -> dict[str, str]:
        return await ask_all(connection, await shards(connection), Settings().log_witnesses, now)

    outcomes = _run(data, use_case)
    for address, outcome in outcomes.items():
        typer.echo(f"{address}: {outcome}")
    if not outcomes or any(outcome.startswith(("refused", "failed")) for outcome in outcomes.values()):
        raise fail("not witnessed by all")


@app.command("export")
def export_log(
    folder: Annotated[Path, typer.Argument(help="文件夹 One folder for each year is made in it.")],
    entries: Annotated[
        bool, typer.Option("--entries", help="含条目 With entries: for auditors, not for the public.")
    ] = False,
    data: DataDir = None,
) -> None:
    """导出 Write the signed logs as static files in the C2SP tlog-tiles layout; run again, it adds what is new."""
    from credit_service.audit.export import export
    from credit_service.audit.reader import newest_head
    from credit_service.audit.shards import shards

    async def use_case(connection: AnyConnection, log: Log, now: datetime) -> list[tuple[str, int, int]]:
        written = []
        for shard in await shards(connection):
            head = await newest_head(connection, shard)
            if head is not None:
                target = folder / str(shard.number)
                files = await export(connection, shard, head.note, target, entries=entries)
                written.append((shard.origin, head.size, files))
        return written

    for origin, size, files in _run(data, use_case) or [("nothing signed yet", 0, 0)]:
        typer.echo(f"{origin}: {size} entries, {files} files written")


@app.command("verify")
def verify_stored(data: DataDir = None) -> None:
    """核验数据库 Verify every log in the database from its stored bytes; says how many entries were looked at."""
    from credit_service.audit.checkpoints import verify_stored as verify

    async def use_case(connection: AnyConnection, log: Log, now: datetime) -> list[tuple[str, int, int]]:
        return await verify(connection, _keys(data))

    found = _run(data, use_case)
    for origin, entries, heads in found:
        typer.echo(f"{origin}: {entries} entries and {heads} signed heads checked, all hold")
    if not sum(entries for _, entries, _ in found):
        raise fail("log-missing: nothing was checked")


@keys_app.command("sm2")
def make_sm2_key(
    file: Annotated[Path, typer.Argument(help="密钥文件 For CREDIT_LOG_SM2_KEY_FILE; must not be there yet.")],
    name: Annotated[str, typer.Option(help="签名者名称 Name of the signer, such as its address.")],
) -> None:
    """SM2密钥 Make a key that signs the heads with SM2 as well; prints the public half, to be published."""
    from credit_service.audit.signing import write_durably
    from credit_service.audit.sm2 import Sm2Signer, Sm2UnavailableError

    if file.exists():
        raise fail(f"{file} is there already")
    if not name or "+" in name or any(character.isspace() for character in name):
        raise fail("a name has neither spaces nor +")
    try:
        signer = Sm2Signer.made(name)
    except Sm2UnavailableError as error:
        raise fail(str(error)) from error
    write_durably(file, signer.content())
    typer.echo(str(signer.verifier))


@keys_app.command("list")
def list_keys(data: DataDir = None) -> None:
    """公钥列表 The verifier keys of every log, to be published where outsiders trust it."""
    from credit_service.audit.checkpoints import public_keys

    async def use_case(connection: AnyConnection, log: Log, now: datetime) -> list[str]:
        return [str(key) for key in await public_keys(connection)]

    for key in _run(data, use_case):
        typer.echo(key)


@keys_app.command("rotate")
def rotate(data: DataDir = None) -> None:
    """轮换密钥 Make a key that signs from now on beside the present one; ``retire`` ends the overlap."""
    from credit_service.audit.shards import open_shard

    async def use_case(connection: AnyConnection, log: Log, now: datetime) -> str:
        shard = await open_shard(connection)
        if shard is None:
            raise fail("no log yet: sign a first head with `credit-service log checkpoint`")
        return str(_keys(data).rotate(shard.origin).verifier)

    typer.echo(_run(data, use_case))


@keys_app.command("retire")
def retire(data: DataDir = None) -> None:
    """停用旧钥 Let the newest key alone sign."""
    typer.echo(f"retired {len(_keys(data).retire(''))}")
