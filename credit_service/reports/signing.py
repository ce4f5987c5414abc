"""The signature of a report: a JWS over its digest (``accounts.document_signatures``)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from credit_service.accounts import document_signatures
from credit_service.accounts.document_signatures import SignatureInvalid
from credit_service.accounts.keys import SigningKey
from credit_service.audit.events import canonical_json

TYPE = "credit-report+jws"


def signed(key: SigningKey, report: Mapping[str, Any]) -> bytes:
    """A report with its digest and a signature that names it, its number, its subject and its instant."""
    canonical = canonical_json(report)
    digest = hashlib.sha256(canonical).hexdigest()
    claims = {**_claims(report), "sha256": digest}
    token = document_signatures.sign(key, TYPE, claims)
    return b'{"digest":"%b","jws":"%b","report":%b}' % (digest.encode(), token.encode(), canonical)


def verified(document: Mapping[str, Any], jwks: Mapping[str, Any]) -> dict[str, Any]:
    """The claims of a report's signature. Raises ``SignatureInvalid``."""
    try:
        report, token = document["report"], document["jws"]
        expected = _claims(report)
    except (KeyError, TypeError) as error:
        raise SignatureInvalid("not a report of the registry") from error
    digest = hashlib.sha256(canonical_json(report)).hexdigest()
    document_signatures.nothing_else(document, "report", digest)
    claims = document_signatures.verified(token, TYPE, jwks, digest, dated="issued_at")
    if {**expected, "sha256": digest} != claims:
        raise SignatureInvalid("the report is not the one that was signed")
    return claims


def _claims(report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "iss": report["issuer"],
        "number": report["number"],
        "sub": report["registration"]["uscc"],
        "issued_at": report["issued_at"],
        "audience": report["audience"],
        "records": sum(len(section["records"]) for section in report["sections"]),
    }
