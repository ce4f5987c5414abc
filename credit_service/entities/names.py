"""What a name is found by: pure functions from a name to the keys that are stored beside it.

An organisation's name is division + trade name + trade + legal form (企业名称登记管理规定). Two people write it in
different widths, scripts and brackets, leave out the division or the form, or type a character that sounds alike. So
the keys are of its core (trade name and trade) and of sounds: pairs of neighbouring syllables, and of those one apart,
which survive a wrong character between them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple
from zlib import crc32

from credit_service.identity import divisions

LEGAL_FORM = re.compile(
    "(?:集团)?(?:股份)?有限(?:责任)?公司|特殊普通合伙|普通合伙|有限合伙|个体工商户|个人独资"
    "|(?:农民)?专业合作社(?!联)|(?:集团|股份|总|(?<!分))公司$|集团$"
)
"""组织形式, wherever it stands: 有限公司重庆分公司 has it in the middle."""
SHORTEST_CORE = 2
FIRST_SOUND = 512
"""Sounds are numbered below this, so that a pair of them is one number."""
_APART = FIRST_SOUND * FIRST_SOUND
_WHOLE = 1 << 30
_PLAIN = "0123456789abcdefghijklmnopqrstuvwxyz"
_KEPT = frozenset("LN")
_BRACKETED = re.compile(r"\(([^()]*)\)")


class NameKeys(NamedTuple):
    """The keys of one name: its core, the initials of its sounds (whole and core), and numbers to look it up by."""

    core: str
    initials: str
    core_initials: str
    tokens: list[int]


def typed_alike(name: str) -> str:
    """The name in half width and one letter case, without spaces and invisible characters."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    if folded.isalnum():
        return folded
    return "".join(c for c in folded if not c.isspace() and unicodedata.category(c) != "Cf")


def without_punctuation(name: str) -> str:
    """Letters and digits alone: brackets of either form, points and dashes do not tell names apart."""
    if name.isalnum():
        return name
    return "".join(c for c in name if unicodedata.category(c)[0] in _KEPT)


def simplified(name: str) -> str:
    """Traditional characters 繁体 as simplified ones, each by itself."""
    return name if _traditional().isdisjoint(name) else name.translate(_simplified())


def folded(name: str) -> str:
    """Every difference of typing taken away; what remains is the name's characters."""
    return simplified(without_punctuation(typed_alike(name)))


def core_of(name: str) -> str:
    """Trade name and trade: the name without legal form, leading division, and a division in brackets."""
    text = simplified(_BRACKETED.sub(_bracketed, typed_alike(name)))
    whole = without_punctuation(text)
    core = LEGAL_FORM.sub("", whole)
    core = core[_division_length(core) :]
    return core if len(core) >= SHORTEST_CORE else whole


def _bracketed(found: re.Match[str]) -> str:
    place = simplified(found[1])
    return "" if place and _division_length(place, keep=0) == len(place) else found[1]


def _division_length(text: str, *, keep: int = SHORTEST_CORE) -> int:
    """How many leading characters name a division, province before city before district.

    The short forms of provinces and cities count (重庆 for 重庆市), but never where fewer than ``keep`` would remain.
    """
    length, within = 0, ""
    for _ in range(3):
        found = _leading_division(text[length:], within, keep)
        if found is None:
            break
        size, within = found
        length += size
    return length


def _leading_division(text: str, within: str, keep: int) -> tuple[int, str] | None:
    for size in _division_sizes().get(text[:2], ()):
        for prefix in _division_names().get(text[:size], ()) if size <= len(text) - keep else ():
            if prefix.startswith(within) and len(prefix) > len(within):
                return size, prefix
    return None


@cache
def _division_names() -> dict[str, tuple[str, ...]]:
    """Names of divisions, full and short, with the significant digits of their codes."""
    names: dict[str, list[str]] = {}
    for code in divisions.codes():
        name, digits = divisions.name_of(code) or "", divisions.significant(code)
        short = re.sub("(?:特别行政区|(?:壮族|回族|维吾尔)?自治区|省|市)$", "", name) if len(digits) < 6 else name
        for form in {name, short}:
            if len(form) > 1:
                names.setdefault(form, []).append(digits)
    return {name: tuple(sorted(found, key=len)) for name, found in names.items()}


@cache
def _division_sizes() -> dict[str, tuple[int, ...]]:
    """How long the names are that begin with two characters, the longest first."""
    sizes: dict[str, set[int]] = {}
    for name in _division_names():
        sizes.setdefault(name[:2], set()).add(len(name))
    return {beginning: tuple(sorted(found, reverse=True)) for beginning, found in sizes.items()}


@cache
def _simplified() -> dict[int, str]:
    """Characters of the traditional script with the simplified one OpenCC gives for each alone."""
    import opencc

    converter = opencc.OpenCC("t2s")
    characters = [chr(code) for code in (*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000), *range(0xF900, 0xFB00))]
    found = ((character, converter.convert(character)) for character in characters)
    return {ord(character): other for character, other in found if other != character and len(other) == 1}


@cache
def _traditional() -> frozenset[str]:
    return frozenset(map(chr, _simplified()))


@cache
def _syllables() -> dict[str, str]:
    """Each character's most common reading without its tone."""
    from pypinyin import Style, lazy_pinyin

    characters = [chr(code) for code in (*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000))]
    read = ((character, lazy_pinyin(character, style=Style.NORMAL)[0]) for character in characters)
    return {character: syllable for character, syllable in read if syllable.isascii()}


@cache
def _sound_numbers() -> dict[str, int]:
    """A number for every character that has a sound; characters that sound alike share it."""
    syllables = sorted(set(_syllables().values()))
    numbers = {syllable: number for number, syllable in enumerate(syllables, len(_PLAIN))}
    return {character: numbers[syllable] for character, syllable in _syllables().items()} | {
        character: number for number, character in enumerate(_PLAIN)
    }


@cache
def _initials() -> dict[str, str]:
    return {character: syllable[0] for character, syllable in _syllables().items()}


@lru_cache(maxsize=4096)
def _division_initials(text: str) -> str:
    """The initials of a division's name, read as a word: 重庆 is cq."""
    from pypinyin import Style, lazy_pinyin

    return "".join(lazy_pinyin(text, style=Style.FIRST_LETTER))


def initials_of(text: str) -> str:
    """The first letter of each character's sound; letters and digits stand for themselves."""
    table = _initials()
    return "".join([table.get(c, c if c in _PLAIN else "") for c in text])


def syllables_of(text: str) -> tuple[str, ...]:
    """The sound of each character."""
    table = _syllables()
    return tuple(table.get(c, c) for c in text)


def keys_of(name: str) -> NameKeys:
    """The keys that are stored beside a name."""
    core, whole = core_of(name), folded(name)
    length = _division_length(whole)
    return NameKeys(
        core=core,
        initials=_division_initials(whole[:length]) + initials_of(whole[length:]),
        core_initials=initials_of(core),
        tokens=sorted({*tokens_of(core), whole_token(whole), whole_token(core)}),
    )


def tokens_of(core: str) -> Iterator[int]:
    """Numbers of the pairs of sounds, neighbours first, then those one apart."""
    sounds = _sounds(core)
    for first, second in pairwise(sounds):
        yield first * FIRST_SOUND + second
    for first, second in zip(sounds, sounds[2:], strict=False):
        yield _APART + first * FIRST_SOUND + second


def tokens_meant(core: str) -> Iterator[int]:
    """Further tokens of the core that a searched one would be without one slip of typing.

    Neighbours may have had a character between them that was left out, pairs one apart may have one too many, and
    neighbours may have been swapped.
    """
    sounds = _sounds(core)
    for first, second in pairwise(sounds):
        yield _APART + first * FIRST_SOUND + second
        yield second * FIRST_SOUND + first
    for first, second in zip(sounds, sounds[2:], strict=False):
        yield first * FIRST_SOUND + second


def _sounds(core: str) -> list[int]:
    numbers = _sound_numbers()
    return [numbers.get(c, FIRST_SOUND - 1) for c in core]


def whole_token(text: str) -> int:
    """A number for a whole text, out of the range of pairs. Two texts may share it; names are compared afterwards."""
    return _WHOLE | crc32(text.encode()) & (_WHOLE - 1)
