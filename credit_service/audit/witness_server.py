"""A witness for others to run (C2SP tlog-witness): no database, one state file, a key of its own.

It knows logs by their public keys, keeps the newest head of each on the disk before it signs it, and signs nothing that
does not continue that head.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from credit_service.audit.merkle import EMPTY_ROOT, ProofError, verify_consistency
from credit_service.audit.notes import (
    COSIGNATURE,
    ED25519,
    Checkpoint,
    Note,
    NoteError,
    Signature,
    Signer,
    Verifier,
    parse_note,
    signed_by,
)
from credit_service.audit.signing import write_durably
from credit_service.audit.witnesses import SIZE_TYPE
from credit_service.platform.clock import Clock

MOST_PROOF = 63
MOST_BYTES = 65_536
TEXT = "text/plain; charset=utf-8"
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Submission:
    """A parsed add-checkpoint request."""

    old: int
    proof: tuple[bytes, ...]
    head: Checkpoint
    note: Note


class Refusal(Exception):
    """The status, and for 409 the size that was signed last."""

    def __init__(self, status: int, body: str = "") -> None:
        self.status, self.body = status, body


def parse_submission(body: bytes) -> Submission:
    """Raises ``Refusal`` 400."""
    try:
        text = body.decode()
        lines, separator, note_text = text.partition("\n\n")
        first, *proof = lines.split("\n")
        note = parse_note(note_text)
        head = Checkpoint.parse(note.text)
        hashes = tuple(base64.b64decode(line, validate=True) for line in proof)
    except (UnicodeDecodeError, ValueError, NoteError, binascii.Error) as error:
        raise Refusal(400) from error
    old = _OLD.fullmatch(first)
    if not separator or old is None or len(proof) > MOST_PROOF or int(old[1]) > head.size:
        raise Refusal(400)
    return Submission(int(old[1]), hashes, head, note)


def new_key(file: Path, name: str) -> Signer:
    """The witness's key: read, or made the first time."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_durably(file, pem)
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{file} is not an Ed25519 key")
    return Signer(name, COSIGNATURE, key)


class Witness:
    """How a witness judges a head. What it remembers is in the file alone, so two processes on one folder agree."""

    def __init__(self, signer: Signer, logs: Sequence[Verifier], state: Path) -> None:
        self._signer = signer
        self._logs = [key for key in logs if key.kind == ED25519]
        self._state = state

    async def add_checkpoint(self, body: bytes, time: int) -> Signature:
        """Judge a head, keep it and sign it, one at a time. Raises ``Refusal``."""
        told = parse_submission(body)
        keys = [key for key in self._logs if key.name == told.head.origin]
        if not keys:
            raise Refusal(404)
        try:
            if not signed_by(told.note, keys):
                raise Refusal(403)
        except NoteError as error:
            raise Refusal(403) from error
        return await asyncio.to_thread(self._keep, told, keys, time)

    def _keep(self, told: Submission, keys: Sequence[Verifier], time: int) -> Signature:
        with self._alone():
            heads = self._heads()
            self._judge(told, heads.get(told.head.origin))
            signature = self._signer.sign(told.note.text, time=time)
            kept = [each for each in told.note.signatures if any(key.made(each) for key in keys)]
            heads[told.head.origin] = str(Note(told.note.text, (*kept, signature)))
            write_durably(self._state, orjson.dumps(heads))
        return signature

    def _heads(self) -> dict[str, str]:
        found: dict[str, str] = orjson.loads(self._state.read_bytes()) if self._state.exists() else {}
        return found

    @contextmanager
    def _alone(self) -> Iterator[None]:
        folder = os.open(self._state.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    @staticmethod
    def _judge(told: Submission, text: str | None) -> None:
        last = Checkpoint.parse(parse_note(text).text) if text else None
        size = last.size if last else 0
        if told.old != size:
            raise Refusal(409, f"{size}\n")
        if told.head.size == 0 and told.head.root != EMPTY_ROOT:
            raise Refusal(422)
        try:
            root = last.root if last else EMPTY_ROOT
            verify_consistency(size, told.head.size, root, told.head.root, told.proof)
        except ProofError as error:
            raise Refusal(422) from error

    def head(self, origin_hash: str) -> str | None:
        """The newest head of a log with our cosignature, by the SHA-256 of its origin."""
        for origin, note in self._heads().items():
            if sha256(origin.encode()).hexdigest() == origin_hash:
                return note
        return None


def application(witness: Witness, clock: Clock) -> Starlette:
    """The witness over HTTP; submission and monitoring prefix are the same."""

    async def add_checkpoint(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                return Response(status_code=413)
        try:
            signature = await witness.add_checkpoint(bytes(body), int(clock.now().timestamp()))
        except Refusal as refusal:
            return Response(
                refusal.body, status_code=refusal.status, media_type=SIZE_TYPE if refusal.status == 409 else TEXT
            )
        return Response(signature.line(), media_type=TEXT)

    async def checkpoint(request: Request) -> Response:
        note = witness.head(request.path_params["origin_hash"])
        return Response(note, media_type=TEXT) if note is not None else Response(status_code=404)

    return Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/{origin_hash}/checkpoint", checkpoint),
        ]
    )
