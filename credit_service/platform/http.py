"""HTTP helpers: problem documents, one transaction a change, request identity."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

import asyncpg
import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.exceptions import HTTPException

from credit_service.platform import errors, idempotency
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.idempotency import StoredAnswer

if TYPE_CHECKING:
    pass

logger = structlog.get_logger(__name__)

JSON = "application/json"
RETRIED_SQL_STATES = frozenset({"23505", "40001", "40P01"})
"""Unique violation by a concurrent twin, serialization failure, deadlock: the same work done again succeeds."""
UNSTORABLE_TEXT_SQL_STATES = frozenset({"22021", "22P05"})
"""Character not in repertoire, untranslatable character."""
TIMEOUT_SQL_STATES = frozenset({"57014", "55P03", "25P03"})
"""A statement, the wait for a lock, or a transaction that stood idle took too long."""
MOST_ATTEMPTS = 4


class Caller(Protocol):
    """What these helpers need to know of a principal."""

    @property
    def id(self) -> str: ...
    @property
    def agency_uscc(self) -> str | None: ...


def request_id_of(request: Request) -> str:
    value: str = request.scope.get("request_id", "")
    return value


def actor_of(request: Request, principal: Caller) -> Actor:
    """The author of the changes of this request."""
    return Actor(id=principal.id, request_id=request_id_of(request), agency_uscc=principal.agency_uscc)


def language_of(request: Request) -> str:
    """``en`` when the caller's first language is English, otherwise ``zh``."""
    return "en" if request.headers.get("accept-language", "").strip().lower().startswith("en") else "zh"


def json_answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> StoredAnswer:
    """An answer that can be stored beside the change and sent."""
    return StoredAnswer(status, {"Content-Type": JSON, **(headers or {})}, orjson.dumps(content, default=str))


Change = Callable[[AsyncSession], Awaitable[StoredAnswer]]


async def change(
    request: Request, principal: Caller, run: Change, *, replayable: bool = True, body: bytes | None = None
) -> Response:
    """Run one use case in one transaction, once for each Idempotency-Key, and send its answer.

    A concurrent twin that wins the race makes the loser start over and see the winner's work. An answer that holds a
    secret is not ``replayable``: it is stored nowhere. ``body`` stands for a body that was read as a stream.
    """
    key = idempotency.checked_key(request.headers.get("idempotency-key")) if replayable else None
    said = body if body is not None else await request.body()
    digest = idempotency.request_digest(request.method, request.url.path, said)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        try:
            return await _attempt(request, principal, run, key, digest)
        except DBAPIError as error:
            if attempt == MOST_ATTEMPTS or _sql_state(error) not in RETRIED_SQL_STATES:
                raise
            await asyncio.sleep(0.005 * attempt)
    raise AssertionError("unreachable")


async def _attempt(request: Request, principal: Caller, run: Change, key: str | None, digest: bytes) -> Response:
    database: Database = request.app.state.database
    async with database.transaction() as session:
        if key is not None:
            now = request.app.state.clock.now()
            stored = await idempotency.claim(session, principal=principal.id, key=key, digest=digest, now=now)
            if stored is not None:
                return _response(stored, {"Idempotency-Replayed": "true"})
        answer = await run(session)
        if key is not None:
            await idempotency.remember(session, principal=principal.id, key=key, answer=answer)
    return _response(answer, {})


def _response(answer: StoredAnswer, extra: dict[str, str]) -> Response:
    return Response(answer.body, status_code=answer.status, headers={**answer.headers, **extra})


_BODY_NOT_READ = frozenset({408, 413})
"""The rest of the body is still on its way: the next request cannot follow on this connection (RFC 9110, 15.5.14)."""


def problem_response(request: Request, problem: errors.Problem) -> Response:
    """The problem document of ``problem``, in the caller's language."""
    language = language_of(request)
    # The occurrence is named by its request and not by its path, which may hold somebody's identity number.
    request_id = request_id_of(request)
    document = problem.document(language=language, instance=f"urn:credit-service:request:{request_id}")
    document["request_id"] = request_id
    headers = {
        "Content-Language": "en" if language == "en" else "zh-CN",
        "Cache-Control": "no-store",
        **problem.headers,
    }
    if problem.type.status in _BODY_NOT_READ:
        headers["Connection"] = "close"
    return Response(
        orjson.dumps(document, default=str),
        status_code=problem.type.status,
        media_type=errors.PROBLEM_MEDIA_TYPE,
        headers=headers,
    )


_STATUS_PROBLEMS = {
    400: errors.MALFORMED_REQUEST,
    404: errors.NOT_FOUND,
    405: errors.METHOD_NOT_ALLOWED,
    408: errors.REQUEST_TIMEOUT,
    413: errors.PAYLOAD_TOO_LARGE,
    415: errors.UNSUPPORTED_MEDIA_TYPE,
}

# pydantic repeats the submitted value in these messages, and it may be somebody's personal data.
_MESSAGES_WITH_VALUES = frozenset(
    {"value_error", "uuid_parsing", "json_invalid", "assertion_error", "date_from_datetime_parsing"}
)


def _pointer(location: tuple[int | str, ...]) -> str:
    place, *rest = location or ("body",)
    parts = [str(part) if isinstance(part, int) else errors.told(part) for part in rest]
    return "".join(f"/{part}" for part in parts) if place == "body" else f"{place}:{'.'.join(parts)}"


def validation_problem(error: RequestValidationError) -> errors.Problem:
    """pydantic's findings as one problem document; never with the submitted values."""
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return errors.Problem(errors.MALFORMED_REQUEST, errors=[errors.FieldError("", "RFC 8259")])
    return errors.Problem(
        errors.INVALID_REQUEST,
        errors=[
            errors.FieldError(
                _pointer(tuple(item["loc"])),
                item["type"],
                "" if item["type"] in _MESSAGES_WITH_VALUES else item["msg"],
            )
            for item in found
        ],
    )


async def unstorable_text_problem(request: Request) -> errors.Problem:
    """Text with a character that cannot be stored: where it is, told after whoever was to store it refused.

    No PostgreSQL text holds U+0000, and no UTF-8 half of a surrogate pair, which JSON can say all the same.
    """
    if "\x00" in request.url.path or "\x00" in unquote(request.url.path):
        return errors.Problem(errors.NOT_FOUND)
    found = [
        (f"query:{errors.told(name)}", "no U+0000")
        for name, value in request.query_params.multi_items()
        if "\x00" in value
    ]
    with suppress(ValueError, RuntimeError):  # RuntimeError: a file, which was read as it arrived and is gone
        found += _unstorable(json.loads(await request.body()), "")
    errors_found = [errors.FieldError(place.encode(errors="replace").decode(), rule) for place, rule in found]
    return errors.Problem(errors.INVALID_REQUEST, errors=errors_found)


_SURROGATE = re.compile("[\ud800-\udfff]")


def _unstorable(value: Any, pointer: str) -> list[tuple[str, str]]:
    """Pointer and rule of each text that cannot be stored; of a member's name, the object's."""
    if isinstance(value, str):
        if "\x00" in value:
            return [(pointer, "no U+0000")]
        return [(pointer, "no lone surrogate")] if _SURROGATE.search(value) else []
    places = [errors.told(name) for name in value] if isinstance(value, dict) else itertools.count()
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    names = [each for name in value for each in _unstorable(name, pointer)] if isinstance(value, dict) else []
    return names + [
        each
        for place, child in zip(places, children, strict=False)
        for each in _unstorable(child, f"{pointer}/{place}")
    ]


def _sql_state(error: BaseException) -> str | None:
    return getattr(getattr(error, "orig", error), "sqlstate", None)


def install_problem_handlers(app: FastAPI) -> None:
    """Every error leaves as a problem document."""

    async def on_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, errors.Problem)
        return problem_response(request, error)

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem_response(request, validation_problem(error))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = _STATUS_PROBLEMS.get(error.status_code, errors.MALFORMED_REQUEST)
        return problem_response(request, errors.Problem(kind, headers=dict(error.headers or {})))

    async def on_failure(request: Request, error: Exception) -> Response:
        logger.error(
            "request failed", error_type=type(error).__name__, request_id=request_id_of(request), exc_info=error
        )
        return problem_response(request, errors.Problem(errors.INTERNAL))

    async def on_database(request: Request, error: Exception) -> Response:
        if _sql_state(error) in TIMEOUT_SQL_STATES:
            return problem_response(request, errors.Problem(errors.OVERLOADED, headers={"Retry-After": "5"}))
        if _sql_state(error) not in UNSTORABLE_TEXT_SQL_STATES:
            return await on_failure(request, error)
        return problem_response(request, await unstorable_text_problem(request))

    async def on_unencodable(request: Request, error: Exception) -> Response:
        problem = await unstorable_text_problem(request)
        return problem_response(request, problem) if problem.errors else await on_failure(request, error)

    app.add_exception_handler(errors.Problem, on_problem)
    app.add_exception_handler(TypeError, on_unencodable)  # what orjson raises
    app.add_exception_handler(UnicodeEncodeError, on_unencodable)
    app.add_exception_handler(DBAPIError, on_database)
    app.add_exception_handler(asyncpg.PostgresError, on_database)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_failure)


def matches(if_none_match: str | None, etag: str) -> bool:
    """Weak comparison of If-None-Match (RFC 9110 section 13.1.2)."""
    if if_none_match is None:
        return False
    if if_none_match == etag:
        return True
    candidates = (candidate.strip().removeprefix("W/") for candidate in if_none_match.split(","))
    return any(candidate in (etag, "*") for candidate in candidates)
