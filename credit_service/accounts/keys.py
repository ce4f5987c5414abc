"""Keys that sign access tokens: ES256 (RFC 7518), one PEM file each, named by RFC 7638 thumbprint.

The newest key signs; older ones verify until ``retire`` removes them, after the last token they signed has expired.
Processes re-read the directory when it changes, so a rotation on the command line reaches all of them.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

RELOAD_SECONDS = 2.0


def _base64url(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, its public JWK and the instant (Unix seconds) it was made."""

    kid: str
    pem: str
    jwk: dict[str, str]
    made_at: float


def _public_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    members = {"crv": "P-256", "kty": "EC", "x": _base64url(numbers.x), "y": _base64url(numbers.y)}
    digest = hashlib.sha256(orjson.dumps(members, option=orjson.OPT_SORT_KEYS)).digest()
    kid = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return {**members, "kid": kid, "alg": "ES256", "use": "sig"}


class KeyStore:
    """The signing keys of an installation. Files are 0600 in a 0700 directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._keys: dict[str, SigningKey] = {}
        self._stamp: tuple[tuple[str, float], ...] | None = None
        self._checked_at = float("-inf")

    def rotate(self) -> SigningKey:
        """Make a key; it signs from now on, older keys go on verifying."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory.chmod(0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        kid = _public_jwk(key)["kid"]
        temporary = self.directory / f".{kid}.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self.directory / f"{kid}.pem")
        self._checked_at = float("-inf")
        return self.all()[kid]

    def retire(self, older_than_seconds: float) -> list[str]:
        """Remove keys that no longer sign and were replaced at least that long ago; gives their ids."""
        ordered = sorted(self.all().values(), key=lambda key: (key.made_at, key.kid))
        removed = []
        for key, successor in pairwise(ordered):
            if successor.made_at <= time.time() - older_than_seconds:
                (self.directory / f"{key.kid}.pem").unlink(missing_ok=True)
                removed.append(key.kid)
        self._checked_at = float("-inf")
        return removed

    def all(self) -> dict[str, SigningKey]:
        """Every key by id, the files' newest state (looked at every two seconds at most)."""
        now = time.monotonic()
        if now - self._checked_at >= RELOAD_SECONDS:
            self._checked_at = now
            files = sorted(self.directory.glob("*.pem")) if self.directory.is_dir() else []
            stamp = tuple((file.name, file.stat().st_mtime) for file in files)
            if stamp != self._stamp:
                self._keys = {key.kid: key for key in map(_read, files)}
                self._stamp = stamp
        return self._keys

    def signing(self) -> SigningKey:
        """The newest key; the first call of a new installation makes one."""
        keys = self.all()
        if not keys:
            return self.rotate()
        return max(keys.values(), key=lambda key: (key.made_at, key.kid))

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JWK set (RFC 7517)."""
        self.signing()
        return {"keys": [key.jwk for key in self.all().values()]}


def _read(file: Path) -> SigningKey:
    pem = file.read_bytes()
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{file} is not an elliptic-curve key")
    jwk = _public_jwk(key)
    return SigningKey(kid=jwk["kid"], pem=pem.decode(), jwk=jwk, made_at=file.stat().st_mtime)
