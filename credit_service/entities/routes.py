"""HTTP of entities: the lookup, and a registrar's report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic import Field as ApiField
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts.dependencies import requires
from credit_service.accounts.purpose import HEADER, require_purpose
from credit_service.accounts.rules import PUBLIC, Audience, Permission, Principal, audience_of
from credit_service.entities import commands
from credit_service.entities.lookup import Answer, Lookup, PastLookup
from credit_service.entities.models import DeclarationView, EntityWrite
from credit_service.identity.uscc import Uscc
from credit_service.platform.errors import GONE, INVALID_REQUEST, NOT_FOUND, FieldError, Problem
from credit_service.platform.http import actor_of, change, json_answer, matches
from credit_service.platform.idempotency import StoredAnswer
from credit_service.platform.times import AsOf, KnownAt, PointInTime, point_in_time

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

router = APIRouter(tags=["entities 信用主体"])
lookup_router = APIRouter(tags=["entities 信用主体"])
reads = requires(Permission.READ_ENTITY)

ENTITY_PATH = "/v1/entities/{uscc}"
Code = Annotated[str, Path(description="统一社会信用代码 Unified social credit code", examples=["91110000600037341L"])]


class RegistrationProof(BaseModel):
    """The registration data as the log holds it; `credit-service verify` checks it offline."""

    version: int = ApiField(description="版本 Version")
    event: str = ApiField(description="审计事件原文 The log's entry, canonical JSON")
    content: str | None = ApiField(
        description="登记信息原文 Canonical JSON, its SHA-256 is the event's after; empty: not for the public"
    )
    tlog_proof: str = ApiField(description="离线可验证的证明 C2SP tlog-proof of the event")


class ProfileView(BaseModel):
    """An entity's profile as one audience sees it."""

    uscc: str = ApiField(description="统一社会信用代码")
    name: str = ApiField(description="名称")
    category: str = ApiField(description="登记管理部门和机构类别代码 First two characters of the code")
    division: str = ApiField(description="行政区划代码 GB/T 2260")
    industry: str | None = ApiField(description="行业代码 GB/T 4754-2017")
    registration_status: str = ApiField(description="登记状态")
    established_on: str | None = ApiField(description="成立日期")
    deregistered_on: str | None = ApiField(description="注销日期")
    former_names: list[dict[str, Any]] = ApiField(description="曾用名")
    quality_flags: list[str] = ApiField(description="代码质量标识 check-digit-17, check-digit-18")
    audience: Audience = ApiField(description="受众")
    trust_incentive_subject: bool = ApiField(description="守信激励对象")
    distrust_punishment_subject: bool = ApiField(description="失信惩戒对象")
    summary: dict[str, int] = ApiField(description="分栏目记录数 Records by report section")
    records: list[dict[str, Any]] = ApiField(description="记录, 最近100条 The newest 100 records")
    declarations: list[DeclarationView] | None = ApiField(
        default=None, description="重整、和解期间的声明 While records are shielded; with neither proof nor as_of"
    )
    proof: RegistrationProof | None = ApiField(
        default=None, description="登记信息的日志证明 With ?proof=true; each record then has proofs as well"
    )


class ProfileRoute(APIRoute):
    """Serves the lookup without resolving dependencies: on the hottest route that would cost more than the query.

    The signature of its endpoint remains the contract in the OpenAPI document and declares the permission, which
    ``serve_profile`` enforces itself.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "GET":
            await super().handle(scope, receive, send)
            return
        await serve_profile(scope, send)


def _header(scope: Scope, name: bytes) -> str | None:
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


async def _principal(scope: Scope, authorization: str | None) -> Principal:
    if authorization is None:
        return PUBLIC
    principal: Principal = await reads(Request(scope))
    return principal


async def serve_profile(scope: Scope, send: Send) -> None:
    """Answer ``GET /v1/entities/{uscc}`` from the rendered profile of the caller's audience."""
    state = scope["app"].state
    uscc = scope["path_params"]["uscc"]
    principal = await _principal(scope, _header(scope, b"authorization"))
    audience = audience_of(principal, uscc)
    if audience is not Audience.PUBLIC:
        stated = _header(scope, HEADER.lower().encode())
        code = Uscc.parse(uscc, pointer="path:uscc", admit_bad_check_digit=True)  # what is logged is a code
        require_purpose(principal, audience, stated, code.value)
    query = scope["query_string"]
    point, proof = _asked(query, state.clock.now()) if query else (None, False)
    if proof:
        now = state.clock.now()

        async def ask_proved(code: str) -> Answer | None:
            found: Answer | None = await state.proved_profiles.ask(code, audience, point, now)
            return found

        answer = await ask_proved(uscc) or await _under_its_proper_code(ask_proved, uscc)
    elif point is None:
        lookup: Lookup = state.lookups[audience]
        answer = await lookup.get(uscc) or await _under_its_proper_code(lookup.get, uscc)
    else:
        past: PastLookup = state.past_lookups[audience]

        async def ask(code: str) -> Answer | None:
            return await past.ask((code, point))

        answer = await ask(uscc) or await _under_its_proper_code(ask, uscc)
    status, etag, body = answer
    if status == 410:
        raise Problem(GONE)
    caching = b"no-cache" if audience is Audience.PUBLIC else b"private, no-cache"
    headers = [(b"etag", etag.encode()), (b"cache-control", caching), (b"vary", b"Authorization")]
    if matches(_header(scope, b"if-none-match"), etag):
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _asked(query: bytes, now: datetime) -> tuple[PointInTime | None, bool]:
    """Which time is asked for, and whether with proof. Raises ``INVALID_REQUEST``."""
    given = {key: values[-1] for key, values in parse_qs(query.decode("latin-1"), keep_blank_values=True).items()}
    proof = given.get("proof", "false")
    if proof not in ("true", "false"):
        raise Problem(INVALID_REQUEST, errors=[FieldError("query:proof", "true or false")])
    return point_in_time(given.get("as_of"), given.get("known_at"), now), proof == "true"


async def _under_its_proper_code(get: Callable[[str], Awaitable[Answer | None]], text: str) -> Answer:
    """A miss: the code may be typed in another way, be malformed, or be unknown."""
    code = Uscc.parse(text, pointer="path:uscc", admit_bad_check_digit=True)
    answer = await get(code.value) if code.value != text else None
    if answer is None:
        if code.quality_flags:
            Uscc.parse(text, pointer="path:uscc")
        raise Problem(NOT_FOUND, errors=[FieldError("path:uscc", "known-entity")])
    return answer


async def read_entity(
    uscc: Code,
    principal: Annotated[Principal, Depends(reads)],
    as_of: AsOf = None,
    known_at: KnownAt = None,
    proof: Annotated[bool, Query(description="附日志证明 With proof that the log holds what is shown")] = False,
    if_none_match: Annotated[str | None, Header(description="ETag of the copy at hand")] = None,
    credit_purpose: Annotated[
        str | None, Header(description="查询目的 Required unless the caller is the public")
    ] = None,
) -> Response:
    """主体信用档案 The entity's profile, as the caller's audience may see it now.

    With ``as_of`` or ``known_at`` as it stood then, without what may not be shown now. With ``proof`` each version it
    rests on comes with its entry in the log, or 409 until a signed head covers them all. 410 for an entity that is
    deregistered and archived. Serving is ``serve_profile``'s: this is its contract.
    """
    raise AssertionError("ProfileRoute.handle serves this route")


class EntityReceipt(BaseModel):
    """What became of a registrar's report."""

    uscc: str = ApiField(description="统一社会信用代码")
    version: int = ApiField(description="版本 Version of the registration data")
    quality_flags: list[str] = ApiField(description="代码质量标识")


@router.put(ENTITY_PATH, response_model=EntityReceipt, responses={201: {"model": EntityReceipt}})
async def put_entity(
    request: Request,
    uscc: Code,
    body: EntityWrite,
    principal: Annotated[Principal, Depends(requires(Permission.WRITE_ENTITY))],
    if_match: Annotated[str | None, Header(description='Required for an update: "v<version>" or *')] = None,
    idempotency_key: Annotated[str | None, Header(description="幂等键")] = None,
) -> Response:
    """登记信息报送 Store what the registrar reports of an entity: new, or a new version of it."""

    async def run(session: AsyncSession) -> StoredAnswer:
        entity, created = await commands.put_entity(
            session,
            actor_of(request, principal),
            request.app.state.clock.now(),
            code=uscc,
            body=body,
            if_match=if_match,
        )
        receipt = EntityReceipt(uscc=entity.uscc, version=entity.version, quality_flags=entity.quality_flags)
        return json_answer(
            receipt.model_dump(),
            201 if created else 200,
            {"ETag": commands.version_tag(entity.version), "Location": f"/v1/entities/{entity.uscc}"},
        )

    return await change(request, principal, run)


lookup_router.routes.append(
    ProfileRoute(
        ENTITY_PATH,
        read_entity,
        methods=["GET"],
        response_model=ProfileView,
        tags=["entities 信用主体"],
        responses={
            304: {"description": "Not modified"},
            404: {"description": "Unknown"},
            410: {"description": "Archived"},
        },
    )
)
