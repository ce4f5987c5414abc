"""HTTP of accounts: tokens, keys, agencies, clients."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any
from urllib.parse import parse_qs, unquote_plus

import orjson
from fastapi import APIRouter, Depends, Header, Path, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts import commands, tokens
from credit_service.accounts.dependencies import requires
from credit_service.accounts.models import (
    AgencyList,
    AgencyRead,
    AgencyWrite,
    ClientCreate,
    ClientSecret,
    TokenResponse,
)
from credit_service.accounts.rules import Permission, Principal
from credit_service.platform.http import actor_of, change, json_answer
from credit_service.platform.idempotency import StoredAnswer

router = APIRouter(tags=["accounts 账户"])

Anyone = Annotated[Principal, Depends(requires(Permission.DISCOVER))]
Administrator = Annotated[Principal, Depends(requires(Permission.MANAGE_ACCOUNTS))]
Code = Annotated[str, Path(description="统一社会信用代码")]
IdempotencyKey = Annotated[str | None, Header(description="幂等键")]

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {"type": "string", "const": "client_credentials"},
                        "client_id": {"type": "string"},
                        "client_secret": {"type": "string", "format": "password"},
                    },
                }
            }
        },
    }
}
_LARGEST_FORM = 8192


def _oauth_error(status: int, code: str) -> Response:
    """RFC 6749 section 5.2."""
    headers = {"Cache-Control": "no-store"} | ({"WWW-Authenticate": "Basic"} if status == 401 else {})
    return Response(orjson.dumps({"error": code}), status, headers, media_type="application/json")


def _basic(header: str | None) -> tuple[str, str] | None:
    """client_secret_basic (RFC 6749 section 2.3.1: both parts are form-encoded)."""
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ("", "")
    return unquote_plus(client_id), unquote_plus(secret)


@router.post("/oauth/token", response_model=TokenResponse, openapi_extra=_FORM)
async def issue_token(request: Request, principal: Anyone) -> Response:
    """令牌 Access token by client credentials (RFC 6749 section 4.4; secret in the Basic header or in the form)."""
    body = await request.body()
    if len(body) > _LARGEST_FORM:
        return _oauth_error(400, "invalid_request")
    given = parse_qs(body.decode("utf-8", "replace"))
    form = {key: values[0] for key, values in given.items()}
    basic = _basic(request.headers.get("authorization"))
    # RFC 6749: no parameter twice (section 3.2), not more than one way to authenticate (section 2.3).
    if any(len(values) > 1 for values in given.values()) or (basic is not None and "client_secret" in form):
        return _oauth_error(400, "invalid_request")
    if form.get("grant_type") != "client_credentials":
        return _oauth_error(400, "unsupported_grant_type" if "grant_type" in form else "invalid_request")
    state = request.app.state
    client = await commands.check_secret(
        state.database, *(basic or (form.get("client_id", ""), form.get("client_secret", "")))
    )
    if client is None:
        return _oauth_error(401, "invalid_client")
    lifetime = state.settings.token_lifetime_seconds
    token = tokens.issue(
        state.keys, issuer=state.settings.base_url, principal=client, now=state.clock.now(), lifetime_seconds=lifetime
    )
    answer = TokenResponse(access_token=token, expires_in=lifetime)
    return Response(
        answer.model_dump_json(),
        media_type="application/json",
        headers={"Cache-Control": "no-store", "Pragma": "no-cache"},
    )


@router.get("/.well-known/jwks.json")
async def read_jwks(request: Request, principal: Anyone) -> dict[str, Any]:
    """公钥集 The keys that verify our tokens (RFC 7517)."""
    keys: dict[str, Any] = request.app.state.keys.jwks()
    return keys


@router.get("/.well-known/oauth-authorization-server")
async def read_metadata(request: Request, principal: Anyone) -> dict[str, Any]:
    """授权服务元数据 Authorization server metadata (RFC 8414)."""
    base = request.app.state.settings.base_url
    return {
        "issuer": base,
        "token_endpoint": f"{base}/oauth/token",
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "response_types_supported": [],
    }


@router.get("/v1/agencies", response_model=AgencyList)
async def list_agencies(request: Request, principal: Administrator) -> AgencyList:
    """单位列表 Every agency with what it may submit."""
    async with request.app.state.database.transaction() as session:
        return AgencyList(agencies=await commands.list_agencies(session))


@router.get("/v1/agencies/{uscc}", response_model=AgencyRead)
async def read_agency(request: Request, uscc: Code, principal: Administrator) -> AgencyRead:
    """单位 One agency."""
    async with request.app.state.database.transaction() as session:
        return await commands.read_agency(session, uscc)


@router.put("/v1/agencies/{uscc}", response_model=AgencyRead, responses={201: {"model": AgencyRead}})
async def put_agency(
    request: Request, uscc: Code, body: AgencyWrite, principal: Administrator, idempotency_key: IdempotencyKey = None
) -> Response:
    """单位维护 Enter or change an agency and what it may submit."""
    state = request.app.state

    async def run(session: AsyncSession) -> StoredAnswer:
        agency, created = await commands.put_agency(
            session, state.catalogue, actor_of(request, principal), state.clock.now(), uscc, body
        )
        return json_answer(agency.model_dump(mode="json"), 201 if created else 200)

    return await change(request, principal, run)


@router.post("/v1/clients", response_model=ClientSecret, status_code=201)
async def create_client(request: Request, body: ClientCreate, principal: Administrator) -> Response:
    """客户端 Make a client. No Idempotency-Key here: a replay would have to store the secret."""

    async def run(session: AsyncSession) -> StoredAnswer:
        secret = await commands.create_client(
            session, actor_of(request, principal), request.app.state.clock.now(), body
        )
        return json_answer(secret.model_dump(), 201, {"Cache-Control": "no-store"})

    return await change(request, principal, run, replayable=False)


@router.post("/v1/clients/{client_id}/disable", status_code=204)
async def disable_client(
    request: Request,
    client_id: Annotated[str, Path(max_length=64, description="客户端标识")],
    principal: Administrator,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """停用客户端 Shut a client out; its tokens stop working within half a minute."""

    async def run(session: AsyncSession) -> StoredAnswer:
        await commands.disable_client(session, actor_of(request, principal), request.app.state.clock.now(), client_id)
        return StoredAnswer(204, {}, b"")

    return await change(request, principal, run)
