"""Merkle trees and tiles: the reference implementation's vectors, and properties against the RFC's own definition."""

from __future__ import annotations

import base64
import json
from contextlib import nullcontext
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_service.audit import merkle, tiles
from credit_service.audit.merkle import ProofError
from tests.support import ROOT

VECTORS = json.loads((ROOT / "tests" / "audit" / "vectors.json").read_text())
# RFC 6962: the leaves and roots that every implementation's tests share (transparency-dev/merkle, testonly).
LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def definition(entries: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, as it is written there."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    middle = 1 << ((len(entries) - 1).bit_length() - 1)
    return sha256(b"\x01" + definition(entries[:middle]) + definition(entries[middle:])).digest()


def some(count: int) -> list[bytes]:
    return [f"entry {number}".encode() for number in range(count)]


def decoded(values: list[Any]) -> list[bytes]:
    return [base64.b64decode(value or "") for value in values]


@pytest.mark.parametrize("vector", VECTORS["inclusion"], ids=lambda vector: vector[-1])
def test_inclusion_vectors_of_the_reference_implementation(vector: list[Any]) -> None:
    index, size, root, leaf, proof, wrong, _ = vector
    with pytest.raises(ProofError) if wrong else nullcontext():
        merkle.verify_inclusion(index, size, *decoded([leaf]), decoded(proof), *decoded([root]))


@pytest.mark.parametrize("vector", VECTORS["consistency"], ids=lambda vector: vector[-1])
def test_consistency_vectors_of_the_reference_implementation(vector: list[Any]) -> None:
    first, second, first_root, second_root, proof, wrong, _ = vector
    with pytest.raises(ProofError) if wrong else nullcontext():
        merkle.verify_consistency(first, second, *decoded([first_root, second_root]), decoded(proof))


def test_the_roots_that_every_implementation_shares() -> None:
    frontier = merkle.Frontier()
    assert frontier.root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for leaf, root in zip(LEAVES, ROOTS, strict=True):
        frontier.append(merkle.leaf_hash(leaf))
        assert frontier.root().hex() == root


@given(st.integers(1, 300), st.data())
def test_proofs_hold_for_every_place_and_for_no_other(size: int, data: st.DataObject) -> None:
    entries = some(size)
    hashes = merkle.leaf_hashes(entries)

    def node(found: merkle.Node) -> bytes:
        level, index = found
        return merkle.perfect_root(hashes[index << level : (index + 1) << level])

    root = merkle.range_hash((0, size), node)
    assert root == definition(entries)
    index = data.draw(st.integers(0, size - 1))
    path = [merkle.range_hash(part, node) for part in merkle.inclusion_ranges(index, size)]
    merkle.verify_inclusion(index, size, hashes[index], path, root)
    first = data.draw(st.integers(0, size))
    older = definition(entries[:first])
    proof = [merkle.range_hash(part, node) for part in merkle.consistency_ranges(first, size)]
    merkle.verify_consistency(first, size, older, root, proof)
    other = data.draw(st.integers(0, size - 1).filter(lambda other: other != index)) if size > 1 else size
    with pytest.raises(ProofError):
        merkle.verify_inclusion(other, size, hashes[index], path, root)
    if first not in (0, size):
        with pytest.raises(ProofError):
            merkle.verify_consistency(first, size, sha256(older).digest(), root, proof)


@given(st.integers(0, 70_000), st.integers(0, 70_000))
def test_a_grown_trees_new_tiles_are_those_the_smaller_lacks(one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert set(tiles.tiles_of(large, start=small)) == set(tiles.tiles_of(large)) - set(tiles.tiles_of(small))


def test_the_tiles_of_the_specifications_examples() -> None:
    found = list(tiles.tiles_of(70_000))
    assert len([tile for tile in found if tile.width == 256]) == 274
    assert [tile for tile in found if tile.width < 256] == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]
    assert list(tiles.tiles_of(256)) == [(0, 0, 256), (1, 0, 1)]
    assert tiles.path_of(tiles.Tile(0, 1_234_067)) == "tile/0/x001/x234/067"


@given(st.integers(-1, 63), st.integers(0, 2**40), st.integers(1, 256))
def test_a_tile_has_one_path(level: int, number: int, width: int) -> None:
    tile = tiles.Tile(level, number, width)
    path = tiles.path_of(tile)
    assert tiles.tile_of(path) == tile
    assert tiles.tile_of(path.replace("tile/", "tile/0", 1)) is None


@pytest.mark.parametrize(
    "path", ["tile/0/000.p/256", "tile/0/000.p/0", "tile/64/000", "tile/0/x000/000", "tile/0/0", "tile/0/000/", "x"]
)
def test_what_names_no_tile(path: str) -> None:
    assert tiles.tile_of(path) is None


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_bundles_hold_their_entries(entries: list[bytes]) -> None:
    assert tiles.unpack(tiles.pack(entries)) == entries
    if entries and entries[-1]:
        with pytest.raises(ValueError, match="cut off"):
            tiles.unpack(tiles.pack(entries)[:-1])
