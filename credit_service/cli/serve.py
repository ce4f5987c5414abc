"""``credit-service serve``: everything in one command, on the embedded database or a configured one."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from credit_service.cli.database import Addresses, DataDir, external, fail, prepare
from credit_service.cli.processes import PARENT, STOP_SECONDS, Companions, job_runner

if TYPE_CHECKING:
    from credit_service.platform.embedded import EmbeddedServer
    from credit_service.platform.settings import Settings

PORT_SECONDS = 2.0


def serve(
    *,
    host: Annotated[str | None, typer.Option(help="监听地址 Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="端口 Port.")] = None,
    data: DataDir = None,
    workers: Annotated[int | None, typer.Option(help="进程数 Worker processes.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="装入演示数据 Load the demonstration data set.")] = False,
    movable_clock: Annotated[
        bool,
        typer.Option("--movable-clock", help="时钟可拨动 The clock may be moved; demo only."),
    ] = False,
    jobs: Annotated[bool, typer.Option(help="同时运行任务 Run the recurring jobs too; off beside `worker`.")] = True,
    log_format: Annotated[str | None, typer.Option(help="日志格式 json or console.")] = None,
) -> None:
    """启动服务 Start the service; without settings also its own PostgreSQL in the data folder."""
    chosen = {"HOST": host, "PORT": port, "DATA_DIR": data, "WORKERS": workers, "LOG_FORMAT": log_format}
    os.environ.update({f"CREDIT_{name}": str(value) for name, value in chosen.items() if value is not None})
    from credit_service.platform.settings import Settings

    settings = Settings()
    if movable_clock:
        if not demo:
            raise fail("--movable-clock is for demonstrations: add --demo")
        os.environ["CREDIT_CLOCK_FILE"] = str(settings.data_dir / "clock")
        settings = Settings()
    if not _free(settings.host, settings.port):
        raise fail(f"port {settings.port} on {settings.host} is in use; choose another with --port")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    companions: Companions | None = None
    with ExitStack() as stack, suppress(KeyboardInterrupt):
        found, server = _open(stack, settings)
        if settings.workers > 1:
            _share_metrics(stack, server)
        with spinner("正在准备数据库 Preparing the database"):
            prepare(found.owner)
        if demo:
            _load_demo(found, settings)
        _hand_down(found)
        companions = Companions(server, jobs=jobs)
        stack.callback(companions.stop)
        typer.echo(f"credit-service {settings.base_url}", err=True)
        _run_server(settings.host, settings.port, settings.workers)
    if companions is not None and companions.failed:
        raise typer.Exit(1)


def _interrupt(number: int, frame: object) -> None:
    # The second Ctrl-C of an impatient operator must not leave the database running.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _share_metrics(stack: ExitStack, server: EmbeddedServer | None) -> None:
    """Several processes count in one folder; prometheus_client reads its name when it is imported."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        return
    if server is not None:
        folder = server.data_dir / "metrics"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    else:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="credit-service-metrics-")))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


def _hand_down(found: Addresses) -> None:
    """What the web processes and the job runner need to know; the owner's address is not for them."""
    os.environ["CREDIT_DATABASE_URL"] = found.service
    os.environ.pop("CREDIT_DATABASE_OWNER_URL", None)
    os.environ[PARENT] = str(os.getpid())


def _free(host: str, port: int) -> bool:
    """Whether the port can be had; the processes of a server that was just killed need a moment to let go of it."""
    deadline = time.monotonic() + PORT_SECONDS
    while True:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.1)
            else:
                return True


def spinner(text: str) -> AbstractContextManager[object]:
    """Something that moves while a command is busy."""
    from rich.console import Console

    return Console(stderr=True).status(text)


def _open(stack: ExitStack, settings: Settings) -> tuple[Addresses, EmbeddedServer | None]:
    """The configured database, or the embedded server, which ``stack`` stops."""
    from credit_service.platform.embedded import EmbeddedServer, EmbeddedServerError

    found = external(settings)
    if found is not None:
        return found, None
    server = EmbeddedServer(settings.data_dir, wal_archive=settings.wal_archive_dir)
    try:
        with spinner("正在启动内置PostgreSQL Starting the embedded PostgreSQL"):
            server.start()
    except EmbeddedServerError as error:
        raise fail(str(error)) from error
    stack.callback(server.stop)
    return Addresses(server.service_url, server.owner_url), server


def _load_demo(found: Addresses, settings: Settings) -> None:
    from credit_service.demo import load
    from credit_service.platform.clock import clock_of

    clock = clock_of(settings.clock_file)
    keys = settings.keys_directory
    typer.echo(load(found.service, base_url=settings.base_url, keys_directory=keys, clock=clock))


def _run_server(host: str, port: int, workers: int) -> None:
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops

    Granian(
        "credit_service.cli.processes:application",
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
    ).serve()


def worker() -> None:
    """运行任务 Run the recurring jobs (production: a process of its own)."""
    job_runner()


def healthcheck(
    url: Annotated[str | None, typer.Option(help="地址 Address; default: this machine, the configured port.")] = None,
) -> None:
    """健康检查 Exit 0 when the service is ready."""
    import httpx

    from credit_service.platform.settings import Settings

    address = url or f"http://127.0.0.1:{Settings().port}/readyz"
    try:
        answer = httpx.get(address, timeout=5, trust_env=False)
    except httpx.HTTPError as error:
        raise fail(f"{address}: {type(error).__name__}") from error
    if answer.status_code != 200:
        raise fail(f"{address}: {answer.status_code}")
