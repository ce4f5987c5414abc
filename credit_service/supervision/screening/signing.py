"""The signature of a screening's result: a JWS over its digest (``accounts.document_signatures``)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from credit_service.accounts import document_signatures
from credit_service.accounts.document_signatures import SignatureInvalid
from credit_service.accounts.keys import KeyStore
from credit_service.audit.answers import read_answer
from credit_service.audit.events import canonical_json
from credit_service.platform.days import rfc3339

TYPE = "screening-result+jws"


def sign(keys: KeyStore, *, issuer: str, holds_at: datetime, count: int, digest: str) -> str:
    """A compact JWS that says: this registry gave a result of this digest, on ``count`` subjects, for this instant."""
    claims = {"iss": issuer, "holds_at": rfc3339(holds_at), "count": count, "sha256": digest}
    return document_signatures.sign(keys, TYPE, claims)


def verify_answer(answer: bytes, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """The claims of a stored answer, of ``POST /v1/screenings`` or of its stream. Raises ``SignatureInvalid``."""
    try:
        document = read_answer(answer)
        digest = hashlib.sha256(canonical_json(document["result"])).hexdigest()
        token, count = document["jws"], len(document["result"]["subjects"])
        document_signatures.nothing_else(document, "result", digest)
    except ValueError:
        body, _, last = answer.rstrip(b"\n").rpartition(b"\n")
        # The lines between the first, which says for what instant, and the one of totals are the subjects.
        digest, count = hashlib.sha256(body + b"\n").hexdigest(), body.count(b"\n") - 1
        token = _trailer(last, digest)
    except (KeyError, TypeError) as error:
        raise SignatureInvalid("not an answer of a screening") from error
    claims = document_signatures.verified(token, TYPE, jwks, digest)
    if claims["count"] != count:
        raise SignatureInvalid(f"{count} subjects, {claims['count']} were signed")
    return claims


def _trailer(line: bytes, digest: str) -> str:
    try:
        trailer = read_answer(line)
    except ValueError as error:
        raise SignatureInvalid("the stream ends without its signature") from error
    if trailer.keys() != {"jws", "sha256"} or trailer["sha256"] != digest:
        raise SignatureInvalid("the stream ends with something else than its signature")
    return str(trailer["jws"])
