"""Merkle trees of RFC 6962 section 2.1 (RFC 9162 section 2.1): hashes, and what proofs consist of. Pure.

A proof is planned as ranges of leaves, ``(start, end)``; each range is made of perfect subtrees, ``(level, index)``,
whose hashes come from wherever the tree is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()

Range = tuple[int, int]
Node = tuple[int, int]
"""A perfect subtree: 2 ** level leaves, the index-th of them."""


class ProofError(ValueError):
    """A proof does not hold. The message is a short name of what is wrong."""


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    return [sha256(b"\x00" + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes of one level."""
    row = list(hashes)
    while len(row) > 1:
        row = [sha256(b"\x01" + left + right).digest() for left, right in zip(row[::2], row[1::2], strict=True)]
    return row[0]


def perfect_nodes(part: Range) -> Iterator[Node]:
    """The perfect subtrees that a range of leaves consists of, from the left."""
    start, end = part
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        yield level, start >> level
        start += 1 << level


def range_hash(part: Range, node: Callable[[Node], bytes]) -> bytes:
    """The hash of a range: its perfect subtrees folded from the right."""
    hashes = [node(found) for found in perfect_nodes(part)]
    if not hashes:
        return EMPTY_ROOT
    root = hashes.pop()
    while hashes:
        root = node_hash(hashes.pop(), root)
    return root


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """What proves that leaf ``index`` is in the tree of ``size`` (RFC 6962 section 2.1.1), from the leaf upwards."""
    if not 0 <= index < size:
        raise ProofError("index beyond the tree")
    found, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start = middle
    return found[::-1]


def consistency_ranges(first: int, second: int) -> list[Range]:
    """What proves that the tree of ``second`` extends that of ``first`` (RFC 6962 section 2.1.2)."""
    if not 0 <= first <= second:
        raise ProofError("sizes in the wrong order")
    if first in (0, second):
        return []
    found, start, end, whole = [], 0, second, True
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start, whole = middle, False
    if not whole:
        found.append((start, end))
    return found[::-1]


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << ((size - 1).bit_length() - 1)


def _steps(place: int, last: int, proof: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The hashes of a proof on the way up from ``place`` of ``last``, and whether each stands on the left."""
    for sibling in proof:
        if last == 0:
            raise ProofError("proof too long")
        left = bool(place & 1) or place == last
        yield sibling, left
        while left and place and not place & 1:
            place, last = place >> 1, last >> 1
        place, last = place >> 1, last >> 1
    if last:
        raise ProofError("proof too short")


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """RFC 9162 section 2.1.3.2. Raises ``ProofError``."""
    if not 0 <= index < size:
        raise ProofError("index beyond the tree")
    if any(len(value) != 32 for value in (leaf, *proof)):
        raise ProofError("not a hash")
    found = leaf
    for sibling, left in _steps(index, size - 1, proof):
        found = node_hash(sibling, found) if left else node_hash(found, sibling)
    if found != root:
        raise ProofError("root differs")


def verify_consistency(first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]) -> None:
    """RFC 9162 section 2.1.4.2. Raises ``ProofError``."""
    if not 0 <= first <= second:
        raise ProofError("sizes in the wrong order")
    if any(len(value) != 32 for value in ((second_root, *proof) if first == 0 else proof)):
        raise ProofError("not a hash")
    if second == 0 and second_root != EMPTY_ROOT:
        raise ProofError("root differs")
    if first in (0, second):
        if proof:
            raise ProofError("proof too long")
        if first_root != (EMPTY_ROOT if first == 0 else second_root):
            raise ProofError("root differs")
        return
    if not proof:
        raise ProofError("proof too short")
    path = list(proof) if first & (first - 1) else [first_root, *proof]
    shift = (~(first - 1) & first).bit_length() - 1  # levels at which the first tree's last node is a right child
    old = new = path[0]
    for sibling, left in _steps((first - 1) >> shift, (second - 1) >> shift, path[1:]):
        old = node_hash(sibling, old) if left else old
        new = node_hash(sibling, new) if left else node_hash(new, sibling)
    if old != first_root or new != second_root:
        raise ProofError("root differs")


class Frontier:
    """The right edge of a tree that grows: its size, and the hash of each perfect subtree in it."""

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        self.size = size
        self._hashes = list(hashes)  # of perfect_nodes((0, size)), from the left

    def append(self, leaf: bytes, level: int = 0) -> None:
        """Add a leaf, or a perfect subtree of 2 ** level leaves where the size is a multiple of that."""
        place = self.size >> level
        while place & 1:
            leaf = node_hash(self._hashes.pop(), leaf)
            place >>= 1
        self._hashes.append(leaf)
        self.size += 1 << level

    def copy(self) -> Frontier:
        return Frontier(self.size, self._hashes)

    def root(self) -> bytes:
        if not self._hashes:
            return EMPTY_ROOT
        *left, root = self._hashes
        for found in reversed(left):
            root = node_hash(found, root)
        return root
