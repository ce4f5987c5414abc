"""``credit-service serve``: everything in one command, on the embedded database or a configured one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated

import typer

from credit_service.cli.database import Addresses, DataDir, external, fail, prepare

STOP_SECONDS = 20


def serve(
    host: Annotated[str | None, typer.Option(help="监听地址 Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="端口 Port.")] = None,
    data: DataDir = None,
    workers: Annotated[int | None, typer.Option(help="进程数 Worker processes.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="装入演示数据 Load the demonstration data set.")] = False,
    log_format: Annotated[str | None, typer.Option(help="日志格式 json or console.")] = None,
) -> None:
    """启动服务 Start the service; without settings also its own PostgreSQL in the data folder."""
    chosen = {"HOST": host, "PORT": port, "DATA_DIR": data, "WORKERS": workers, "LOG_FORMAT": log_format}
    os.environ.update({f"CREDIT_{name}": str(value) for name, value in chosen.items() if value is not None})
    from credit_service.platform.settings import Settings

    settings = Settings()
    if not _free(settings.host, settings.port):
        raise fail(f"port {settings.port} on {settings.host} is in use; choose another with --port")
    signal.signal(signal.SIGTERM, _interrupt)
    with ExitStack() as stack, suppress(KeyboardInterrupt):
        found = external(settings) or _start_embedded(stack, settings.data_dir)
        os.environ["CREDIT_DATABASE_URL"] = found.service
        with _spinner("正在准备数据库 Preparing the database"):
            prepare(found.owner)
        if demo:
            _load_demo(found, settings.base_url, settings.keys_directory)
        stack.callback(_stop, _start_worker())
        _run_server(settings.host, settings.port, settings.workers)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _spinner(text: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - rich is imported late
    from rich.console import Console

    return Console(stderr=True).status(text)


def _start_embedded(stack: ExitStack, data_dir: Path) -> Addresses:
    from credit_service.platform.embedded import EmbeddedServer, EmbeddedServerError

    server = EmbeddedServer(data_dir)
    try:
        with _spinner("正在启动内置PostgreSQL Starting the embedded PostgreSQL"):
            server.start()
    except EmbeddedServerError as error:
        raise fail(str(error)) from error
    stack.callback(server.stop)
    return Addresses(server.service_url, server.owner_url)


def _load_demo(found: Addresses, base_url: str, keys_directory: Path) -> None:
    from credit_service.demo import load

    typer.echo(load(found.service, base_url=base_url, keys_directory=keys_directory))


def _start_worker() -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches this process, which then stops its parts in order.
    return subprocess.Popen([sys.executable, "-m", "credit_service.worker"], start_new_session=True)  # noqa: S603


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _run_server(host: str, port: int, workers: int) -> None:
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops

    Granian(
        "credit_service.app:create_app",
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        workers=workers,
        backpressure=512,
        websockets=False,
        log_access=False,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
        process_name="credit-service",
    ).serve()


def worker() -> None:
    """运行任务 Run the recurring jobs (production: a process of its own)."""
    from credit_service import worker as jobs

    jobs.run()


def healthcheck(
    url: Annotated[str, typer.Option(help="地址 Address.")] = "http://127.0.0.1:8000/readyz",
) -> None:
    """健康检查 Exit 0 when the service is ready."""
    import httpx

    try:
        status = httpx.get(url, timeout=5).status_code
    except httpx.HTTPError as error:
        raise fail(f"{type(error).__name__}") from error
    if status != 200:
        raise fail(f"{url}: {status}")
