"""Text members of the API that keep personal information out: masked, or refused without repeating it.

    text: CleanText = Field(min_length=2, max_length=8000, description="...")

Whoever needs to tell the sender what was masked calls ``personal.scrub`` instead.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from credit_service.identity.hidden import holds_hidden
from credit_service.identity.personal import holds_identity_number, masked

REFUSED = "personal-information"
HIDDEN = "hidden-character"


def _without_identity_number(text: str) -> str:
    if holds_identity_number(text):
        raise PydanticCustomError(REFUSED, "no identity number of a person")
    return text


def _without_hidden(text: str) -> str:
    if holds_hidden(text):
        raise PydanticCustomError(HIDDEN, "no character that is not seen")
    return text


CleanText = Annotated[str, AfterValidator(masked)]
"""Free text: numbers and names of persons are masked before anything is stored."""

Name = Annotated[str, AfterValidator(_without_hidden)]
"""A name: it holds nothing that is not seen, so that no two look the same and differ by that."""

Reference = Annotated[Name, AfterValidator(_without_identity_number)]
"""A short text such as a document number or a name, where masking would spoil it: an identity number is refused."""
