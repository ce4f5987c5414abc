"""Keys that sign access tokens: ES256 (RFC 7518), one PEM file each, named by RFC 7638 thumbprint.

The newest key signs. One that was replaced verifies for as long as a token it signed may live, and then no longer,
whether or not ``retire`` has removed its file. Processes re-read the directory when it changes, so a rotation on the
command line reaches all of them.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

RELOAD_SECONDS = 2.0
LONGEST_LIFETIME_SECONDS = 86400
"""The most that ``token_lifetime_seconds`` may be set to."""


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
    """The signing keys of an installation. Files are 0600 in a 0700 directory.

    ``lifetime_seconds`` is the longest a token lives: a replaced key verifies for that long after its replacement.
    """

    def __init__(self, directory: Path, *, lifetime_seconds: float = LONGEST_LIFETIME_SECONDS) -> None:
        self.directory = directory
        self.lifetime_seconds = lifetime_seconds
        self._known: dict[str, SigningKey] = {}
        self._keys: dict[str, SigningKey] = {}
        self._refused: set[str] = set()
        self._ends: dict[str, float] = {}
        self._stamp: tuple[tuple[str, float], ...] | None = None
        self._checked_at = float("-inf")

    def rotate(self) -> SigningKey:
        """Make a key; it signs from now on, older keys go on verifying for the lifetime of their tokens."""
        self._make_directory()
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
        self._reread()
        return self._keys[kid]

    def newest(self) -> SigningKey:
        """The key that signs, after a look at the directory as it is now."""
        self._reread()
        return self.signing()

    def replace(self, kid: str) -> SigningKey:
        """The key that signs, once this one no longer may although its file is the newest: made unless another process
        has."""
        with self._alone():
            self._reread()
            ended = self._known.get(kid)
            self._refused.add(kid)
            self._stamp = None
            self._reread()
            newest = max(self._keys.values(), key=_age, default=None)
            if newest is None or (ended is not None and newest.made_at < ended.made_at):
                return self.rotate()
            return newest

    def remove(self, kid: str) -> None:
        """Remove a key at once: within seconds no process signs or accepts anything by it."""
        (self.directory / f"{kid}.pem").unlink(missing_ok=True)
        self._reread()

    def retire(self, older_than_seconds: float) -> list[str]:
        """Remove keys that no longer sign and were replaced at least that long ago; gives their ids."""
        self._reread()
        removed = []
        for key, successor in pairwise(_in_order(self._known)):
            if successor.made_at <= time.time() - older_than_seconds:
                (self.directory / f"{key.kid}.pem").unlink(missing_ok=True)
                removed.append(key.kid)
        self._reread()
        return removed

    def all(self) -> dict[str, SigningKey]:
        """Every key by id, the files' newest state (looked at every two seconds at most)."""
        if time.monotonic() - self._checked_at >= RELOAD_SECONDS:
            self._reread()
        return self._keys

    def find(self, kid: str) -> SigningKey | None:
        """The key that verifies tokens with this id, if it still may.

        An id that is not known may be another process's new key: the directory is looked at again at once, which
        costs less than the signature check that a known id would.
        """
        key = self.all().get(kid)
        if key is None:
            self._reread()
            key = self._keys.get(kid)
        return key if key is not None and self._verifies(key) else None

    def signing(self) -> SigningKey:
        """The newest key; the first call of a new installation makes one, whichever process comes first."""
        if not self.all():
            with self._alone():
                self._reread()
                if not self._keys:
                    return self.rotate()
        return max(self._keys.values(), key=_age)

    def in_order(self) -> list[SigningKey]:
        """Every key, the oldest first."""
        return _in_order(self.all())

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JWK set (RFC 7517), those that no longer verify left out."""
        self.signing()
        return {"keys": [key.jwk for key in self.all().values() if self._verifies(key)]}

    def _verifies(self, key: SigningKey) -> bool:
        return time.time() < self._ends.get(key.kid, float("inf"))

    def _reread(self) -> None:
        began = time.monotonic()
        files = sorted(self.directory.glob("*.pem")) if self.directory.is_dir() else []
        stamp = tuple((file.name, made_at) for file in files if (made_at := _made_at(file)) is not None)
        if stamp != self._stamp:
            found = (_read(self.directory / name) for name, _ in stamp)
            self._known = {key.kid: key for key in found if key is not None}
            self._keys = {kid: key for kid, key in self._known.items() if kid not in self._refused}
            self._ends = {
                key.kid: successor.made_at + self.lifetime_seconds
                for key, successor in pairwise(_in_order(self._known))
            }
            self._stamp = stamp
        self._checked_at = began

    def _make_directory(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory.chmod(0o700)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process, and one thread, at a time."""
        self._make_directory()
        descriptor = os.open(self.directory / ".lock", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _in_order(keys: dict[str, SigningKey]) -> list[SigningKey]:
    return sorted(keys.values(), key=_age)


def _age(key: SigningKey) -> tuple[float, str]:
    return key.made_at, key.kid


def _made_at(file: Path) -> float | None:
    """When a key was made, or ``None`` when another process has just retired it."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return None


def _read(file: Path) -> SigningKey | None:
    made_at = _made_at(file)
    try:
        pem = file.read_bytes()
    except FileNotFoundError:
        made_at = None
    if made_at is None:
        return None
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise TypeError(f"{file} is not a P-256 key")
    jwk = _public_jwk(key)
    return SigningKey(kid=jwk["kid"], pem=pem.decode(), jwk=jwk, made_at=made_at)
