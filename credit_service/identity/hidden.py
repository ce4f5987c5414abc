"""Characters that nobody sees, or that make a text look other than it is."""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cn", "Cs", "Zl", "Zp"})
"""Controls, formats (zero width, direction), noncharacters, surrogates, line and paragraph separators.

Private use is none of them: rare characters of names came to GB 18030 late and stand there in older data.
"""
_LINES = frozenset("\t\n\r")
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def holds_hidden(text: str) -> bool:
    """Whether a name or a reference holds what is not seen, or shows nothing at all."""
    if text.isprintable() and not text.isspace():
        return False
    return text.isspace() or any(unicodedata.category(character) in _HIDDEN for character in text)


def holds_unprintable(text: str) -> bool:
    """Whether a longer text holds controls other than line breaks and tabs, surrogates, or changes of direction."""
    return not text.isprintable() and any(
        character in _DIRECTION or (unicodedata.category(character) in ("Cc", "Cs") and character not in _LINES)
        for character in text
    )
