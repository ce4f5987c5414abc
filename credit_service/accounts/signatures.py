"""Keys of external providers, checked when they arrive: which algorithm each may verify (RFC 7517, RFC 7518)."""

from __future__ import annotations

from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from jose import jwk
from jose.backends.base import Key
from jose.backends.cryptography_backend import CryptographyRSAKey

ALGORITHMS = frozenset({"ES256", "RS256", "PS256"})
SMALLEST_RSA_BITS = 2048  # RFC 7518 sections 3.3 and 3.5

VerifyingKeys = dict[str, Key]
"""The keys made of one JWK, by the algorithm that each verifies."""


class PssKey(CryptographyRSAKey):
    """PS256 (RFC 7518 section 3.5), which python-jose does not know."""

    def __init__(self, key: dict[str, Any]) -> None:
        super().__init__(key, "RS256")

    def verify(self, msg: bytes, sig: bytes) -> bool:
        """Whether a signature over a message is this key's; the salt is as long as the digest."""
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
        try:
            self.prepared_key.verify(sig, msg, scheme, hashes.SHA256())
        except InvalidSignature:
            return False
        return True


def _large_enough(key: Any) -> bool:
    return isinstance(key, rsa.RSAPublicKey) and key.key_size >= SMALLEST_RSA_BITS


def verifying_keys(member: dict[str, Any]) -> VerifyingKeys:
    """What a JWK may verify: nothing unless it is a public RSA key of 2048 bits or more, or one on P-256.

    The type of the key decides and never the header of a token, so that no key is taken for one of another kind.
    Raises ``ValueError``, ``TypeError`` or python-jose's ``JWKError`` for a key that cannot be read.
    """
    if member.get("use", "sig") != "sig" or "d" in member:
        return {}
    found: VerifyingKeys = {}
    if member.get("kty") == "RSA":
        pss = PssKey(member)
        if _large_enough(pss.prepared_key):
            found = {"RS256": jwk.construct(member, "RS256"), "PS256": pss}
    elif (member.get("kty"), member.get("crv")) == ("EC", "P-256"):
        found = {"ES256": jwk.construct(member, "ES256")}
    declared = member.get("alg")
    return found if declared is None else {name: key for name, key in found.items() if name == declared}
