"""Request identity, metrics, logs and response headers, as one ASGI middleware.

One middleware instead of five: each layer of ASGI costs every request the same price again.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, multiprocess
from uuid_utils import uuid7

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = structlog.get_logger(__name__)

REQUESTS = Counter("credit_http_requests", "HTTP requests", ["method", "route", "status"])
SECONDS = Histogram(
    "credit_http_request_seconds",
    "HTTP request duration in seconds",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._\-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]


# Never the locals of a frame: they hold tokens, codes and the bodies of requests.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def _each_text(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {name: _each_text(member, clean) for name, member in value.items()}
    if isinstance(value, list):
        return [_each_text(member, clean) for member in value]
    return clean(value) if isinstance(value, str) else value


def configure_logging(level: str, form: str, clean: Callable[[str], str]) -> None:
    """Structured logs on standard error, one JSON object a line (``console`` for people).

    What an error says passes through ``clean``: it may repeat a value that it is about.
    """

    def cleaned(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if "exception" in event:
            event["exception"] = _each_text(event["exception"], clean)
        return event

    renderer: Any = structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _TRACEBACKS if form == "json" else structlog.processors.format_exc_info,
            cleaned,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def metrics_registry(*, several_processes: bool) -> CollectorRegistry:
    """The registry to expose: this process's, or all worker processes' together."""
    if not several_processes:
        return REGISTRY
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def _request_id(headers: list[tuple[bytes, bytes]]) -> str:
    """The caller's X-Request-ID where it is well-formed (it goes into logs and audit events), otherwise a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode()
    return str(uuid7())


class Telemetry:
    """Counts, times and names every request; logs those that change something or fail."""

    def __init__(self, app: ASGIApp, *, log_reads: bool = False) -> None:
        self.app = app
        self.log_reads = log_reads
        self._counters: dict[tuple[str, str, int], Any] = {}
        self._timers: dict[str, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope["headers"])
        scope["request_id"] = request_id
        extra = scope["answer_headers"] = [(b"x-request-id", request_id.encode()), *_HEADERS]
        status = 500
        began = time.perf_counter()

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(item for item in extra if item[0] not in present)]
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        finally:
            self._note(scope, status, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        # The route's template and never the path: a path holds codes, and a label for each would never end.
        route = scope.get("route")
        template = getattr(route, "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        key = (method, template, status)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = REQUESTS.labels(method, template, str(status))
            self._timers.setdefault(template, SECONDS.labels(template))
        counter.inc()
        self._timers[template].observe(seconds)
        if self.log_reads or method not in ("GET", "HEAD") or status >= 500:
            logger.info(
                "request",
                method=method,
                route=template,
                status=status,
                milliseconds=round(seconds * 1000, 2),
                request_id=scope["request_id"],
            )
