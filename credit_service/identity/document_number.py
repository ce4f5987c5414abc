"""文号 Numbers of documents: the brackets of the year as the standard has them, whatever was typed.

    normalised("渝中市监处罚[2026]1号")    # 渝中市监处罚〔2026〕1号
    normalised("(2026)渝01破申1号")        # （2026）渝01破申1号

GB/T 9704-2012 7.2.5 puts the year of an authority's number in 〔〕; the Supreme People's Court puts that of a case
(案号, which begins with it) in （） (法〔2015〕137号).
"""

from __future__ import annotations

import re

_YEAR = re.compile(r"[(（\[［{｛〔【〖〘﹝﹙❲]([12][0-9]{3})[)）\]］}｝〕】〗〙﹞﹚❳]")
_COURT = re.compile(r"(?![第年])[一-鿿]")


def normalised(text: str) -> str:
    """The number with each bracketed year of four digits in the brackets that belong there, and otherwise as given."""
    return _YEAR.sub(_bracketed, text)


def _bracketed(found: re.Match[str]) -> str:
    is_case = found.start() == 0 and _COURT.match(found.string, found.end())
    return f"（{found[1]}）" if is_case else f"〔{found[1]}〕"
