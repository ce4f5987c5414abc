"""Keys that sign checkpoints: Ed25519, one PEM file each, and what was signed last, kept away from the database.

Every key in the folder signs every checkpoint. To change keys, make a new one, publish it, and retire the old one when
verifiers know the new: in between both signatures stand under each checkpoint.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from credit_service.audit.notes import ED25519, Checkpoint, Note, Signer, Verifier, open_checkpoint
from credit_service.audit.sm2 import Sm2Signer

RETIRED = ".retired"


class LogKeys:
    """The log's keys of an installation. Files are 0600 in a 0700 directory."""

    def __init__(self, directory: Path, sm2: Sm2Signer | None = None) -> None:
        self.directory = directory
        self.sm2 = sm2

    def signers(self, origin: str) -> list[Signer]:
        """The keys under a log's name, the oldest first; the first call of an installation makes one."""
        with self._alone():
            if not self._files():
                self._make()
            return [_signer(file, origin) for file in self._files()]

    def rotate(self, origin: str) -> Signer:
        """Make a key that signs from now on beside those there are."""
        with self._alone():
            return _signer(self._make(), origin)

    def retire(self, origin: str) -> list[Signer]:
        """Keep the newest key alone; gives those that sign no more."""
        with self._alone():
            *old, _ = self._files() or [Path()]
            gone = [_signer(file, origin) for file in old]
            for file in old:
                file.rename(file.with_suffix(RETIRED))
        return gone

    def remembered(self, origin: str) -> Checkpoint | None:
        """The checkpoint of this log that was signed last. Raises ``NoteError`` when the file is not what we signed."""
        file = self._memory(origin)
        if not file.exists():
            return None
        return open_checkpoint(file.read_text(encoding="utf-8"), self.verifiers(origin))[0]

    def verifiers(self, origin: str) -> list[Verifier]:
        """The public halves of all keys there ever were, under a log's name."""
        return [_signer(each, origin).verifier for each in (*self._files(RETIRED), *self._files())]

    def remember(self, origin: str, note: Note) -> None:
        """Note what is about to be published, on the disk before it is."""
        write_durably(self._memory(origin), str(note).encode())

    def _memory(self, origin: str) -> Path:
        return self.directory / f"{sha256(origin.encode()).hexdigest()[:32]}.checkpoint"

    def _files(self, suffix: str = ".pem") -> list[Path]:
        return sorted(self.directory.glob(f"*{suffix}"))

    def _make(self) -> Path:
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        taken = [int(file.stem) for file in (*self._files(), *self._files(RETIRED))]
        file = self.directory / f"{max(taken, default=0) + 1:04d}.pem"
        write_durably(file, pem)
        return file

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process, and one thread, at a time."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory.chmod(0o700)
        descriptor = os.open(self.directory / ".lock", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def write_durably(file: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file so that after a crash the old content or the new is there, whole."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    temporary.rename(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _signer(file: Path, origin: str) -> Signer:
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except ValueError as error:
        raise ValueError(f"{file} is not an Ed25519 key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{file} is not an Ed25519 key")
    return Signer(origin, ED25519, key)
