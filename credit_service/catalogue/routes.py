"""HTTP of the catalogue: the law as data, open to everybody, rendered once for each edition and interval of days."""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from functools import lru_cache
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from credit_service.accounts.dependencies import requires
from credit_service.accounts.rules import Permission, Principal
from credit_service.catalogue.models import Catalogue
from credit_service.catalogue.views import CatalogueView, ItemAnswer, catalogue_view, interval_of, item_view
from credit_service.platform.days import day_of, start_of
from credit_service.platform.errors import NOT_FOUND, FieldError, Problem
from credit_service.platform.http import JSON, matches

router = APIRouter(tags=["catalogue 目录"])

ReadsCatalogue = Annotated[Principal, Depends(requires(Permission.READ_CATALOGUE))]
On = Annotated[date | None, Query(description="决定日期 Decision date the law is asked for; default: today")]
IfNoneMatch = Annotated[str | None, Header(description="ETag of the copy at hand")]
MOST_SECONDS = 300
"""How long a copy may be used without asking again; the law changes by the day, an edition when one is installed."""


@router.get("/v1/catalogue", response_model=CatalogueView)
async def read_catalogue(
    request: Request, principal: ReadsCatalogue, on: On = None, if_none_match: IfNoneMatch = None
) -> Response:
    """公共信用信息目录 Items, rules, measures and documents for decisions of a day, in both languages."""
    return _answer(request, on, None, if_none_match)


@router.get("/v1/catalogue/items/{code}", response_model=ItemAnswer)
async def read_item(
    request: Request,
    principal: ReadsCatalogue,
    code: Annotated[str, Path(max_length=64, description="目录事项代码 Catalogue item")],
    on: On = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """目录事项 An item with the rules, measures and documents that govern it, for decisions of a day."""
    return _answer(request, on, code, if_none_match)


def _answer(request: Request, on: date | None, code: str | None, if_none_match: str | None) -> Response:
    catalogue: Catalogue = request.app.state.catalogue
    now: datetime = request.app.state.clock.now()
    holds_from, holds_until = interval_of(catalogue, on or day_of(now))
    body, etag = _rendered(catalogue, holds_from or date.min, code)
    seconds = MOST_SECONDS
    if on is None and holds_until is not None:
        seconds = min(seconds, int((start_of(holds_until) - now).total_seconds()))
    headers = {"ETag": etag, "Cache-Control": f"public, max-age={seconds}"}
    if matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=JSON, headers=headers)


@lru_cache(maxsize=1024)
def _rendered(catalogue: Catalogue, first_day: date, code: str | None) -> tuple[bytes, str]:
    """The body and its ETag; ``first_day`` is the first of an interval of days on which the answer is the same."""
    view = catalogue_view(catalogue, first_day) if code is None else _item(catalogue, code, first_day)
    body = view.model_dump_json().encode()
    return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _item(catalogue: Catalogue, code: str, on: date) -> ItemAnswer:
    versions = catalogue.items.get(code)
    if versions is None:
        raise Problem(NOT_FOUND, errors=[FieldError("path:code", "catalogue")])
    for item in versions:
        if item.in_force(on):
            return item_view(catalogue, item, on)
    intervals = "; ".join(f"[{item.effective_from}, {item.effective_to or ''})" for item in versions)
    raise Problem(NOT_FOUND, errors=[FieldError("query:on", "catalogue interval", intervals)])
