"""Personal information in free text: found, and masked, before the text is stored (PIPL arts. 6, 25; Order 45 art. 6).

The registry is about organisations. Numbers that identify a person or reach one are replaced by a remark that there was
one; a person named after a role word keeps the surname (张某). What looks similar and is not personal survives: codes
of organisations, document, order and licence numbers, amounts, dates. Pure: text in, text and kinds out; nothing here
repeats what it found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from credit_service.identity.personal_names import names_in
from credit_service.identity.uscc import LENGTH, Uscc, is_resident_identity_number
from credit_service.platform.errors import Problem


class PersonalInformation(StrEnum):
    """Kinds of personal information, as receipts name them."""

    IDENTITY_NUMBER = "identity-number"  # 居民身份证号码
    PHONE_NUMBER = "phone-number"  # 电话号码
    BANK_CARD = "bank-card"  # 银行卡号
    TRAVEL_DOCUMENT = "travel-document"  # 护照等证件号码
    PERSONAL_NAME = "personal-name"  # 姓名


REMARKS = {
    PersonalInformation.IDENTITY_NUMBER: "〔身份证号码已隐去〕",
    PersonalInformation.PHONE_NUMBER: "〔电话号码已隐去〕",
    PersonalInformation.BANK_CARD: "〔银行卡号已隐去〕",
    PersonalInformation.TRAVEL_DOCUMENT: "〔证件号码已隐去〕",
}
"""What stands where a number stood: neither digits nor role words, so that masking twice changes nothing."""


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """A text without personal information, and the kinds that were in it."""

    text: str
    found: tuple[PersonalInformation, ...]


def scrub(text: str, *, names_representative: bool = False) -> Scrubbed:
    """Mask personal information; ``names_representative`` leaves the legal representative's name where it is published.

    Masking a masked text changes nothing.
    """
    found: set[PersonalInformation] = set()
    while spans := _spans(text, names_representative):
        for start, end, kind, remark in reversed(spans):
            text = text[:start] + remark + text[end:]
            found.add(kind)
    return Scrubbed(text, tuple(sorted(found)))


def masked(text: str) -> str:
    """The text with personal information masked, for who needs not tell what was."""
    return scrub(text).text


def holds_identity_number(text: str) -> bool:
    """Whether an identity number of 18 characters stands anywhere in the text, however it is written.

    Fifteen digits have no check character: many a registration number would be taken for one of a person's.
    """
    if not _DIGITS.search(text):
        return False
    folded = text.translate(_FOLD)
    return any(sum(map(_is_digit, folded[start:end])) == LENGTH for start, end in _identity_numbers(folded))


def _is_digit(character: str) -> bool:
    return _DIGIT.match(character) is not None


# Numbers --------------------------------------------------------------------------------------------------------------

# Full-width digits, and the ways the check character X is typed, one for one.
_FOLD = {0xFF10 + digit: str(digit) for digit in range(10)} | dict.fromkeys(map(ord, "ＸｘⅩⅹ×╳Χχ"), "X")
_GAP = r"[\s\-‐-―－·\u00ad\u200b-\u200f\u2060\ufeff]"
_D = "[0-9０-９]"  # a set, because it is searched for several times as fast as \d
_DIGITS = re.compile(rf"{_D}(?:{_GAP}{{0,2}}{_D}){{6}}")
_RUN = re.compile(rf"\d(?:{_GAP}{{0,2}}[\dXx])*")
_DIGIT = re.compile(r"[\dXx]")

Span = tuple[int, int, PersonalInformation, str]
Segment = tuple[int, int, str]

PROVINCES = frozenset(
    str(code)
    for codes in ((11, 16), (21, 24), (31, 38), (41, 47), (50, 55), (61, 66), (71, 72), (81, 84))
    for code in range(*codes)
)
"""The first two digits of an identity number (GB/T 2260; 83: residence permits of people from Taiwan)."""
_FOREIGN_RESIDENT = frozenset("9")
_ADULT_UNTIL = "2011"
"""Inside a longer number a birth date counts up to this year: order and document numbers carry dates of their own."""
_COMMITMENT_CODE = 20


def _spans(text: str, names_representative: bool) -> list[Span]:
    """What to replace, in the order of the text and without overlaps; where two overlap, the kind found first wins."""
    found: list[Span] = []
    if _DIGITS.search(text):
        folded = text.translate(_FOLD)
        for kind, find in _FINDERS:
            for start, end in find(folded):
                if _free(found, start, end):
                    found.append((start, end, kind, REMARKS[kind]))
    for start, end, remark in names_in(text, names_representative=names_representative):
        if _free(found, start, end):
            found.append((start, end, PersonalInformation.PERSONAL_NAME, remark))
    return sorted(found)


def _free(taken: list[Span], start: int, end: int) -> bool:
    return all(end <= other[0] or other[1] <= start for other in taken)


def _identity_numbers(folded: str) -> Iterator[tuple[int, int]]:
    """Resident identity numbers (GB 11643): 18 with their check character wherever they stand, 15 by themselves."""
    for run in _RUN.finditer(folded):
        places = [match.start() for match in _DIGIT.finditer(folded, run.start(), run.end())]
        number = "".join(folded[place] for place in places).upper()
        position = 0
        while position + _SHORT_LENGTH <= len(number):
            length = _identity_at(folded, number, places, position)
            if length:
                yield places[position], places[position + length - 1] + 1
            position += length or 1


_SHORT_LENGTH = 15


def _identity_at(folded: str, number: str, places: list[int], position: int) -> int:
    """The length of the identity number that begins at this digit, or 0."""
    candidate = number[position : position + LENGTH]
    if len(candidate) == LENGTH and _is_identity_number(candidate):
        alone = _alone(number, places, position, LENGTH)
        if (alone and not _is_organisation(candidate)) or (
            not alone and candidate[6:10] <= _ADULT_UNTIL and not _in_commitment_code(number)
        ):
            return LENGTH
    short = number[position : position + _SHORT_LENGTH]
    if (
        short[:2] in PROVINCES
        and is_resident_identity_number(short)
        and _alone(number, places, position, _SHORT_LENGTH)
        and not _labelled_otherwise(folded, places[position])
    ):
        return _SHORT_LENGTH
    return 0


def _is_identity_number(candidate: str) -> bool:
    if candidate[0] in _FOREIGN_RESIDENT:  # 外国人永久居留身份证 of 2023; the rest is as in GB 11643
        return is_resident_identity_number(candidate, regions=_FOREIGN_RESIDENT)
    return candidate[:2] in PROVINCES and is_resident_identity_number(candidate)


def _alone(number: str, places: list[int], position: int, length: int) -> bool:
    """Whether the digits from ``position`` on are set off from the digits around them."""
    end = position + length
    begins = position == 0 or places[position] - places[position - 1] > 1
    return begins and (end == len(number) or places[end] - places[end - 1] > 1)


def _is_organisation(candidate: str) -> bool:
    """Eighteen digits can satisfy both standards; one that is a valid code of an organisation is taken for that."""
    try:
        return not Uscc.parse(candidate, admit_bad_check_digit=True).quality_flags
    except Problem:
        return False


def _in_commitment_code(number: str) -> bool:
    """承诺编码: division, day, serial number; its date is in this century."""
    return len(number) == _COMMITMENT_CODE and number[6:8] == "20"


_OTHER_NUMBER = re.compile(
    r"(?:订单|运单|快递|单|编|批|货|流水|案|(?:许可|登记|合格|资格|产权|营运|运输|从业|凭)证|序|条码|发票|合同|登记|注册|备案|产品|型号|代码)"
    r"(?:号码|编号|号|码)?(?:为|是|系)?[:：\s]*$"
)
_LABEL_LENGTH = 12


def _labelled_otherwise(folded: str, start: int) -> bool:
    """Whether the words before a number say that it is none of a person's."""
    return bool(_OTHER_NUMBER.search(folded, max(0, start - _LABEL_LENGTH), start))


_AMOUNT = r"(?!\s*(?:余?元|万|亿|美元|欧元|股|份|吨|千克|公斤|克|件|箱|瓶|袋|盒|个|平方|米))(?!\.\d)(?![A-Za-z\d])"
_MOBILE = re.compile(
    rf"(?<![\d.¥￥$])(?:(?:\+|00)?86{_GAP}{{0,2}})?1[3-9]\d{_GAP}{{0,2}}\d{{4}}{_GAP}{{0,2}}\d{{4}}{_AMOUNT}"
)
_LANDLINE = re.compile(
    rf"(?<![\dA-Za-z.])(?:\+?86{_GAP}?)?(?:[(（]0\d{{2,3}}[)）]{_GAP}?|0\d{{2,3}}[\-‐-―－ ])"
    rf"[2-9]\d{{2,3}}{_GAP}?\d{{4}}"
    r"(?:[\-转]\d{1,6})?(?!\d)"
)
_LABELLED_PHONE = re.compile(
    r"(?:电话|手机|座机|固话|传真|联系方式|微信|Tel|TEL|tel)(?:号码|号)?(?:为|是)?[:：\s]{0,3}"
    r"(\+?\d[\d\-‐-―－ ]{5,16}\d)(?!\d)"
)


def _phone_numbers(folded: str) -> Iterator[tuple[int, int]]:
    for match in _LABELLED_PHONE.finditer(folded):
        yield match.span(1)
    for match in _MOBILE.finditer(folded):
        before = folded[match.start() - 1 : match.start()]
        lettered = before.isascii() and before.isalpha() and not folded[: match.start()].lower().endswith("tel")
        if not lettered and not _labelled_otherwise(folded, match.start()):
            yield match.span()
    for match in _LANDLINE.finditer(folded):
        yield match.span()


_CARD_PREFIXES = re.compile(r"62|60|6[4-7]|9558|955[0-9]{2}|4|5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[47]|35")
_CARD_LENGTHS = {"6": range(16, 20), "9": range(16, 20), "4": (16, 19), "5": (16,), "2": (16,), "3": (15, 16)}


def _bank_cards(folded: str) -> Iterator[tuple[int, int]]:
    """Card numbers by issuer prefix, length and Luhn's check (ISO/IEC 7812)."""
    for start, end, number in _segments(folded):
        if (
            len(number) in _CARD_LENGTHS.get(number[:1], ())
            and _CARD_PREFIXES.match(number)
            and is_luhn(number)
            and not _labelled_otherwise(folded, start)
        ):
            yield start, end


def _segments(folded: str) -> Iterator[Segment]:
    """Runs of digits that stand by themselves."""
    for run in _RUN.finditer(folded):
        before, after = folded[run.start() - 1 : run.start()], folded[run.end() : run.end() + 1]
        if any(c.isascii() and (c.isalpha() or c == ".") for c in (before, after)):
            continue
        if "X" not in run.group().upper():
            yield run.start(), run.end(), "".join(c for c in run.group() if c.isdigit())


def is_luhn(number: str) -> bool:
    """Luhn's check (ISO/IEC 7812-1 annex B) of a string of digits."""
    total = 0
    for index, digit in enumerate(reversed(number)):
        value = int(digit) * (2 if index % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


_TRAVEL_DOCUMENT = re.compile(
    r"(?:护照|通行证|居留身份证|居留证|居住证|军官证|士兵证)(?:证件)?(?:号码|编号|号)?(?:为|是|[:：\s(（]){0,3}"
    r"([A-Za-z]{0,3}[字第]{0,2}\d[A-Za-z\d]{5,14}号?)"
)


def _travel_documents(folded: str) -> Iterator[tuple[int, int]]:
    for match in _TRAVEL_DOCUMENT.finditer(folded):
        yield match.span(1)


_FINDERS = (
    (PersonalInformation.IDENTITY_NUMBER, _identity_numbers),
    (PersonalInformation.TRAVEL_DOCUMENT, _travel_documents),
    (PersonalInformation.BANK_CARD, _bank_cards),
    (PersonalInformation.PHONE_NUMBER, _phone_numbers),
)
