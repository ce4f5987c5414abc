"""``credit-service openapi``, ``record-schemas``, ``permissions`` and ``version``."""

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


def record_schemas(
    check: Annotated[bool, typer.Option("--check", help="只核对 Fail when a file is not current.")] = False,
    output: Annotated[Path, typer.Option(help="文件夹 Folder.")] = Path("schemas/records"),
) -> None:
    """记录模式 Write (or check) the JSON Schema of each catalogue item's submissions."""
    import json

    from credit_service.catalogue.loader import load
    from credit_service.records.schemas import record_schemas as generated

    texts = {
        output / f"{code}.schema.json": json.dumps(schema, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
        for code, schema in generated(load()).items()
    }
    surplus = set(output.glob("*.schema.json")) - set(texts)
    if check:
        wrong = [p for p, text in texts.items() if not p.exists() or p.read_text(encoding="utf-8") != text]
        if wrong or surplus:
            raise fail(f"{min([*wrong, *surplus])} is not current: run `credit-service record-schemas`")
        return
    output.mkdir(parents=True, exist_ok=True)
    for path in surplus:
        path.unlink()
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    typer.echo(f"{output}: {len(texts)} schemas")


def permissions() -> None:
    """权限矩阵 Print who may do what, and how far, as Markdown."""
    from credit_service.accounts.matrix import page

    typer.echo(page(), nl=False)


def version() -> None:
    """版本 Versions of the program and its catalogue."""
    from credit_service import __version__
    from credit_service.catalogue.loader import configured
    from credit_service.platform.settings import Settings

    typer.echo(f"credit-service {__version__}, catalogue {configured(Settings()).edition}")
