"""The service as ``credit-service serve`` runs it, with routes beside it to compare the lookup with.

``python -m benchmarks.server PORT`` serves; the settings come from the environment, as for any web process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any
from unittest.mock import patch
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.responses import Response
from starlette.routing import Route

from credit_service.accounts.purpose import CURRENT, Reading
from credit_service.accounts.rules import Principal
from credit_service.app import create_app
from credit_service.cli.processes import PARENT, end_with_parent
from credit_service.entities.models import Entity
from credit_service.entities.routes import reads, serve_profile
from credit_service.entities.routes import router as lookup_router
from credit_service.records.models import Record

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

BODY_BYTES = "BENCHMARK_BODY_BYTES"
_BODY = b'{"static":"' + b"x" * (int(os.environ.get(BODY_BYTES, "1000")) - 13) + b'"}'

router = APIRouter()


class StaticRoute(APIRoute):
    """Constant bytes sent as ``ProfileRoute`` sends a profile: past dependencies and response classes."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (b"etag", b'"0123456789abcdef0123456789abcdef"'),
            (b"cache-control", b"no-cache"),
            (b"vary", b"Authorization"),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(_BODY)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _BODY})


class UnloggedRoute(APIRoute):
    """The lookup as it is, but for the access log: what it read is noted where nobody looks."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = CURRENT.set(Reading())
        try:
            await serve_profile(scope, send)
        finally:
            CURRENT.reset(token)


async def static(uscc: str, principal: Annotated[Principal, Depends(reads)]) -> None:
    raise AssertionError("StaticRoute.handle serves this route")


async def starlette_static(request: Request) -> Response:
    return Response(_BODY, media_type="application/json")


class RecordOut(BaseModel):
    """What the public is shown of a record."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    item_code: str
    document_number: str
    decided_on: date
    valid_until: date | None
    authority_uscc: str
    authority_name: str
    source_name: str
    entity_name: str
    legal_basis: str
    severity: str | None
    publicity_from: datetime | None
    publicity_until: datetime | None
    repair_eligible_from: date | None
    public_facts: dict[str, Any]


class EntityOut(BaseModel):
    """What the public is shown of an entity."""

    model_config = ConfigDict(from_attributes=True)

    uscc: str
    name: str
    category: str
    division: str
    industry: str | None
    registration_status: str
    established_on: date | None
    deregistered_on: date | None
    quality_flags: list[str]
    records: list[RecordOut]


async def session_of(request: Request) -> AsyncIterator[AsyncSession]:
    state = request.app.state
    if not hasattr(state, "textbook_engine"):
        state.textbook_engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=state.database.connect,
            pool_size=state.settings.database_pool_size,
        )
    async with AsyncSession(state.textbook_engine) as session:
        yield session


@router.get("/bench/textbook/{uscc}", response_model=EntityOut)
async def textbook(uscc: str, session: Annotated[AsyncSession, Depends(session_of)]) -> Any:
    """The endpoint as tutorials write it: a session by dependency, two selects, a response model."""
    entity = (await session.exec(select(Entity).where(col(Entity.uscc) == uscc))).first()
    if entity is None:
        raise HTTPException(404)
    found = await session.exec(select(Record).where(col(Record.uscc) == uscc).order_by(col(Record.decided_on).desc()))
    records = [RecordOut.model_validate(record) for record in found.all()]
    return EntityOut(**entity.model_dump(), records=records)


def application() -> FastAPI:
    """The real application and the routes to compare with, behind the same middleware.

    The static bytes stand in the lookup's own router, in front of it; the others right behind that router, so that
    nobody pays for the other routers of the service.
    """
    end_with_parent()
    lookup_router.routes.insert(0, StaticRoute("/bench/static/{uscc}", static))
    lookup_router.routes.insert(1, UnloggedRoute("/bench/unlogged/{uscc}", static))
    app = create_app()
    behind_the_lookup = app.router.routes[1:]
    del app.router.routes[1:]
    app.router.routes.append(Route("/bench/starlette/{uscc}", starlette_static))
    app.include_router(router)
    app.router.routes.extend(behind_the_lookup)
    return app


def main() -> None:
    """Granian with the options of ``credit-service serve``: its own function, told of another application."""
    import granian

    from credit_service.cli import serve

    os.environ[PARENT] = str(os.getpid())
    original = granian.Granian

    def ours(target: str, **options: Any) -> Any:
        return original("benchmarks.server:application", **options)

    with patch.object(granian, "Granian", ours):
        serve._run_server("127.0.0.1", int(sys.argv[1]), 1)


if __name__ == "__main__":
    main()
