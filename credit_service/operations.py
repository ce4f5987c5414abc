"""What whoever runs the service asks of it: probes, metrics, problem types, the contract, a demonstration's clock."""

from __future__ import annotations

import os
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import AwareDatetime, BaseModel
from pydantic import Field as ApiField

from credit_service.accounts.dependencies import requires
from credit_service.accounts.rules import Permission, Principal
from credit_service.catalogue.models import Catalogue
from credit_service.platform import migration
from credit_service.platform.clock import FileClock
from credit_service.platform.errors import UNAVAILABLE, Problem, ProblemType
from credit_service.platform.telemetry import metrics_registry

PROBES = frozenset({"/livez", "/readyz", "/metrics"})

operations = APIRouter(tags=["operations 运行"])
Health = Annotated[Principal, Depends(requires(Permission.HEALTH))]


@operations.get("/livez")
async def live(principal: Health) -> dict[str, str]:
    """存活 The process runs."""
    return {"status": "ok"}


@operations.get("/readyz")
async def ready(request: Request, principal: Health) -> dict[str, str]:
    """就绪 The database answers and is at this program's revision; otherwise 503."""
    try:
        pool = await request.app.state.database.pool()
        revision = await pool.fetchval("SELECT version_num FROM alembic_version", timeout=5)
    except Exception as error:
        raise Problem(UNAVAILABLE, detail=f"database: {type(error).__name__}", headers={"Retry-After": "5"}) from error
    if revision != migration.head():
        raise Problem(UNAVAILABLE, detail=f"database revision {revision}, program {migration.head()}")
    catalogue: Catalogue = request.app.state.catalogue
    answer = {"status": "ok", "revision": revision, "catalogue": catalogue.edition}
    if catalogue.supplement is not None:
        answer["supplement"] = f"{catalogue.supplement.division} {catalogue.supplement.edition}"
    return answer


@operations.get("/metrics", include_in_schema=False)
async def metrics(principal: Annotated[Principal, Depends(requires(Permission.METRICS))]) -> Response:
    """指标 Prometheus metrics."""
    registry = metrics_registry(several_processes="PROMETHEUS_MULTIPROC_DIR" in os.environ)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


@operations.get("/v1/problems")
async def problems(principal: Annotated[Principal, Depends(requires(Permission.DISCOVER))]) -> dict[str, Any]:
    """问题类型 Every kind of problem document this service answers with."""
    kinds = sorted(ProblemType.registry.values(), key=lambda kind: kind.slug)
    return {
        "problems": [
            {"type": kind.uri, "status": kind.status, "title_zh": kind.title_zh, "title_en": kind.title_en}
            for kind in kinds
        ]
    }


class ClockWrite(BaseModel):
    """The instant that shall be the present."""

    now: AwareDatetime = ApiField(description="当前时间 RFC 3339")


movable_clock = APIRouter(tags=["operations 运维"])


@movable_clock.put("/v1/clock")
async def move_clock(
    request: Request, body: ClockWrite, principal: Annotated[Principal, Depends(requires(Permission.MOVE_CLOCK))]
) -> ClockWrite:
    """拨动时钟 Move the clock of a demonstration. There is no such route unless the service was started with one."""
    clock: FileClock = request.app.state.clock
    clock.move_to(body.now)
    return ClockWrite(now=clock.now())


@operations.get("/openapi.json", include_in_schema=False)
async def openapi_document(
    request: Request, principal: Annotated[Principal, Depends(requires(Permission.DISCOVER))]
) -> dict[str, Any]:
    """接口描述 The OpenAPI 3.1 document."""
    document: dict[str, Any] = request.app.openapi()
    return document
