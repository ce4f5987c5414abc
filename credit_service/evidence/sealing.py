"""Encryption at rest: AES-256-GCM over chunks of 64 KiB, so that any part opens without what is before it.

A sealed file is ``CSE1``, a random salt of 32 bytes, and the chunks with their 16-byte tags. Its key is derived from
the registry's key and the salt (HKDF-SHA256) and used for this file alone, so a chunk's nonce is its number and a flag
on the last (the STREAM construction, https://eprint.iacr.org/2015/189): chunks cannot be changed, moved, dropped or
cut off unnoticed.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = b"CSE1"
SALT_BYTES = 32
HEADER_BYTES = len(MAGIC) + SALT_BYTES
CHUNK = 1 << 16
TAG = 16
KEY_BYTES = 32
_INFO = b"credit-service evidence 1"

Read = Callable[[int, int], AsyncIterator[bytes]]
"""Reads raw bytes of a file: from a place up to and without another."""


class SealError(Exception):
    """A sealed file is not what was sealed, or not with this key."""


class Key(NamedTuple):
    """A key and the name it goes by."""

    id: str
    secret: bytes


def load_keys(file: Path | None) -> tuple[Key, ...]:
    """The keys of a file, one a line: an id, a space, 32 bytes in base64. The first seals; the others still open.

    Raises ``ValueError`` with the line's number, never with its content.
    """
    if file is None:
        return ()
    keys = []
    for number, line in enumerate(file.read_text(encoding="ascii").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, encoded = line.strip().partition(" ")
        try:
            secret = base64.b64decode(encoded.strip(), validate=True)
        except binascii.Error:
            secret = b""
        if not re.fullmatch(r"[a-z0-9-]{1,32}", name) or len(secret) != KEY_BYTES:
            raise ValueError(f"evidence key file, line {number}: an id (a-z, 0-9, -) and 32 bytes in base64")
        keys.append(Key(name, secret))
    if not keys or len({key.id for key in keys}) != len(keys):
        raise ValueError("evidence key file: at least one key, each id once")
    return tuple(keys)


def _cipher(key: Key, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(hashes.SHA256(), KEY_BYTES, salt, _INFO).derive(key.secret))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


class Sealer:
    """Seals a stream of bytes."""

    def __init__(self, key: Key) -> None:
        salt = os.urandom(SALT_BYTES)
        self._cipher = _cipher(key, salt)
        self._held = bytearray(MAGIC + salt)
        self._plain = bytearray()
        self._number = 0

    def update(self, part: bytes) -> bytes:
        """What can be written after ``part``; the last chunk waits for the end."""
        self._plain += part
        while len(self._plain) > CHUNK:
            self._seal(bytes(self._plain[:CHUNK]), last=False)
            del self._plain[:CHUNK]
        sealed, self._held = bytes(self._held), bytearray()
        return sealed

    def finish(self) -> bytes:
        self._seal(bytes(self._plain), last=True)
        return bytes(self._held)

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        self._held += self._cipher.encrypt(_nonce(self._number, last=last), chunk, MAGIC)
        self._number += 1


async def opened(read: Read, key: Key, size: int, start: int, stop: int) -> AsyncIterator[bytes]:
    """The bytes from ``start`` up to ``stop`` of a sealed file of ``size`` bytes. Raises ``SealError``."""
    header = b"".join([part async for part in read(0, HEADER_BYTES)])
    if len(header) != HEADER_BYTES or not header.startswith(MAGIC):
        raise SealError("not a sealed file")
    cipher = _cipher(key, header[len(MAGIC) :])
    number, until, last = start // CHUNK, (stop - 1) // CHUNK, (size - 1) // CHUNK
    held = bytearray()
    async for part in read(_place(number), min(_place(until + 1), sealed_size(size))):
        held += part
        while number <= until and len(held) >= (length := min(_place(number + 1), sealed_size(size)) - _place(number)):
            chunk = _open(cipher, number, bytes(held[:length]), last=number == last)
            del held[:length]
            yield chunk[max(0, start - number * CHUNK) : stop - number * CHUNK]
            number += 1
    if number <= until:
        raise SealError("cut off")


def _place(number: int) -> int:
    return HEADER_BYTES + number * (CHUNK + TAG)


def _open(cipher: AESGCM, number: int, chunk: bytes, *, last: bool) -> bytes:
    try:
        return cipher.decrypt(_nonce(number, last=last), chunk, MAGIC)
    except InvalidTag as error:
        raise SealError(f"chunk {number}") from error


def sealed_size(size: int) -> int:
    """Bytes that a file of ``size`` takes when sealed."""
    return HEADER_BYTES + size + TAG * max(1, -(-size // CHUNK))
