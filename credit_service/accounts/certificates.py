"""Client certificates 客户端证书 as a TLS proxy hands them on (RFC 9440), and what is bound to them (RFC 8705)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from fastapi import Request

from credit_service.accounts.rules import UNAUTHENTICATED
from credit_service.platform.errors import Problem

HEADER = "client-cert"
CHALLENGE = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
LARGEST = 16_384


def thumbprint(der: bytes) -> str:
    """``x5t#S256`` of a certificate: SHA-256 of its DER bytes, base64url without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def presented(request: Request) -> str | None:
    """The thumbprint of the certificate the caller's connection proved, ``None`` without one.

    The header counts only where the settings say that a TLS proxy sets it, and removes what callers send. Raises
    ``UNAUTHENTICATED`` for a header that is no byte sequence (RFC 9440 section 2.1).
    """
    if not request.app.state.settings.client_certificate_header:
        return None
    values = request.headers.getlist(HEADER)
    if not values:
        return None
    text = values[0].strip()
    if len(values) > 1 or len(text) > LARGEST or len(text) < 3 or (text[0], text[-1]) != (":", ":"):
        raise Problem(UNAUTHENTICATED, detail="client certificate unreadable", headers=CHALLENGE)
    try:
        return thumbprint(base64.b64decode(text[1:-1], validate=True))
    except binascii.Error as error:
        raise Problem(UNAUTHENTICATED, detail="client certificate unreadable", headers=CHALLENGE) from error
