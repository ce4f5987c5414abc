"""``credit-service openapi`` and ``version``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from credit_service.cli.database import fail


def openapi(
    check: Annotated[bool, typer.Option("--check", help="只核对 Fail when the file is not current.")] = False,
    output: Annotated[Path, typer.Option(help="文件 File.")] = Path("schemas/openapi.json"),
) -> None:
    """接口描述 Write (or check) the OpenAPI document."""
    import json

    from credit_service.app import create_app
    from credit_service.platform.settings import Settings

    document = create_app(Settings(public_url="http://127.0.0.1:8000")).openapi()
    text = json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    if not check:
        output.write_text(text, encoding="utf-8")
        typer.echo(f"{output}: {len(document['paths'])} paths")
    elif not output.exists() or output.read_text(encoding="utf-8") != text:
        raise fail(f"{output} is not current: run `credit-service openapi`")


def version() -> None:
    """版本 Versions of the program and its catalogue."""
    from credit_service import __version__
    from credit_service.catalogue.loader import load

    typer.echo(f"credit-service {__version__}, catalogue {load().edition}")
