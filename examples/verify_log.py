"""An independent verifier of the transparency log: the specifications alone, nothing of the service.

    python verify_log.py FOLDER --key 'origin+keyid+base64' [--since CHECKPOINT] [--hashes-only]

A folder is in the layout of c2sp.org/tlog-tiles. What is checked: the signature on the head (c2sp.org/signed-note,
Ed25519), every entry against its hash, every hash up to the root (RFC 6962 section 2.1), that nothing else lies beside
them, and that a head seen before is the head of a prefix. Exit 0 only if something was checked.
"""

import argparse
import base64
import pathlib
import struct
import sys
from functools import reduce
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


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
    return reduce(lambda top, left: node(left, top), [found for _, found in reversed(stack)])


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
                raise ValueError("key id does not match the key")
            Ed25519PublicKey.from_public_bytes(public[1:]).verify(raw[4:], (text + "\n").encode())
            signed = True
    if not signed:
        raise ValueError("checkpoint not signed by a trusted key")
    return origin, int(size), base64.b64decode(top)


def name_of(number: int, width: int) -> str:
    digits = f"{number:03d}".zfill(3 * ((len(f"{number:03d}") + 2) // 3))
    parts = [digits[place : place + 3] for place in range(0, len(digits), 3)]
    return "/".join(["x" + part for part in parts[:-1]] + parts[-1:]) + (f".p/{width}" if width < 256 else "")


def hashes_of(tile: bytes) -> list[bytes]:
    return [tile[place : place + 32] for place in range(0, len(tile), 32)]


def entries_of(bundle: bytes) -> list[bytes]:
    found, place = [], 0
    while place < len(bundle):
        (length,) = struct.unpack_from(">H", bundle, place)
        found.append(bundle[place + 2 : place + 2 + length])
        place += 2 + length
    if place != len(bundle):
        raise ValueError("an entry is cut off")
    return found


def read(folder: pathlib.Path, number: int, width: int, looked: set[pathlib.Path]) -> list[bytes] | None:
    """What a file of hashes or entries holds. Those of older heads, which lie beside it, must begin as it does."""
    there, parse = folder / name_of(number, width), entries_of if folder.name == "entries" else hashes_of
    if not there.is_file():
        return None
    found = parse(there.read_bytes())
    for older in (folder / f"{name_of(number, 256)}.p").glob("*"):
        if int(older.name) > width or parse(older.read_bytes()) != found[: int(older.name)]:
            raise ValueError(f"{older} is not of this log")
        looked.add(older)
    looked.add(there)
    return found


def verify_folder(folder: pathlib.Path, keys: list[str], since: str | None, hashes_only: bool) -> str:  # noqa: C901
    origin, size, top = open_head((folder / "checkpoint").read_bytes().decode(), keys)
    seen = open_head(since, keys) if since else (origin, 0, top)
    if size == 0 or seen[0] != origin or seen[1] > size:
        raise ValueError("an empty log" if size == 0 else "another log than the one seen before, or a shorter one")
    stack: list[tuple[int, bytes]] = []
    looked: set[pathlib.Path] = set()
    entries, levels = 0, (folder / "tile" / "0", folder / "tile" / "entries")
    for number in range((size + 255) // 256):
        width = min(256, size - 256 * number)
        leaves, bundle = (read(level, number, width, looked) for level in levels)
        if leaves is None or len(leaves) != width:
            raise ValueError(f"hashes from {256 * number} on are missing, or there are others")
        if bundle is not None:
            if [leaf(entry) for entry in bundle] != leaves:
                raise ValueError(
                    f"entries between {256 * number} and {256 * number + width - 1} are not those in the tree"
                )
            entries += width
        for place, found in enumerate(leaves, 256 * number + 1):
            add(stack, found)
            if place == seen[1] and root(stack) != seen[2]:
                raise ValueError("the log does not extend one seen before")
    if root(stack) != top:
        raise ValueError("the root is not the one that was signed")
    if entries != size and (entries or not hashes_only):
        raise ValueError(f"{size - entries} entries are missing")
    if {file for level in levels for file in level.rglob("*") if file.is_file()} - looked:
        raise ValueError("there are files that the signed head does not cover")
    return f"{origin}: {size} hashes and {entries} entries checked"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("place", type=pathlib.Path)
    parser.add_argument("--key", action="append", required=True)
    parser.add_argument("--since", type=pathlib.Path)
    parser.add_argument("--hashes-only", action="store_true")
    told = parser.parse_args()
    try:
        since = told.since.read_bytes().decode() if told.since else None
        print(verify_folder(told.place, told.key, since, told.hashes_only))
    except (InvalidSignature, OSError, ValueError, IndexError, struct.error) as error:
        print(f"DOES NOT HOLD: {type(error).__name__} {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
