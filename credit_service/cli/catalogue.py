"""``credit-service catalogue``: for editors of the law as data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from credit_service.cli.database import fail

app = typer.Typer(help="目录 Check and show the legal catalogue.", no_args_is_help=True)


@app.command()
def check(
    directory: Annotated[Path | None, typer.Argument(help="目录文件夹 Folder with the YAML files.")] = None,
) -> None:
    """核对 Validate an edition; every fault with file, line and reason."""
    from credit_service.catalogue.loader import CatalogueError, load

    try:
        catalogue = load(directory)
    except CatalogueError as error:
        raise fail(str(error)) from error
    typer.echo(
        f"edition {catalogue.edition}: {len(catalogue.items)} items, {len(catalogue.rules)} rules, "
        f"{len(catalogue.measures)} measures, {len(catalogue.documents)} documents"
    )


@app.command()
def show(
    code: Annotated[str, typer.Argument(help="目录事项代码 Catalogue item.")],
    on: Annotated[str | None, typer.Option("--on", help="决定日期 Decision date, YYYY-MM-DD.")] = None,
) -> None:
    """查看 An item and its rules for decisions of a day."""
    from datetime import date

    from credit_service.catalogue.loader import RULE_REFERENCES, load
    from credit_service.catalogue.rules import item_in_force, rule_for
    from credit_service.platform.errors import Problem

    catalogue = load()
    day = date.fromisoformat(on) if on else date.today()  # noqa: DTZ011 - a reader's default, not a rule
    try:
        item = item_in_force(catalogue, code, day)
    except Problem as problem:
        raise fail(str(problem)) from problem
    typer.echo(f"{item.code}  {item.name_zh}  {item.name_en}  ({item.polarity}, {item.status}, edition {item.edition})")
    for basis in item.legal_basis:
        typer.echo(f"  basis {catalogue.documents[basis.document].title_zh} {basis.article or ''} [{basis.status}]")
    for kind in RULE_REFERENCES:
        rule = rule_for(catalogue, kind, getattr(item, f"{kind}_rule"), day, day)
        if rule is not None:
            typer.echo(f"  {kind}: {rule.version} [{rule.status}] {dict(rule.body)}")
