"""Continuous archiving of WAL: what lies between two backups, and what a lost machine cannot take with it."""

from __future__ import annotations

import shlex
from pathlib import Path

SLOWEST_SEGMENT_SECONDS = 60
"""WAL is archived at least so often: the most that a lost disk can lose."""


def archive_settings(folder: Path) -> dict[str, str]:
    """PostgreSQL settings that archive WAL into ``folder``: whole files only, on disk before they count.

    A segment that is there already with the same bytes is done: the server asks again after a crash.
    """
    place = shlex.quote(str(folder)).replace("%", "%%")
    copy = f"dd if=%p of={place}/.%f.partial bs=1M conv=fsync status=none && mv {place}/.%f.partial {place}/%f"
    return {
        "archive_mode": "on",
        "archive_timeout": f"{SLOWEST_SEGMENT_SECONDS}s",
        "archive_command": f"cmp -s %p {place}/%f || (test ! -e {place}/%f && {copy} && sync {place})",
    }
