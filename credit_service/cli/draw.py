"""``credit-service draw``: repeat a published draw of inspections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from credit_service.cli.database import fail

app = typer.Typer(help="抽取 Verify published draws of inspections.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """A group of commands, though it has one."""


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="抽取公示文件 What GET /v1/inspections/draws/{id} answered.")],
    openings: Annotated[
        Path | None, typer.Option(help="名单对应关系 For auditors: the answer of .../openings.", exists=True)
    ] = None,
    digest: Annotated[
        str | None, typer.Option(help="承诺摘要 The commitment's digest as it was noted before the draw.")
    ] = None,
) -> None:
    """核验 Repeat the draw from its published material, and say whether everything is as it was committed to."""
    import orjson

    from credit_service.supervision.inspections.rules import faults_of

    try:
        document: dict[str, Any] = orjson.loads(file.read_bytes())
        faults = faults_of(document, openings.read_bytes() if openings is not None else None)
        commitment = document["commitment"]["digest"]
        sizes = [len(stratum["entities"]) for stratum in document["material"]["strata"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise fail(f"not a published draw: {type(error).__name__}: {error}") from error
    if digest is not None and digest != commitment:
        faults.append("the commitment is not the one that was noted")
    if faults:
        raise fail("\n".join(faults))
    checked = " and the openings" if openings is not None else ""
    typer.echo(
        f"verified{checked}: {len(document['drawn'])} of {sum(sizes)} entities in {len(sizes)} strata, "
        f"{len(document['material']['inspectors'])} inspectors, commitment {commitment}"
    )
