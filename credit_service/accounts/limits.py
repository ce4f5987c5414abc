"""How many requests one caller may make a minute in one process (draft-ietf-httpapi-ratelimit-headers)."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from credit_service.platform.errors import Problem, ProblemType

TOO_MANY_REQUESTS = ProblemType("too-many-requests", 429, "请求过于频繁", "Too many requests")
WINDOW_SECONDS = 60
MOST_CALLERS = 10_000


class RateLimit:
    """A bucket for each caller that fills evenly, so that a pause is rewarded and no minute has two beginnings."""

    def __init__(self, requests: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._requests = requests
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> list[tuple[bytes, bytes]]:
        """Count one request; gives the RateLimit headers of its answer. Raises ``TOO_MANY_REQUESTS`` (429)."""
        if not self._requests:
            return []
        now = self._clock()
        left, since = self._buckets.get(caller, (float(self._requests), now))
        a_second = self._requests / WINDOW_SECONDS
        left = min(float(self._requests), left + (now - since) * a_second)
        admitted = left >= 1
        if admitted:
            left -= 1
        self._buckets[caller] = (left, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        headers = self._headers(left, a_second)
        if not admitted:
            wait = max(1, round((1 - left) / a_second))
            raise Problem(TOO_MANY_REQUESTS, headers=headers | {"Retry-After": str(wait)})
        return [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    def _headers(self, left: float, a_second: float) -> dict[str, str]:
        full_again = round((self._requests - left) / a_second)
        return {
            "RateLimit-Policy": f'"caller";q={self._requests};w={WINDOW_SECONDS}',
            "RateLimit": f'"caller";r={int(left)};t={full_again}',
        }
