"""The unified social credit code 统一社会信用代码 (GB 32100-2015, amendment No. 1 of 2016)."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import date

from credit_service.identity.categories import CATEGORIES, Category
from credit_service.platform.errors import FieldError, Problem, ProblemType

USCC_INVALID = ProblemType(
    "uscc-invalid", 422, "统一社会信用代码不符合国家标准", "Not a valid unified social credit code"
)
NATURAL_PERSON_IDENTIFIER = ProblemType(
    "natural-person-identifier",
    422,
    "本系统不受理自然人身份证件号码",
    "An identity number of a natural person is not accepted here",
)

CHARSET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""The 31 characters of GB 32100-2015; a character's value is its index. I, O, S, V and Z are not among them."""

WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
LENGTH = 18

CHECK_DIGIT_17 = "check-digit-17"
CHECK_DIGIT_18 = "check-digit-18"

_VALUES = {character: index for index, character in enumerate(CHARSET)}
_CHARACTERS = frozenset(CHARSET)
_IDENTITY_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_IDENTITY_CHECKS = "10X98765432"
_SHORT_IDENTITY_LENGTH = 15
_REGIONS = frozenset("12345678")


_DROPPED = frozenset({"Pd", "Cf", "Cc", "Mn"})
"""Dashes, invisible and control characters, combining marks."""


def normalise(text: str) -> str:
    """The code as it is stored: half-width, upper case, without spaces, hyphens or invisible characters."""
    if text.isascii() and text.isalnum():
        return text.upper()
    folded = unicodedata.normalize("NFKD", text)
    kept = (c for c in folded if not c.isspace() and unicodedata.category(c) not in _DROPPED)
    return "".join(kept).upper()


def check_character(first17: str) -> str:
    """Position 18 (GB 32100-2015, annex; mod 31) of 17 characters of the charset. Raises KeyError for any other."""
    total = sum([_VALUES[character] * weight for character, weight in zip(first17, WEIGHTS, strict=True)])
    return CHARSET[-total % 31]


def organisation_check_character(body8: str) -> str:
    """The ninth character of an organisation code (GB 11714; mod 11, letters A=10 .. Z=35)."""
    total = sum([int(character, 36) * weight for character, weight in zip(body8, ORGANISATION_WEIGHTS, strict=True)])
    return "0123456789X0"[11 - total % 11]


def compose(prefix: str, division: str, body: str) -> str:
    """A valid code of a category (2 characters), a division (6 digits) and an organisation code's body (8)."""
    first17 = prefix + division + body + organisation_check_character(body)
    return first17 + check_character(first17)


def is_resident_identity_number(text: str, *, regions: frozenset[str] = _REGIONS) -> bool:
    """Whether ``text`` (normalised) has the form of a resident identity number (GB 11643): 18 digits, or 15."""
    if text[:1] not in regions or not (text.isascii() and text[:17].isdigit()):
        return False
    if len(text) == _SHORT_IDENTITY_LENGTH:
        return _is_day("19" + text[6:12])
    if len(text) != LENGTH:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(text[:17], _IDENTITY_WEIGHTS, strict=True))
    return text[17] == _IDENTITY_CHECKS[total % 11] and _is_day(text[6:14])


def _is_day(digits: str) -> bool:
    try:
        day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return day.year >= 1850


@dataclass(frozen=True, slots=True)
class Uscc:
    """A code that has passed ``parse``. ``quality_flags`` is empty unless a wrong check digit was admitted."""

    value: str
    quality_flags: frozenset[str] = frozenset()

    @property
    def registering_authority(self) -> str:
        """Character 1, 登记管理部门代码."""
        return self.value[0]

    @property
    def category(self) -> Category:
        """Characters 1 and 2, 登记管理部门和机构类别."""
        return CATEGORIES[self.value[:2]]

    @property
    def division(self) -> str:
        """Characters 3 to 8, 登记管理机关行政区划码 (GB/T 2260 as it was when the code was issued)."""
        return self.value[2:8]

    @property
    def organisation_code(self) -> str:
        """Characters 9 to 17, 主体标识码 (GB 11714)."""
        return self.value[8:17]

    @property
    def check_character(self) -> str:
        """Character 18, 校验码."""
        return self.value[17]

    def __str__(self) -> str:
        return self.value

    @classmethod
    def parse(cls, text: str, *, pointer: str = "/uscc", admit_bad_check_digit: bool = False) -> Uscc:
        """Read a code however it is typed.

        A code with a wrong check digit is refused unless ``admit_bad_check_digit``: such codes were issued, and only a
        registrar can tell one from a typing error. Eighteen digits can satisfy both this standard and GB 11643; a code
        whose category and both check digits are right is taken for a code.

        Raises ``USCC_INVALID`` naming the first rule that failed, or ``NATURAL_PERSON_IDENTIFIER``. Neither repeats the
        submitted text, which may be somebody's identity number.
        """
        value = normalise(text)
        failed = _failed_rule(value)
        flags = check_digit_flags(value) if failed is None else frozenset()
        if (failed is not None or flags) and is_resident_identity_number(value):
            raise Problem(NATURAL_PERSON_IDENTIFIER, errors=[FieldError(pointer, "legal-entities-only")])
        if failed is None and flags and not admit_bad_check_digit:
            failed = (
                "GB 32100-2015 position 18: check character"
                if CHECK_DIGIT_18 in flags
                else "GB 11714 position 17: check character of the organisation code"
            )
        if failed is not None:
            raise Problem(USCC_INVALID, errors=[FieldError(pointer, failed)])
        return cls(value, flags)


def check_digit_flags(value: str) -> frozenset[str]:
    """Which check digits of a well-formed code are wrong."""
    flags = set()
    if organisation_check_character(value[8:16]) != value[16]:
        flags.add(CHECK_DIGIT_17)
    if check_character(value[:17]) != value[17]:
        flags.add(CHECK_DIGIT_18)
    return frozenset(flags)


def _failed_rule(value: str) -> str | None:
    """The first rule of form that ``value`` breaks; check digits are judged separately."""
    if len(value) != LENGTH:
        return "GB 32100-2015: 18 characters"
    if not _CHARACTERS.issuperset(value):
        return "GB 32100-2015: digits and capital letters without I, O, S, V, Z"
    if value[:2] not in CATEGORIES:
        return "GB 32100-2015 positions 1-2: registering authority and category"
    if not value[2:8].isdigit():
        return "GB 32100-2015 positions 3-8: division (GB/T 2260)"
    return None
