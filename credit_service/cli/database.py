"""``credit-service db``: bring the database to a revision, and say where it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession

    from credit_service.platform.context import Actor
    from credit_service.platform.settings import Settings

T = TypeVar("T")

app = typer.Typer(help="数据库 Migrate the database.", no_args_is_help=True)

DataDir = Annotated[Path | None, typer.Option("--data", help="数据目录 Data folder of the embedded PostgreSQL.")]


@dataclass(frozen=True)
class Addresses:
    """Where the service and the owner of the tables connect."""

    service: str
    owner: str


def fail(message: str) -> typer.Exit:
    """Say why on standard error and end with 1."""
    typer.echo(message, err=True)
    return typer.Exit(1)


def external(settings: Settings) -> Addresses | None:
    """The addresses of CREDIT_DATABASE_URL, if it is set."""
    if settings.database_url is None:
        return None
    service = settings.database_url.get_secret_value()
    owner = settings.database_owner_url.get_secret_value() if settings.database_owner_url else service
    return Addresses(service, owner)


@contextmanager
def addresses(data: Path | None) -> Iterator[Addresses]:
    """The configured server, or the embedded one: started for this command, or the one that already serves."""
    from credit_service.platform.embedded import AlreadyRunning, EmbeddedServer, EmbeddedServerError
    from credit_service.platform.settings import Settings

    settings = Settings()
    found = external(settings)
    if found is not None:
        yield found
        return
    server = EmbeddedServer(data or settings.data_dir, wal_archive=settings.wal_archive_dir)
    try:
        server.start()
    except AlreadyRunning:
        yield Addresses(server.service_url, server.owner_url)
        return
    except EmbeddedServerError as error:
        raise fail(str(error)) from error
    try:
        yield Addresses(server.service_url, server.owner_url)
    finally:
        server.stop()


def run_as_operator(data: Path | None, use_case: Callable[[AsyncSession, Actor, datetime], Awaitable[T]]) -> T:
    """Run a use case as the operator, in one transaction; a problem ends the command with its message."""
    import asyncio

    from credit_service.platform.clock import SystemClock
    from credit_service.platform.context import Actor
    from credit_service.platform.database import Database
    from credit_service.platform.errors import Problem
    from credit_service.platform.settings import Settings

    async def inside(url: str) -> T:
        database = Database(url, role=Settings().database_role)
        try:
            async with database.transaction() as session:
                return await use_case(session, Actor("operator", "cli"), SystemClock().now())
        finally:
            await database.close()

    with addresses(data) as found:
        try:
            return asyncio.run(inside(found.service))
        except Problem as problem:
            raise fail(str(problem)) from problem


def prepare(owner_url: str) -> None:
    """Migrate to the newest revision and bring the catalogue's names into the database."""
    import asyncio

    from credit_service.catalogue.loader import CatalogueError, configured
    from credit_service.catalogue.store import synchronise
    from credit_service.platform import migration
    from credit_service.platform.settings import Settings

    try:
        catalogue = configured(Settings())
    except CatalogueError as error:
        raise fail(str(error)) from error
    migration.upgrade(owner_url)
    asyncio.run(synchronise(owner_url, catalogue))


@app.command()
def upgrade(revision: Annotated[str, typer.Argument()] = "head", data: DataDir = None) -> None:
    """升级 Bring the database to a revision (default: the newest)."""
    from credit_service.platform import migration

    with addresses(data) as found:
        if revision == "head":
            prepare(found.owner)
        else:
            migration.upgrade(found.owner, revision)
        typer.echo(f"database at {revision}")


@app.command()
def downgrade(revision: Annotated[str, typer.Argument()], data: DataDir = None) -> None:
    """回退 Take the database back to a revision; ``base`` removes every table and all data."""
    from credit_service.platform import migration

    with addresses(data) as found:
        migration.downgrade(found.owner, revision)
        typer.echo(f"database at {revision}")


@app.command()
def current(data: DataDir = None) -> None:
    """当前版本 The revision the database is at, and the program's."""
    import asyncio

    from credit_service.platform import migration

    with addresses(data) as found:
        at = asyncio.run(migration.current(found.owner))
    typer.echo(f"database {at}, program {migration.head()}")


@app.command()
def check(data: DataDir = None) -> None:
    """核对 Fail when the tables in the code and in the migrated database differ."""
    from alembic.util.exc import AutogenerateDiffsDetected

    from credit_service.platform import migration

    with addresses(data) as found:
        try:
            migration.check(found.owner)
        except AutogenerateDiffsDetected as error:
            raise fail(str(error)) from error
