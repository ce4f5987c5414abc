"""HTTP of OAuth: the token endpoint with three ways to prove oneself, revocation, keys, metadata."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple
from urllib.parse import parse_qs, unquote_plus

import orjson
from fastapi import APIRouter, Depends, Request, Response

from credit_service.accounts import assertions, commands, store, tokens
from credit_service.accounts.certificates import presented
from credit_service.accounts.dependencies import requires
from credit_service.accounts.models import DocumentKeySet, TokenResponse
from credit_service.accounts.published_keys import key_set
from credit_service.accounts.rules import Permission, Principal
from credit_service.accounts.signatures import ALGORITHMS
from credit_service.platform.errors import Problem
from credit_service.platform.http import actor_of

router = APIRouter(tags=["accounts 账户"])

Anyone = Annotated[Principal, Depends(requires(Permission.DISCOVER))]

_CREDENTIALS = {
    "client_id": {"type": "string"},
    "client_secret": {"type": "string", "format": "password"},
    "client_assertion_type": {"type": "string", "const": assertions.TYPE},
    "client_assertion": {"type": "string"},
}


def _form(required: str, properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": [required], "properties": properties | _CREDENTIALS}
    return {"requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": schema}}}}


_LARGEST_FORM = 16_384


class _Refused(Exception):
    """An answer of RFC 6749 section 5.2."""

    def __init__(self, code: str, status: int = 400) -> None:
        headers = {"Cache-Control": "no-store"} | ({"WWW-Authenticate": "Basic"} if status == 401 else {})
        self.response = Response(orjson.dumps({"error": code}), status, headers, media_type="application/json")


class _Credentials(NamedTuple):
    """What a client sent: the other parameters of its form, and who it proved to be."""

    form: dict[str, str]
    client: Principal
    certificate: str | None


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


async def _parameters(request: Request) -> dict[str, str]:
    body = await request.body()
    given = parse_qs(body.decode("utf-8", "replace"))
    # RFC 6749 section 3.2: no parameter twice.
    if len(body) > _LARGEST_FORM or any(len(values) > 1 for values in given.values()):
        raise _Refused("invalid_request")
    return {key: values[0] for key, values in given.items()}


async def _client(request: Request, form: dict[str, str]) -> _Credentials:
    """The client, by exactly one proof: a secret, a signed assertion or its certificate."""
    state = request.app.state
    basic = _basic(request.headers.get("authorization"))
    asserted = form.get("client_assertion")
    # RFC 6749 section 2.3: not more than one way to authenticate.
    if [basic is not None, "client_secret" in form, asserted is not None].count(True) > 1:
        raise _Refused("invalid_request")
    try:
        certificate = presented(request)
    except Problem as problem:
        raise _Refused("invalid_client", 401) from problem
    base = state.settings.base_url
    if asserted is not None:
        if form.get("client_assertion_type") != assertions.TYPE:
            raise _Refused("invalid_request")
        async with state.database.transaction() as session:
            found = await assertions.check_assertion(
                session, asserted, audiences=(base, f"{base}/oauth/token"), now=state.clock.now()
            )
        if found is not None and form.get("client_id", found.id[7:]) != found.id[7:]:
            found = None
    elif basic is not None or "client_secret" in form:
        given = basic or (form.get("client_id", ""), form["client_secret"])
        found = await commands.check_secret(state.database, *given)
    else:
        found = await commands.check_certificate(state.database, form.get("client_id", ""), certificate)
    if found is None:
        raise _Refused("invalid_client", 401)
    return _Credentials(form, found, certificate)


@router.post(
    "/oauth/token",
    response_model=TokenResponse,
    openapi_extra=_form("grant_type", {"grant_type": {"type": "string", "const": "client_credentials"}}),
)
async def issue_token(request: Request, principal: Anyone) -> Response:
    """令牌 Access token by client credentials (RFC 6749 section 4.4).

    A client proves itself by its secret (Basic header or form), by a signed assertion (private_key_jwt, RFC 7523) or by
    its certificate (RFC 8705); a token asked for with a certificate is bound to it.
    """
    try:
        form = await _parameters(request)
        if form.get("grant_type") != "client_credentials":
            raise _Refused("unsupported_grant_type" if "grant_type" in form else "invalid_request")
        found = await _client(request, form)
    except _Refused as refused:
        return refused.response
    state = request.app.state
    lifetime = state.settings.token_lifetime_seconds
    await state.published_keys.signing()  # a key that was revoked signs no token either
    token = tokens.issue(
        state.keys,
        issuer=state.settings.base_url,
        principal=found.client,
        now=state.clock.now(),
        lifetime_seconds=lifetime,
        certificate=found.certificate,
    )
    answer = TokenResponse(access_token=token, expires_in=lifetime)
    return Response(
        answer.model_dump_json(),
        media_type="application/json",
        headers={"Cache-Control": "no-store", "Pragma": "no-cache"},
    )


@router.post("/oauth/revoke", openapi_extra=_form("token", {"token": {"type": "string"}}))
async def revoke_token(request: Request, principal: Anyone) -> Response:
    """撤销令牌 Revoke a token of one's own (RFC 7009); every process refuses it within half a minute.

    The answer is the same whether the token was good or not.
    """
    try:
        form = await _parameters(request)
        if "token" not in form:
            raise _Refused("invalid_request")
        found = await _client(request, form)
    except _Refused as refused:
        return refused.response
    state = request.app.state
    now = state.clock.now()
    try:
        verified = tokens.verify(state.keys, form["token"], issuer=state.settings.base_url, now=now)
    except Problem:
        verified = None
    if verified is not None and verified.principal.id == found.client.id and verified.token_id:
        expires = datetime.fromtimestamp(verified.expires, UTC)
        async with state.database.transaction() as session:
            await commands.revoke_token(session, actor_of(request, found.client), now, verified.token_id, expires)
    return Response(status_code=200, headers={"Cache-Control": "no-store"})


@router.get("/.well-known/jwks.json")
async def read_jwks(request: Request, principal: Anyone) -> dict[str, Any]:
    """公钥集 The keys that verify our tokens (RFC 7517)."""
    keys: dict[str, Any] = request.app.state.keys.jwks()
    return keys


@router.get("/.well-known/document-keys.json", response_model=DocumentKeySet, response_model_exclude_none=True)
async def read_document_keys(request: Request, principal: Anyone) -> DocumentKeySet:
    """文件签名公钥 Every key that ever signed a report or a screening, from when until when, and which were revoked.

    They verify documents and never a token: those are verified by ``/.well-known/jwks.json`` alone.
    """
    async with request.app.state.database.transaction() as session:
        return key_set(await store.published_keys(session))


@router.get("/.well-known/oauth-authorization-server")
async def read_metadata(request: Request, principal: Anyone) -> dict[str, Any]:
    """授权服务元数据 Authorization server metadata (RFC 8414)."""
    settings = request.app.state.settings
    base = settings.base_url
    methods = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
    bound = settings.client_certificate_header
    return {
        "issuer": base,
        "token_endpoint": f"{base}/oauth/token",
        "revocation_endpoint": f"{base}/oauth/revoke",
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": methods + ["self_signed_tls_client_auth"] * bound,
        "token_endpoint_auth_signing_alg_values_supported": sorted(ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": methods + ["self_signed_tls_client_auth"] * bound,
        "tls_client_certificate_bound_access_tokens": bound,
        "response_types_supported": [],
    }
