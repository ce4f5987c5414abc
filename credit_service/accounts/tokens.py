"""Access tokens: JWTs signed ES256 (RFC 7519, RFC 9068), checked against our own clock."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from jose import jws, jwt
from jose.backends.base import Key
from jose.exceptions import JOSEError
from uuid_utils import uuid7

from credit_service.accounts.keys import KeyStore
from credit_service.accounts.rules import UNAUTHENTICATED, Principal, Role, complete
from credit_service.platform.errors import Problem

ALGORITHM = "ES256"
TYPE = "at+jwt"
AUDIENCE = "credit-service"
LEEWAY_SECONDS = 30
LATEST = 253402300799  # the end of the year 9999
CHALLENGE = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


def refused(reason: str) -> Problem:
    """The 401 of a token, with a reason that says nothing of its content."""
    return Problem(UNAUTHENTICATED, detail=reason, headers=CHALLENGE)


def issue(
    keys: KeyStore,
    *,
    issuer: str,
    principal: Principal,
    now: datetime,
    lifetime_seconds: int,
    certificate: str | None = None,
) -> str:
    """A token for a client of our own, valid from ``now`` for ``lifetime_seconds``.

    With the thumbprint of a ``certificate`` it is good on that certificate's connections only (RFC 8705 section 3).
    """
    key = keys.signing()
    issued = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": principal.id,
        "aud": AUDIENCE,
        "iat": issued,
        "nbf": issued,
        "exp": issued + lifetime_seconds,
        "jti": str(uuid7()),
        "credit_role": principal.role.value,
    }
    if principal.agency_uscc:
        claims["credit_agency"] = principal.agency_uscc
    if principal.entity_uscc:
        claims["credit_entity"] = principal.entity_uscc
    if certificate:
        claims["cnf"] = {"x5t#S256": certificate}
    token: str = jwt.encode(claims, key.pem, algorithm=ALGORITHM, headers={"kid": key.kid, "typ": TYPE})
    return token


def header_of(token: str) -> dict[str, Any]:
    """The unverified header, for choosing a key. Raises ``UNAUTHENTICATED``."""
    try:
        header: dict[str, Any] = jws.get_unverified_header(token)
    except (JOSEError, RecursionError) as error:
        raise refused("malformed token") from error
    if "crit" in header:
        raise refused("extension not supported")  # RFC 7515 section 4.1.11
    return header


def verified_claims(token: str, key: Key | dict[str, Any], algorithms: frozenset[str]) -> dict[str, Any]:
    """The claims of a token whose signature fits ``key``; the algorithm is allow-listed before anything is decoded.

    python-jose's own checks of times are off: they read the machine's clock, and ours may be a handed-in one.
    """
    algorithm = header_of(token).get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise refused("algorithm not allowed")
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            options=dict.fromkeys(("verify_aud", "verify_exp", "verify_nbf", "verify_iat", "verify_at_hash"), False),
        )
    except JOSEError as error:
        raise refused("signature does not verify") from error
    return claims


def check_claims(claims: dict[str, Any], *, issuer: str, audience: str, now: datetime) -> float:
    """Check iss, aud, exp and nbf with 30 seconds of leeway; gives exp (Unix seconds). Raises ``UNAUTHENTICATED``."""
    audiences = claims.get("aud")
    if claims.get("iss") != issuer:
        raise refused("wrong issuer")
    if audience not in (audiences if isinstance(audiences, list) else [audiences]):
        raise refused("wrong audience")
    expires, not_before = _numeric_date(claims.get("exp")), _numeric_date(claims.get("nbf", 0))
    instant = now.timestamp()
    if instant >= expires + LEEWAY_SECONDS:
        raise refused("expired")
    if instant < not_before - LEEWAY_SECONDS:
        raise refused("not yet valid")
    return expires


def _numeric_date(value: object) -> float:
    """A NumericDate (RFC 7519 section 2). JSON as Python reads it also has NaN and infinity, which never expire."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
        raise refused("times missing")
    return float(value)


def principal_of(identity: str, role: object, agency: object, entity: object) -> Principal:
    """The principal of checked claims. An unknown role is refused, never defaulted. Raises ``UNAUTHENTICATED``."""
    if not isinstance(role, str) or role not in {known.value for known in Role} or role == Role.PUBLIC:
        raise refused("unknown role")
    principal = Principal(
        id=identity,
        role=Role(role),
        agency_uscc=agency if isinstance(agency, str) else None,
        entity_uscc=entity if isinstance(entity, str) else None,
    )
    if not complete(principal):
        raise refused("the role needs an agency or an entity")
    return principal


class Verified(NamedTuple):
    """What a good token says: who, until when (Unix seconds), bound to which certificate, under which id and key."""

    principal: Principal
    expires: float
    certificate: str | None = None
    token_id: str | None = None
    key_id: str | None = None


def verify(keys: KeyStore, token: str, *, issuer: str, now: datetime) -> Verified:
    """What one of our own tokens says. Raises ``UNAUTHENTICATED``."""
    header = header_of(token)
    key = keys.find(str(header.get("kid")))
    if key is None:
        raise refused("unknown key")
    if header.get("typ") != TYPE:
        raise refused("not an access token")
    claims = verified_claims(token, dict(key.jwk), frozenset({ALGORITHM}))
    expires = check_claims(claims, issuer=issuer, audience=AUDIENCE, now=now)
    principal = principal_of(
        str(claims.get("sub")), claims.get("credit_role"), claims.get("credit_agency"), claims.get("credit_entity")
    )
    return Verified(principal, expires, bound_certificate(claims), str(claims.get("jti")), key.kid)


def bound_certificate(claims: dict[str, Any]) -> str | None:
    """The thumbprint a token is bound to. Raises ``UNAUTHENTICATED`` for a binding we cannot check."""
    confirmation = claims.get("cnf")
    if confirmation is None:
        return None
    found = confirmation.get("x5t#S256") if isinstance(confirmation, dict) else None
    if not isinstance(found, str):
        raise refused("binding not supported")
    return found
