"""``credit-service supervision``: compute every risk class anew, and go on where that was cut off."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from credit_service.cli.database import DataDir, addresses, fail

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress, TaskID

    from credit_service.platform.settings import Settings

ANOTHER_LOOK_SECONDS = 0.5

app = typer.Typer(help="分级分类监管 Risk classes of the whole population.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """A group of commands, though it has one."""


@app.command()
def recompute(data: DataDir = None) -> None:
    """全量重算 Compute every class by the rule set in force; a computation that was cut off goes on where it was.

    The same as the worker's monthly job, which may work on the same run beside it: each range is taken once.
    """
    from credit_service.platform.errors import Problem
    from credit_service.platform.settings import Settings

    settings = Settings()
    with addresses(data) as found:
        try:
            entities, changed, resumed = asyncio.run(_recompute(found.service, settings))
        except Problem as problem:
            raise fail(str(problem)) from problem
    typer.echo(f"{'resumed' if resumed else 'computed'}: {entities} entities judged, {changed} changed")


async def _recompute(url: str, settings: Settings) -> tuple[int, int, bool]:
    """Entities judged and changed by the run as a whole, and whether it had been begun before."""
    from credit_service.catalogue.loader import configured
    from credit_service.platform.clock import clock_of
    from credit_service.platform.context import Actor
    from credit_service.platform.database import Database
    from credit_service.supervision.classes import runs, store

    catalogue, clock = configured(settings), clock_of(settings.clock_file)
    database = Database(url, role=settings.database_role)
    try:
        run_id, resumed = await runs.continue_full(database, Actor("operator", "cli"), clock)
        async with database.transaction() as session:
            before, population = await runs.progress(session, run_id), await store.population(session)
        with _bar() as bar:
            task = bar.add_task("重算分类 classes", completed=before.entities, total=population)
            told = _teller(bar, task)
            while True:
                await runs.work(database, catalogue, clock, run_id, told=told)
                async with database.transaction() as session:
                    run, done = await store.run(session, run_id), await runs.progress(session, run_id)
                if run is None or run.state != "open":
                    break
                await asyncio.sleep(ANOTHER_LOOK_SECONDS)  # somebody else has the last ranges
        if run is None or run.state != "finished":
            raise fail("another computation took the place of this one: call again to follow it")
        return done.entities, done.changed, resumed
    finally:
        await database.close()


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _teller(bar: Progress, task: TaskID) -> Callable[[int, int], None]:
    return lambda judged, changed: bar.advance(task, judged)
