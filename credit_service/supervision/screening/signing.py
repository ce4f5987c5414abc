"""The signature of a result: a JWS over its digest, checked offline with the service's JWK set (RFC 7515, RFC 7517)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from jose import jws
from jose.exceptions import JOSEError

from credit_service.accounts.keys import KeyStore
from credit_service.audit.events import canonical_json
from credit_service.platform.days import rfc3339

ALGORITHM = "ES256"
TYPE = "screening-result+jws"
"""Not the type of an access token, so that neither is ever taken for the other."""


class SignatureInvalid(Exception):
    """A result is not what was signed, or was not signed by these keys."""


def sign(keys: KeyStore, *, issuer: str, holds_at: datetime, count: int, digest: str) -> str:
    """A compact JWS that says: this registry gave a result of this digest, on ``count`` subjects, for this instant."""
    key = keys.signing()
    claims = {"iss": issuer, "holds_at": rfc3339(holds_at), "count": count, "sha256": digest}
    signed: str = jws.sign(canonical_json(claims), key.pem, headers={"kid": key.kid, "typ": TYPE}, algorithm=ALGORITHM)
    return signed


def verified(token: str, jwks: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """The claims of a signature over ``digest``. Raises ``SignatureInvalid`` and says what is wrong."""
    try:
        header = jws.get_unverified_header(token)
        keys = [key for key in jwks.get("keys", ()) if key.get("kid") == header.get("kid")]
        if header.get("typ") != TYPE or not keys:
            raise SignatureInvalid("not a screening's signature, or its key is not in the set")
        claims: dict[str, Any] = orjson.loads(jws.verify(token, keys[0], [ALGORITHM]))
    except JOSEError as error:
        raise SignatureInvalid("the signature does not verify") from error
    if claims.get("sha256") != digest:
        raise SignatureInvalid("the result is not the one that was signed")
    return claims


def verify_answer(answer: bytes, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """The claims of a stored answer, of ``POST /v1/screenings`` or of its stream. Raises ``SignatureInvalid``."""
    try:
        document = orjson.loads(answer)
        digest = hashlib.sha256(canonical_json(document["result"])).hexdigest()
        token, count = document["jws"], len(document["result"]["subjects"])
    except orjson.JSONDecodeError:
        body, _, last = answer.rstrip(b"\n").rpartition(b"\n")
        # The lines between the first, which says for what instant, and the one of totals are the subjects.
        digest, count = hashlib.sha256(body + b"\n").hexdigest(), body.count(b"\n") - 1
        token = _trailer(last)
    except (KeyError, TypeError) as error:
        raise SignatureInvalid("not an answer of a screening") from error
    claims = verified(token, jwks, digest)
    if claims["count"] != count:
        raise SignatureInvalid(f"{count} subjects, {claims['count']} were signed")
    return claims


def _trailer(line: bytes) -> str:
    try:
        return str(orjson.loads(line)["jws"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise SignatureInvalid("the stream ends without its signature") from error
