"""Signed notes, checkpoints and cosignatures (C2SP signed-note, tlog-checkpoint, tlog-cosignature), with Ed25519."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = 1
COSIGNATURE = 4
MOST_SIGNATURES = 64
_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class NoteError(ValueError):
    """A note is malformed, or no trusted key has signed it. The message is a short name of what is wrong."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: ``— <name> base64(key id || signature)``."""

    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        return f"— {self.name} {base64.b64encode(self.key_id + self.value).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text, its last line feed included, and the signatures under it."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(signature.line() for signature in self.signatures)


def parse_signatures(text: str) -> tuple[Signature, ...]:
    """The signature lines of a note or of a witness's answer. Raises ``NoteError``."""
    lines = text.split("\n")
    if lines.pop() != "" or not lines or len(lines) > MOST_SIGNATURES:
        raise NoteError("note malformed")
    found = []
    for line in lines:
        match = _SIGNATURE.fullmatch(line)
        value = _decode(match[2]) if match else b""
        if match is None or len(value) < 5:
            raise NoteError("note malformed")
        found.append(Signature(match[1], value[:4], value[4:]))
    return tuple(found)


def parse_note(text: str) -> Note:
    """Raises ``NoteError``."""
    if any(character < " " and character != "\n" for character in text):
        raise NoteError("note malformed")
    body, separator, signatures = text.rpartition("\n\n")
    if not separator:
        raise NoteError("note malformed")
    return Note(body + "\n", parse_signatures(signatures))


def key_id(name: str, kind: int, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def _message(kind: int, text: str, value: bytes) -> tuple[bytes, bytes]:
    """What was signed, and the bare signature over it."""
    if kind == ED25519:
        return text.encode(), value
    time = int.from_bytes(value[:8], "big")
    return f"cosignature/v1\ntime {time}\n{text}".encode(), value[8:]


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key that notes are trusted by: a log's own key (Ed25519) or a witness's (timestamped cosignature)."""

    name: str
    kind: int
    public: bytes

    @classmethod
    def parse(cls, vkey: str) -> Verifier:
        """A verifier key ``<name>+<hex key id>+<base64 of kind and key>``. Raises ``NoteError``."""
        parts = vkey.strip().split("+", 2)
        material = _decode(parts[2]) if len(parts) == 3 else b""
        if len(material) != 33 or material[0] not in (ED25519, COSIGNATURE) or not parts[0]:
            raise NoteError("verifier key malformed")
        found = cls(parts[0], material[0], material[1:])
        if found.key_id.hex() != parts[1]:
            raise NoteError("verifier key malformed")
        return found

    @property
    def key_id(self) -> bytes:
        return key_id(self.name, self.kind, self.public)

    def __str__(self) -> str:
        material = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{material}"

    def made(self, signature: Signature) -> bool:
        """Whether a signature claims to be this key's."""
        return signature.name == self.name and signature.key_id == self.key_id

    def verify(self, text: str, signature: Signature) -> bool:
        message, value = _message(self.kind, text, signature.value)
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(value, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key under a name; ``kind`` says which of the two signatures it makes."""

    name: str
    kind: int
    private: Ed25519PrivateKey

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.name, self.kind, self.private.public_key().public_bytes_raw())

    def sign(self, text: str, *, time: int = 0) -> Signature:
        """Sign a note's text; ``time`` (POSIX seconds) goes into a cosignature."""
        stamp = time.to_bytes(8, "big") if self.kind == COSIGNATURE else b""
        message, _ = _message(self.kind, text, stamp)
        return Signature(self.name, self.verifier.key_id, stamp + self.private.sign(message))


def signed_by(note: Note, keys: Iterable[Verifier]) -> list[Verifier]:
    """The keys that signed a note. Raises ``NoteError`` when a signature that claims to be one's is not."""
    found = []
    for key in keys:
        made = [signature for signature in note.signatures if key.made(signature)]
        if not all(key.verify(note.text, signature) for signature in made):
            raise NoteError("signature forged")
        if made:
            found.append(key)
    return found


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: origin, number of entries, root hash."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def digest(self) -> bytes:
        """What the first entry of the log that follows says of this head."""
        return sha256(self.text().encode()).digest()

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """The first three lines of a note's text. Raises ``NoteError``."""
        lines = text.split("\n")
        if len(lines) < 4 or not all(lines[:-1]) or not _SIZE.fullmatch(lines[1]):
            raise NoteError("checkpoint malformed")
        root = _decode(lines[2])
        if len(root) != 32:
            raise NoteError("checkpoint malformed")
        return cls(lines[0], int(lines[1]), root)


def open_checkpoint(text: str, keys: Sequence[Verifier]) -> tuple[Checkpoint, Note]:
    """A checkpoint that one of its log's keys has signed. Raises ``NoteError``."""
    note = parse_note(text)
    checkpoint = Checkpoint.parse(note.text)
    if not signed_by(note, [key for key in keys if key.kind == ED25519 and key.name == checkpoint.origin]):
        raise NoteError("not signed by a trusted key")
    return checkpoint, note


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
