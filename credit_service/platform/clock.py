"""The clock: a source of the present instant in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Source of the present instant, handed in so that tests can move it."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock, in UTC."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class FileClock:
    """The machine's clock shifted by the seconds in a file: one movable clock for every process of a demonstration."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> datetime:
        return datetime.now(UTC) + self._offset()

    def move_to(self, instant: datetime) -> None:
        """Make this instant the present, for every process that shares the file."""
        partial = self._file.with_suffix(".new")
        partial.write_text(str((instant - datetime.now(UTC)).total_seconds()))
        partial.replace(self._file)

    def _offset(self) -> timedelta:
        try:
            return timedelta(seconds=float(self._file.read_text()))
        except FileNotFoundError:
            return timedelta()


def clock_of(file: Path | None) -> Clock:
    """The clock a process runs by: the machine's, unless a demonstration names a file to move it with."""
    return FileClock(file) if file is not None else SystemClock()


class FixedClock:
    """A clock that stands still until it is moved."""

    def __init__(self, instant: datetime) -> None:
        self.instant = instant

    def now(self) -> datetime:
        return self.instant
