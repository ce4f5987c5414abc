"""A process that ends with its parent, were that by SIGKILL: nobody is left to stop it, and it holds what it holds."""

from __future__ import annotations

import os
import select
import threading
import time

LOOK_SECONDS = 0.5


def end_with(parent: int) -> None:
    """From now on, end this process at once when ``parent``, the id of its parent, is gone."""
    threading.Thread(target=_outlive_nobody, args=(parent,), daemon=True).start()


def _outlive_nobody(parent: int) -> None:
    try:
        watched = os.pidfd_open(parent)
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        if os.getppid() == parent:
            poll.poll()
    except (OSError, AttributeError):  # a kernel before 5.3, or a Python built on one
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
    os._exit(1)
