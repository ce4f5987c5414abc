"""SM2 signatures with SM3 (商用密码, GB/T 32918) beside the Ed25519 ones under a log's heads, for who must have them.

A line of its own in the signed note, of type 0xff with an identifier (C2SP signed-note: key id = SHA-256 over name,
line feed, 0xff, identifier, public key). Whoever does not know it passes over it. Needs the extra ``sm2``.
"""

from __future__ import annotations

import base64
import binascii
import subprocess
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from credit_service.audit.notes import Note, NoteError, Signature

KIND = b"\xffcredit-service/sm2-with-sm3"
PUBLIC_BYTES = 64
PRIVATE_BYTES = 32
DEVICE_SECONDS = 10.0


class Sm2UnavailableError(RuntimeError):
    """The library is not installed, there is no usable key, or the device that holds it does not sign."""


def _library() -> Any:
    try:
        import gmssl_pyx
    except ImportError as error:
        raise Sm2UnavailableError("SM2 needs the extra: pip install 'credit-service[sm2]'") from error
    return gmssl_pyx


@dataclass(frozen=True, slots=True)
class Sm2Verifier:
    """A public key: the point as 64 bytes, x and y."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, vkey: str) -> Sm2Verifier:
        """``<name>+<hex key id>+<base64 of 0xff, identifier and key>``. Raises ``NoteError``."""
        name, _, rest = vkey.strip().partition("+")
        identity, _, encoded = rest.partition("+")
        try:
            material = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            material = b""
        found = cls(name, material[len(KIND) :])
        if not name or not material.startswith(KIND) or len(found.public) != PUBLIC_BYTES:
            raise NoteError("SM2 verifier key malformed")
        if found.key_id.hex() != identity:
            raise NoteError("SM2 verifier key malformed")
        return found

    @property
    def key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + KIND + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(KIND + self.public).decode()}"

    def fault(self, note: Note) -> str | None:
        """``sm2-missing`` or ``sm2-forged``; ``None`` when this key has signed the note."""
        made = [each for each in note.signatures if (each.name, each.key_id) == (self.name, self.key_id)]
        if not made:
            return "sm2-missing"
        return None if all(self.verify(note.text, each) for each in made) else "sm2-forged"

    def verify(self, text: str, signature: Signature) -> bool:
        """Raises ``Sm2UnavailableError``."""
        library = _library()
        try:
            return bool(library.sm2_verify(self.public, text.encode(), signature.value))
        except (library.InvalidValueError, library.GmsslInnerError):
            return False


@dataclass(frozen=True, slots=True)
class Sm2Signer:
    """A private key under a name, which is that of no year's log: it stays when the year ends.

    With ``command`` the private key is in a device of its own (密码机), and the command has it sign: the text on its
    standard input, the signature (SEQUENCE of r and s in DER, SM3, the usual identity) in base64 on standard output.
    """

    verifier: Sm2Verifier
    private: bytes
    command: tuple[str, ...] = ()

    @classmethod
    def made(cls, name: str) -> Sm2Signer:
        """A new key. Raises ``Sm2UnavailableError``."""
        public, private = _library().sm2_key_generate()
        return cls(Sm2Verifier(name, public), private)

    @classmethod
    def load(cls, file: Path) -> Sm2Signer:
        """Raises ``Sm2UnavailableError`` when the file holds no key that signs; a device may be away for a while."""
        try:
            held = orjson.loads(file.read_bytes())
            verifier = Sm2Verifier.parse(held["public"])
            if "command" in held:
                return cls(verifier, b"", _command(held["command"]))
            found = cls(verifier, bytes.fromhex(held["private"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Sm2UnavailableError(f"{file} holds no SM2 key") from error
        if len(found.private) != PRIVATE_BYTES or not found.verifier.verify("trial\n", found.sign("trial\n")):
            raise Sm2UnavailableError(f"{file} holds a key whose halves do not belong together")
        return found

    def content(self) -> bytes:
        """What a key file holds."""
        return orjson.dumps({"public": str(self.verifier), "private": self.private.hex()}) + b"\n"

    def sign(self, text: str) -> Signature:
        """Sign a note's text, as the signer that GM/T 0009 makes of everybody. Raises ``Sm2UnavailableError``."""
        if self.command:
            made = Signature(self.verifier.name, self.verifier.key_id, _from_device(self.command, text))
            if not self.verifier.verify(text, made):
                raise Sm2UnavailableError("the SM2 device signed with another key, or something else")
            return made
        value = _library().sm2_sign(self.private, self.verifier.public, text.encode())
        return Signature(self.verifier.name, self.verifier.key_id, value)


def _command(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not given or not all(isinstance(part, str) for part in given):
        raise TypeError("command: a list of words")
    return tuple(given)


def _from_device(command: tuple[str, ...], text: str) -> bytes:
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=DEVICE_SECONDS, check=True)  # noqa: S603
        return base64.b64decode(done.stdout.strip(), validate=True)
    except (OSError, subprocess.SubprocessError, binascii.Error) as error:
        raise Sm2UnavailableError(f"the SM2 device does not sign: {type(error).__name__}") from error
