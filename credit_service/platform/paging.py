"""Pages by opaque cursor: the place after the last row shown, in the list's own order."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic import Field as ApiField

from credit_service.platform.errors import FieldError, Problem, ProblemType

CURSOR_INVALID = ProblemType("cursor-invalid", 400, "分页游标无效", "The paging cursor is not valid")
DEFAULT_LIMIT = 50
LARGEST_LIMIT = 500


class Page(BaseModel):
    """What every list answers with; ``next_cursor`` is absent on the last page."""

    next_cursor: str | None = ApiField(default=None, description="下一页游标 Pass it as ?cursor= for the next page")


def encode_cursor(*place: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place, default=str)).rstrip(b"=").decode()


def decode_cursor(cursor: str, length: int) -> list[Any]:
    """The place a cursor stands for. Raises ``CURSOR_INVALID``."""
    try:
        place = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError) as error:
        raise bad_cursor() from error
    if not isinstance(place, list) or len(place) != length:
        raise bad_cursor()
    return place


def bad_cursor() -> Problem:
    return Problem(CURSOR_INVALID, errors=[FieldError("query:cursor", "issued-by-this-list")])
