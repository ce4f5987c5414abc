"""Check many codes at once, column-wise: for imports, where one call a row would cost more than the row's storage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from credit_service.identity.categories import CATEGORIES
from credit_service.identity.uscc import CHARSET, LENGTH, ORGANISATION_WEIGHTS, WEIGHTS, is_resident_identity_number

VALID = 0
LENGTH_WRONG = 1
CHARACTER_WRONG = 2
CATEGORY_WRONG = 3
DIVISION_WRONG = 4
CHECK_17_WRONG = 5
CHECK_18_WRONG = 6
NATURAL_PERSON = 7

RULES = {
    LENGTH_WRONG: "GB 32100-2015: 18 characters",
    CHARACTER_WRONG: "GB 32100-2015: digits and capital letters without I, O, S, V, Z",
    CATEGORY_WRONG: "GB 32100-2015 positions 1-2: registering authority and category",
    DIVISION_WRONG: "GB 32100-2015 positions 3-8: division (GB/T 2260)",
    CHECK_17_WRONG: "GB 11714 position 17: check character of the organisation code",
    CHECK_18_WRONG: "GB 32100-2015 position 18: check character",
    NATURAL_PERSON: "legal-entities-only",
}
"""The rule behind each verdict, in the words of ``Uscc.parse``."""

Verdicts = NDArray[np.uint8]
Block = NDArray[np.uint8]

_UNKNOWN = 255
_VALUE = np.full(256, _UNKNOWN, np.uint8)
for _index, _character in enumerate(CHARSET):
    _VALUE[ord(_character)] = _index

# Letters count A=10 .. Z=35 in the organisation code, and by their index in the charset for position 18.
_BASE36 = np.zeros(256, np.int16)
for _character in CHARSET:
    _BASE36[ord(_character)] = int(_character, 36)

_CATEGORY = np.zeros((256, 256), np.bool_)
for _code in CATEGORIES:
    _CATEGORY[ord(_code[0]), ord(_code[1])] = True

_CHECK_18 = np.frombuffer(CHARSET.encode(), np.uint8)
_CHECK_17 = np.frombuffer(b"0X987654321", np.uint8)
"""Indexed by the sum modulo 11: 0 -> '0', 1 -> 'X', n -> 11 - n."""
_WEIGHTS = np.array(WEIGHTS, np.int16)
_ORGANISATION_WEIGHTS = np.array(ORGANISATION_WEIGHTS, np.int16)


def check_batch(codes: Sequence[str]) -> Verdicts:
    """One verdict for each normalised code: ``VALID`` or the first rule it breaks, as ``Uscc.parse`` would name it."""
    joined = "".join(codes)
    if len(joined) == LENGTH * len(codes) and joined.isascii() and set(map(len, codes)) <= {LENGTH}:
        verdicts = _check_block(np.frombuffer(joined.encode(), np.uint8).reshape(-1, LENGTH))
    else:
        verdicts = _check_mixed(codes)
    for index in np.flatnonzero(verdicts).tolist():
        if is_resident_identity_number(codes[index]):
            verdicts[index] = NATURAL_PERSON
    return verdicts


def _check_mixed(codes: Sequence[str]) -> Verdicts:
    """Codes of which some do not even have the length, or hold characters outside ASCII."""
    verdicts = np.full(len(codes), LENGTH_WRONG, np.uint8)
    right = [index for index, code in enumerate(codes) if len(code) == LENGTH]
    plain = [index for index in right if codes[index].isascii()]
    verdicts[right] = CHARACTER_WRONG
    if plain:
        joined = "".join([codes[index] for index in plain]).encode()
        verdicts[plain] = _check_block(np.frombuffer(joined, np.uint8).reshape(-1, LENGTH))
    return verdicts


def _check_block(block: Block) -> Verdicts:
    values = _VALUE[block]
    digits = values[:, 2:8] < 10
    organisation = _BASE36[block[:, 8:16]] @ _ORGANISATION_WEIGHTS
    total = np.where(values == _UNKNOWN, 0, values)[:, :17].astype(np.int16) @ _WEIGHTS
    verdicts = np.zeros(len(block), np.uint8)
    # The last assignment wins, so the rules stand in the reverse of the order in which they are judged.
    verdicts[_CHECK_17[organisation % 11] != block[:, 16]] = CHECK_17_WRONG
    verdicts[_CHECK_18[-total % 31] != block[:, 17]] = CHECK_18_WRONG
    verdicts[~digits.all(axis=1)] = DIVISION_WRONG
    verdicts[~_CATEGORY[block[:, 0], block[:, 1]]] = CATEGORY_WRONG
    verdicts[(values == _UNKNOWN).any(axis=1)] = CHARACTER_WRONG
    return verdicts
