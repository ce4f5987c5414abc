"""How well a stored name answers a searched one, and why: pure. No score makes a name a proof of identity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from rapidfuzz import process
from rapidfuzz.distance import Indel, Levenshtein

from credit_service.entities import names

WEIGHED = 80
"""Candidates whose sounds, division and form are compared; the rest is already less alike by its characters."""
LEAST_SCORE = 0.4


class Normalisation(StrEnum):
    """What had to be taken away before the two names were the same; the last two leave more than typing."""

    NONE = "none"  # 完全一致
    WIDTH_AND_CASE = "width-case-space"  # 全角半角、大小写、空格
    PUNCTUATION = "punctuation"  # 括号、标点
    SCRIPT = "script"  # 繁简体
    DIVISION_AND_FORM = "division-and-legal-form"  # 行政区划、组织形式
    INITIALS = "pinyin-initials"  # 拼音首字母
    SIMILAR = "similar"  # 相近


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stored name."""

    uscc: str
    name: str
    core: str
    used_from: date | None
    used_until: date | None


@dataclass(frozen=True, slots=True)
class Match:
    """A stored name and how it answers. ``score`` is 1 only for the same characters."""

    candidate: Candidate
    normalisation: Normalisation
    score: float

    @property
    def order(self) -> tuple[float, bool, str, str]:
        return (-self.score, self.candidate.used_until is not None, self.candidate.uscc, self.candidate.name)


_STAGES = (
    (Normalisation.NONE, lambda name: name, 1.0),
    (Normalisation.WIDTH_AND_CASE, names.typed_alike, 0.999),
    (Normalisation.PUNCTUATION, lambda name: names.without_punctuation(names.typed_alike(name)), 0.998),
    (Normalisation.SCRIPT, names.folded, 0.997),
)
_MOST_SIMILAR = 0.98


def is_initials(text: str) -> bool:
    """Whether a searched text can be initials of sounds: three to forty Latin letters."""
    return text.isascii() and text.isalpha() and 3 <= len(text) <= 40


def most_alike(searched: str, cores: Sequence[str], whole: Sequence[str]) -> list[int]:
    """Places of the names that are worth weighing, out of thousands: by their cores, then by the whole names.

    Many cores may be as alike as the right one; division and legal form then tell which is meant.
    """
    if len(cores) <= WEIGHED:
        return list(range(len(cores)))
    scorer = Indel.normalized_similarity
    found = process.extract(names.core_of(searched), cores, scorer=scorer, limit=10 * WEIGHED)
    chosen = {place: whole[place] for _, _, place in found}
    best = process.extract(names.typed_alike(searched), chosen, scorer=scorer, limit=WEIGHED // 2)
    first = [place for _, _, place in found[: WEIGHED // 2]]
    return list(dict.fromkeys([*first, *(place for _, _, place in best)]))


def rank(searched: str, candidates: Iterable[Candidate]) -> list[Match]:
    """The best answer of each entity, the best first."""
    sought = _Sought(searched)
    best: dict[str, Match] = {}
    for candidate in candidates:
        match = sought.match(candidate)
        known = best.get(candidate.uscc)
        if match.score >= LEAST_SCORE and (known is None or match.order < known.order):
            best[candidate.uscc] = match
    return sorted(best.values(), key=lambda match: match.order)


class _Sought:
    """A searched name with everything that is compared, worked out once."""

    def __init__(self, searched: str) -> None:
        self.stages = [(kind, reduce(searched), reduce, score) for kind, reduce, score in _STAGES]
        self.whole = self.stages[-1][1]
        self.core = names.core_of(searched)
        self.sounds = names.syllables_of(self.core)
        self.initials = self.whole if is_initials(self.whole) else None

    def match(self, candidate: Candidate) -> Match:
        for kind, text, reduce, score in self.stages:
            if reduce(candidate.name) == text:
                return Match(candidate, kind, score)
        likeness = self._likeness(candidate)
        if candidate.core == self.core:
            return Match(candidate, Normalisation.DIVISION_AND_FORM, round(0.9 + 0.09 * likeness, 4))
        score = round(_MOST_SIMILAR * (0.75 * self._core_likeness(candidate) + 0.25 * likeness), 4)
        if self.initials is not None and (found := self._initials_score(candidate)) > score:
            return Match(candidate, Normalisation.INITIALS, found)
        return Match(candidate, Normalisation.SIMILAR, score)

    def _likeness(self, candidate: Candidate) -> float:
        """Of the whole names, division and legal form included."""
        whole = names.folded(candidate.name)
        return max(Indel.normalized_similarity(self.whole, whole), 0.9 * _contained(self.whole, whole))

    def _core_likeness(self, candidate: Candidate) -> float:
        sounds = names.syllables_of(candidate.core)
        return max(
            Levenshtein.normalized_similarity(self.core, candidate.core),
            0.97 * Levenshtein.normalized_similarity(self.sounds, sounds),
            0.95 * _contained(self.core, candidate.core),
        )

    def _initials_score(self, candidate: Candidate) -> float:
        keys = names.keys_of(candidate.name)
        known = (keys.initials, keys.core_initials)
        begun = max(len(self.initials or "") / len(each) for each in known if each.startswith(self.initials or ""))
        return round(0.6 + 0.3 * begun, 4)


def _contained(short: str, long: str) -> float:
    """How far the characters of ``short`` stand in ``long`` in their order: 1 for an abbreviation of it."""
    return (len(short) + len(long) - Indel.distance(short, long)) / 2 / len(short) if short else 0.0
