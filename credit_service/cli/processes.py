"""The processes beside the web server: none outlives ``serve``, and none is missed in silence."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

import psutil
import typer

from credit_service.platform.parents import end_with

if TYPE_CHECKING:
    from fastapi import FastAPI

    from credit_service.platform.embedded import EmbeddedServer

PARENT = "CREDIT_SERVE_PROCESS"
LOOK_SECONDS = 0.5
RESTART_SECONDS = 5.0
STOP_SECONDS = 20
GRACE_SECONDS = 1.0


def end_with_parent() -> None:
    """End this process at once when ``serve`` is gone, were it by SIGKILL: the port and the database must come free."""
    parent = os.environ.get(PARENT)
    if parent is not None and int(parent) != os.getpid():
        end_with(int(parent))


@contextmanager
def loading() -> Iterator[None]:
    """While modules load, hardly anything becomes garbage: looking for it over and over is a fourth of their time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def application() -> FastAPI:
    """The ASGI application in one of ``serve``'s web processes."""
    end_with_parent()
    with loading():
        from credit_service.app import create_app

        return create_app()


def job_runner() -> NoReturn:
    """The job runner: ``credit-service worker``, and ``serve``'s child. It does not return.

    The process ends without closing the interpreter: a bucket's native threads that have something under way, since a
    job failed or was cancelled, would meet the closing one and abort.
    """
    end_with_parent()
    with loading():
        from credit_service import worker
    code = 0
    try:
        worker.run()
    except Exception:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


class Companions:
    """The job runner and the embedded database, looked after while the web server has the main thread.

    The job runner is started again when it ends. Without its database the service cannot go on: ``serve`` is told to
    stop, and ``failed`` is set.
    """

    def __init__(self, server: EmbeddedServer | None, *, jobs: bool = True) -> None:
        self.failed = False
        self._server = server
        self._stopping = threading.Event()
        self._worker = self._start_worker() if jobs else None
        self._thread = threading.Thread(target=self._look_after, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the job runner and wait for its end."""
        self._stopping.set()
        self._thread.join()
        if self._worker is None:
            return
        self._worker.terminate()
        try:
            self._worker.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._worker.kill()
            self._worker.wait()

    def _end_what_waits(self) -> None:
        """Without a database nothing under way can come to a good end: after a moment it is ended, not waited for."""
        if self._stopping.wait(GRACE_SECONDS):
            return
        for child in psutil.Process().children():
            with suppress(psutil.NoSuchProcess):
                child.kill()

    def _start_worker(self) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C reaches serve alone, which then stops its parts in order.
        command = [sys.executable, "-c", f"from {__name__} import job_runner; job_runner()"]
        return subprocess.Popen(command, start_new_session=True)  # noqa: S603

    def _look_after(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            if self._server is not None and not self._server.alive():
                typer.echo(f"PostgreSQL ended by itself; see {self._server.log}", err=True)
                self.failed = True
                os.kill(os.getpid(), signal.SIGTERM)
                self._end_what_waits()
                return
            if self._worker is not None and self._worker.poll() is not None:
                typer.echo(f"the job runner ended with {self._worker.returncode}; starting it again", err=True)
                if self._stopping.wait(RESTART_SECONDS):
                    return
                self._worker = self._start_worker()
