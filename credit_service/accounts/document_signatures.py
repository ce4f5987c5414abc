"""Signatures of what the registry hands out: a JWS over its digest, checked offline with the service's JWK set.

RFC 7515, RFC 7517. Each kind of document has its own ``typ``, so that none is ever taken for another, or for a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from jose import jws
from jose.exceptions import JOSEError

from credit_service.accounts.keys import KeyStore
from credit_service.audit.events import canonical_json

ALGORITHM = "ES256"


class SignatureInvalid(Exception):
    """A document is not what was signed, or was not signed by these keys."""


def sign(keys: KeyStore, kind: str, claims: Mapping[str, Any]) -> str:
    """A compact JWS of type ``kind`` over ``claims``, of which ``sha256`` is the document's digest (hexadecimal)."""
    key = keys.signing()
    signed: str = jws.sign(canonical_json(claims), key.pem, headers={"kid": key.kid, "typ": kind}, algorithm=ALGORITHM)
    return signed


def nothing_else(document: Mapping[str, Any], member: str, digest: str) -> None:
    """Whether a document holds what was signed, its digest, the signature, and no more. Raises ``SignatureInvalid``."""
    if document.keys() != {"digest", "jws", member}:
        raise SignatureInvalid("the document says something beside what was signed")
    if document["digest"] != digest:
        raise SignatureInvalid("the document is not the one that was signed")


def verified(token: str, kind: str, jwks: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """The claims of a signature over ``digest``. Raises ``SignatureInvalid`` and says what is wrong."""
    try:
        header = jws.get_unverified_header(token)
        keys = [key for key in jwks.get("keys", ()) if key.get("kid") == header.get("kid")]
        if header.get("typ") != kind or not keys:
            raise SignatureInvalid(f"not a signature of type {kind}, or its key is not in the set")
        claims: dict[str, Any] = orjson.loads(jws.verify(token, keys[0], [ALGORITHM]))
    except (JOSEError, AttributeError, TypeError, ValueError) as error:
        raise SignatureInvalid("the signature does not verify") from error
    if claims.get("sha256") != digest:
        raise SignatureInvalid("the document is not the one that was signed")
    return claims
