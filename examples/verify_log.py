"""An independent verifier of the transparency log: the specifications alone, nothing of the service.

    python verify_log.py FOLDER --key 'origin+keyid+base64' [--since CHECKPOINT] [--hashes-only]

A folder is in the layout of c2sp.org/tlog-tiles. What is checked:
the signature on the head (c2sp.org/signed-note, Ed25519), every entry against its hash, every hash up to the root
(RFC 6962 section 2.1), and that a head seen before is the head of a prefix. Exit 0 only if something was checked.
"""

import argparse
import base64
import pathlib
import struct
import sys
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Fault(Exception):
    pass


def leaf(entry: bytes) -> bytes:
    return sha256(b"\0" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def add(stack: list[tuple[int, bytes]], found: bytes) -> None:
    """Grow a tree by a leaf; the stack holds its perfect subtrees as (height, hash)."""
    height = 0
    while stack and stack[-1][0] == height:
        found, height = node(stack.pop()[1], found), height + 1
    stack.append((height, found))


def root(stack: list[tuple[int, bytes]]) -> bytes:
    if not stack:
        return sha256(b"").digest()
    hashes = [found for _, found in stack]
    top = hashes.pop()
    while hashes:
        top = node(hashes.pop(), top)
    return top


def open_head(note: str, keys: list[str]) -> tuple[str, int, bytes]:
    """Origin, size and root of a checkpoint that a trusted key has signed."""
    text, _, lines = note.rpartition("\n\n")
    origin, size, top = (text + "\n").split("\n")[:3]
    signed = False
    for line in lines.splitlines():
        _, name, signature = line.split(" ")
        raw = base64.b64decode(signature)
        for key in keys:
            key_name, key_id, material = key.split("+", 2)
            public = base64.b64decode(material)
            if (name, raw[:4].hex()) != (key_name, key_id) or name != origin or public[0] != 1:
                continue
            if sha256(f"{name}\n".encode() + public).hexdigest()[:8] != key_id:
                raise Fault("key id does not match the key")
            Ed25519PublicKey.from_public_bytes(public[1:]).verify(raw[4:], (text + "\n").encode())
            signed = True
    if not signed:
        raise Fault("checkpoint not signed by a trusted key")
    return origin, int(size), base64.b64decode(top)


def name_of(number: int, width: int) -> str:
    digits = f"{number:03d}".zfill(3 * ((len(f"{number:03d}") + 2) // 3))
    parts = [digits[place : place + 3] for place in range(0, len(digits), 3)]
    return "/".join(["x" + part for part in parts[:-1]] + parts[-1:]) + (f".p/{width}" if width < 256 else "")


def read(folder: pathlib.Path, level: str, number: int, width: int) -> bytes | None:
    for shown in (width, 256):
        file = folder / "tile" / level / name_of(number, shown)
        if file.is_file():
            return file.read_bytes()
    return None


def entries_of(bundle: bytes) -> list[bytes]:
    found, place = [], 0
    while place < len(bundle):
        (length,) = struct.unpack_from(">H", bundle, place)
        found.append(bundle[place + 2 : place + 2 + length])
        place += 2 + length
    return found


def verify_folder(folder: pathlib.Path, keys: list[str], since: str | None, hashes_only: bool) -> str:  # noqa: C901
    head = folder / "checkpoint"
    if not head.is_file():
        raise Fault(f"no checkpoint in {folder}")
    origin, size, top = open_head(head.read_text(encoding="utf-8"), keys)
    seen = open_head(since, keys) if since else None
    if size == 0 or (seen and seen[0] == origin and seen[1] > size):
        raise Fault("an empty log" if size == 0 else "the log is shorter than one seen before")
    stack: list[tuple[int, bytes]] = []
    hashes = entries = 0
    for number in range((size + 255) // 256):
        width = min(256, size - 256 * number)
        tile = read(folder, "0", number, width)
        if tile is None or len(tile) < 32 * width:
            raise Fault(f"hashes from {256 * number} on are missing")
        leaves = [tile[32 * place : 32 * place + 32] for place in range(width)]
        bundle = read(folder, "entries", number, width)
        if bundle is not None:
            computed = [leaf(entry) for entry in entries_of(bundle)[:width]]
            if computed != leaves:
                raise Fault(f"entries between {256 * number} and {256 * number + width - 1} are not those in the tree")
            entries += width
        elif not hashes_only or entries:
            raise Fault(f"entries from {256 * number} on are missing")
        for found in leaves:
            add(stack, found)
            hashes += 1
            if seen and seen[0] == origin and hashes == seen[1] and root(stack) != seen[2]:
                raise Fault("the log does not extend one seen before")
    if root(stack) != top:
        raise Fault("the root is not the one that was signed")
    return f"{origin}: {hashes} hashes and {entries} entries checked"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("place", type=pathlib.Path)
    parser.add_argument("--key", action="append", required=True)
    parser.add_argument("--since", type=pathlib.Path)
    parser.add_argument("--hashes-only", action="store_true")
    told = parser.parse_args()
    since = told.since.read_text(encoding="utf-8") if told.since else None
    try:
        print(verify_folder(told.place, told.key, since, told.hashes_only))
    except (Fault, InvalidSignature, ValueError, IndexError, struct.error) as error:
        print(f"DOES NOT HOLD: {error or type(error).__name__}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
