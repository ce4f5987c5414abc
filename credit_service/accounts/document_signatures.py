"""Signatures of what the registry hands out: a JWS over its digest, checked offline with the service's JWK set.

RFC 7515, RFC 7517. Each kind of document has its own ``typ``, so that none is ever taken for another, or for a token.
A key of ``/.well-known/document-keys.json`` also says from when until when it signed, and since when it is revoked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from jose import jws
from jose.exceptions import JOSEError

from credit_service.accounts.keys import SigningKey
from credit_service.audit.events import canonical_json

ALGORITHM = "ES256"


LEEWAY_SECONDS = 60
"""How far clocks may differ, and how long a process may go on signing with a key that was just replaced."""


class SignatureInvalid(Exception):
    """A document is not what was signed, or was not signed by these keys."""

    fault = "report-forged"


class KeyRevoked(SignatureInvalid):
    """A document of an instant since when its key is not to be believed."""

    fault = "key-revoked"


class KeyNotInUse(SignatureInvalid):
    """A document of an instant at which its key did not sign."""

    fault = "key-not-in-use"


def sign(key: SigningKey, kind: str, claims: Mapping[str, Any]) -> str:
    """A compact JWS of type ``kind`` over ``claims``, of which ``sha256`` is the document's digest (hexadecimal)."""
    signed: str = jws.sign(canonical_json(claims), key.pem, headers={"kid": key.kid, "typ": kind}, algorithm=ALGORITHM)
    return signed


def nothing_else(document: Mapping[str, Any], member: str, digest: str) -> None:
    """Whether a document holds what was signed, its digest, the signature, and no more. Raises ``SignatureInvalid``."""
    if document.keys() != {"digest", "jws", member}:
        raise SignatureInvalid("the document says something beside what was signed")
    if document["digest"] != digest:
        raise SignatureInvalid("the document is not the one that was signed")


def verified(token: str, kind: str, jwks: Mapping[str, Any], digest: str, dated: str) -> dict[str, Any]:
    """The claims of a signature over ``digest``, of the instant in the claim ``dated``.

    Raises ``SignatureInvalid`` and says what is wrong; ``KeyRevoked`` and ``KeyNotInUse`` where the key did sign.
    """
    try:
        kid = jws.get_unverified_header(token).get("kid")
        keys = [key for key in jwks.get("keys", ()) if key.get("kid") == kid]
        if jws.get_unverified_header(token).get("typ") != kind or not keys:
            raise SignatureInvalid(f"not a signature of type {kind}, or its key is not in the set")
        claims: dict[str, Any] = orjson.loads(jws.verify(token, keys[0], [ALGORITHM]))
        if claims.get("sha256") != digest:
            raise SignatureInvalid("the document is not the one that was signed")
        _check_times(keys, datetime.fromisoformat(claims[dated]))
    except (JOSEError, AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise SignatureInvalid("the signature does not verify") from error
    return claims


def revocation(token: str, jwks: Mapping[str, Any]) -> datetime | None:
    """Since when the key of a signature that verified is revoked, if it is: its documents may be dated back."""
    kid = jws.get_unverified_header(token).get("kid")
    return _revoked_at(key for key in jwks["keys"] if key.get("kid") == kid)


def _revoked_at(keys: Iterable[Mapping[str, Any]]) -> datetime | None:
    instants = [key["revoked"]["revoked_at"] for key in keys if key.get("revoked") is not None]
    return datetime.fromtimestamp(min(instants), UTC) if instants else None


def _check_times(keys: list[dict[str, Any]], instant: datetime) -> None:
    """Several sets may hold one key; what any of them says against it counts."""
    revoked_at = _revoked_at(keys)
    if revoked_at is not None and instant >= revoked_at:
        raise KeyRevoked(f"of {_text(instant)}, and its key is revoked since {_text(revoked_at)}")
    for key in keys:
        first, last = key.get("iat"), key.get("exp")
        if first is not None and instant.timestamp() < first - LEEWAY_SECONDS:
            raise KeyNotInUse(f"of {_text(instant)}, before its key was made")
        if last is not None and instant.timestamp() > last + LEEWAY_SECONDS:
            raise KeyNotInUse(f"of {_text(instant)}, after its key was replaced")


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds")
