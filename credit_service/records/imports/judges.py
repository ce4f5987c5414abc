"""The process that judges rows, and the next one when a file has ended it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import ParamSpec, TypeVar

from credit_service.platform.parents import end_with
from credit_service.records.imports import validation

P = ParamSpec("P")
T = TypeVar("T")


def _begin(parent: int, catalogue_dir: Path | None, supplement_dir: Path | None) -> None:
    end_with(parent)
    validation.judge_by(catalogue_dir, supplement_dir)


class JudgingProcess(Executor):
    """One process that judges rows by the catalogue of these folders (default: the shipped one).

    Spawned, because a fork would inherit the server's threads and sockets. Work that was under way when the process
    died fails with ``BrokenExecutor``; what comes after it goes to a new one.
    """

    def __init__(self, catalogue_dir: Path | None = None, supplement_dir: Path | None = None) -> None:
        self._folders = (catalogue_dir, supplement_dir)
        self._pool = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, context, initializer=_begin, initargs=(os.getpid(), *self._folders))

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Hand over work. Raises ``RuntimeError`` after ``shutdown``."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenProcessPool:
            self._pool.shutdown(wait=False)
            self._pool = self._new_pool()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the process."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)
