"""The signature of a screening's result: a JWS over its digest (``accounts.document_signatures``)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from credit_service.accounts import document_signatures
from credit_service.accounts.document_signatures import SignatureInvalid
from credit_service.accounts.keys import SigningKey
from credit_service.audit.answers import read_answer
from credit_service.audit.events import canonical_json
from credit_service.platform.days import rfc3339

TYPE = "screening-result+jws"


def sign(key: SigningKey, *, issuer: str, holds_at: datetime, count: int, digest: str) -> str:
    """A compact JWS that says: this registry gave a result of this digest, on ``count`` subjects, for this instant."""
    claims = {"iss": issuer, "holds_at": rfc3339(holds_at), "count": count, "sha256": digest}
    return document_signatures.sign(key, TYPE, claims)


class Signature(NamedTuple):
    """A stored answer's signature, and what it must be of."""

    token: str
    digest: str
    holds_at: Any
    subjects: int


def signature_of(answer: bytes) -> Signature:
    """The signature of a stored answer, of ``POST /v1/screenings`` or of its stream. Raises ``SignatureInvalid``."""
    try:
        document = read_answer(answer)
        result = document["result"]
        digest = hashlib.sha256(canonical_json(result)).hexdigest()
        document_signatures.nothing_else(document, "result", digest)
        return Signature(document["jws"], digest, result["holds_at"], len(result["subjects"]))
    except ValueError:
        return _signature_of_stream(answer)
    except (KeyError, TypeError) as error:
        raise SignatureInvalid("not an answer of a screening") from error


def verify_answer(answer: bytes, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """The claims of a stored answer's signature. Raises ``SignatureInvalid``."""
    found = signature_of(answer)
    claims = document_signatures.verified(found.token, TYPE, jwks, found.digest, dated="holds_at")
    if claims["count"] != found.subjects:
        raise SignatureInvalid(f"{found.subjects} subjects, {claims['count']} were signed")
    if claims["holds_at"] != found.holds_at:
        raise SignatureInvalid("the answer holds at another instant than was signed")
    return claims


def _signature_of_stream(answer: bytes) -> Signature:
    body, _, last = answer.rstrip(b"\n").rpartition(b"\n")
    digest = hashlib.sha256(body + b"\n").hexdigest()
    token = _trailer(last, digest)
    try:
        holds_at = read_answer(body.partition(b"\n")[0])["holds_at"]
    except (ValueError, KeyError) as error:
        raise SignatureInvalid("the stream does not begin with its instant") from error
    # The lines between the first, which says for what instant, and the one of totals are the subjects.
    return Signature(token, digest, holds_at, body.count(b"\n") - 1)


def _trailer(line: bytes, digest: str) -> str:
    try:
        trailer = read_answer(line)
    except ValueError as error:
        raise SignatureInvalid("the stream ends without its signature") from error
    if trailer.keys() != {"jws", "sha256"} or trailer["sha256"] != digest:
        raise SignatureInvalid("the stream ends with something else than its signature")
    return str(trailer["jws"])
