"""Commitments field by field: one digest in the log, of which any field can be shown without the others. Pure.

Each field has a salt of its own, drawn from the version's (SHAKE128), so that a field that is shown gives nothing away
about one that is not, however few values that could have. Erasing the version's salt erases them all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache, lru_cache
from hashlib import sha256, shake_128
from operator import add
from struct import Struct
from typing import Any

import orjson

SALT = 16
PREFIX = b"record-version/2\n"

Fields = tuple[tuple[bytes, bytes], ...]
"""Name and canonical JSON value of each field, in their fixed order."""


def fields_of(document: bytes) -> Fields:
    """The members of a canonical JSON object, in its order."""
    return tuple(
        (name.encode(), orjson.dumps(value, option=orjson.OPT_SORT_KEYS))
        for name, value in orjson.loads(document).items()
    )


remembered_fields_of = lru_cache(maxsize=1024)(fields_of)
"""For documents that come again, as the standing of the rows of a file does."""


def messages_of(fields: Fields) -> tuple[bytes, ...]:
    """What is hashed of each field, after its salt."""
    return tuple([name + b"=" + value for name, value in fields])


@lru_cache(maxsize=1024)
def remembered_messages_of(document: bytes) -> tuple[bytes, ...]:
    """The messages of a document that comes again."""
    return messages_of(fields_of(document))


def _salts(salt: bytes, count: int) -> tuple[bytes, ...]:
    return _layout(count).unpack(shake_128(salt).digest(SALT * count))


@cache
def _layout(count: int) -> Struct:
    return Struct(f"{SALT}s" * count)


def _digest(salt: bytes, name: bytes, value: bytes) -> bytes:
    return sha256(salt + name + b"=" + value).digest()


def commit(salt: bytes, fields: Fields) -> bytes:
    """The commitment to a version: SHA-256 over the salted digests of its fields."""
    return commit_messages(salt, messages_of(fields))


def commit_messages(salt: bytes, messages: Sequence[bytes]) -> bytes:
    """The commitment to a version by the messages of its fields: for imports, which remember most of them."""
    salted = map(add, _salts(salt, len(messages)), messages)
    return sha256(PREFIX + b"".join([sha256(message).digest() for message in salted])).digest()


def opening(salt: bytes, fields: Fields, shown: Collection[str]) -> list[dict[str, str]]:
    """The fields ``shown`` with their salts and values (canonical JSON text); of the others the digest alone."""
    told = []
    for each, (name, value) in zip(_salts(salt, len(fields)), fields, strict=True):
        if name.decode() in shown:
            told.append({"name": name.decode(), "salt": each.hex(), "value": value.decode()})
        else:
            told.append({"name": name.decode(), "digest": _digest(each, name, value).hex()})
    return told


def committed_by(told: Sequence[Mapping[str, Any]]) -> bytes:
    """The commitment that an opening leads to. Raises ``ValueError`` or ``KeyError`` when it is malformed.

    A field is shown or it is not: one that gives a digest beside its value would say what nothing commits to.
    """
    digests = []
    for field in told:
        if "digest" not in field:
            salt, name, value = bytes.fromhex(field["salt"]), field["name"].encode(), field["value"].encode()
            if len(salt) != SALT or b"=" in name:
                raise ValueError("not a salt and a name")
            digests.append(_digest(salt, name, value))
        elif field.keys() <= {"name", "digest"} and len(digest := bytes.fromhex(field["digest"])) == 32:
            digests.append(digest)
        else:
            raise ValueError("not a digest alone")
    return sha256(PREFIX + b"".join(digests)).digest()
