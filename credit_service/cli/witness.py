"""``credit-service witness``: keep watch over other registries' logs. Needs no database."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from credit_service.cli.database import fail

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from credit_service.audit.notes import Verifier

app = typer.Typer(help="见证 A witness for logs of others.", no_args_is_help=True)

Folder = Annotated[Path, typer.Option("--folder", help="密钥与状态 Folder of the key and the state file.")]
Name = Annotated[str, typer.Option("--name", help="见证人名 Name under which it signs, like example.org/witness.")]


@app.command()
def key(name: Name, folder: Folder = Path("witness")) -> None:
    """公钥 The verifier key to hand to the logs; made the first time."""
    from credit_service.audit.witness_server import new_key

    typer.echo(str(new_key(folder / "key.pem", name).verifier))


@app.command()
def serve(
    name: Name,
    log: Annotated[list[str], typer.Option("--log", help="日志公钥 Verifier key of a log it watches; repeatable.")],
    folder: Folder = Path("witness"),
    host: Annotated[str, typer.Option(help="监听地址 Address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="端口 Port.")] = 8010,
) -> None:
    """运行见证 Sign heads (C2SP tlog-witness) of the logs it knows, and of each only what continues the last."""
    from granian import Granian
    from granian.constants import Interfaces

    from credit_service.audit.notes import NoteError, Verifier
    from credit_service.audit.witness_server import new_key

    try:
        logs = [Verifier.parse(text) for text in log]
    except NoteError as error:
        raise fail(str(error)) from error
    new_key(folder / "key.pem", name)
    typer.echo(f"witness {name} on http://{host}:{port}", err=True)
    server = Granian("witness", address=host, port=port, interface=Interfaces.ASGI, websockets=False)
    server.serve(target_loader=partial(_application, os.getpid(), name, logs, folder), wrap_loader=False)


def _application(parent: int, name: str, logs: list[Verifier], folder: Path) -> Starlette:
    """The application, in the process that serves it: granian's own of one process can abort as it ends."""
    from credit_service.audit.witness_server import Witness, application, new_key
    from credit_service.platform.clock import SystemClock
    from credit_service.platform.parents import end_with

    end_with(parent)
    return application(Witness(new_key(folder / "key.pem", name), logs, folder / "heads.json"), SystemClock())
