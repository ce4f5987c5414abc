"""Pages by opaque cursor: the place after the last row shown, in the list's own order."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, date, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, StringConstraints, TypeAdapter, ValidationError
from pydantic import Field as ApiField

from credit_service.platform.errors import FieldError, Problem, ProblemType

CURSOR_INVALID = ProblemType("cursor-invalid", 400, "分页游标无效", "The paging cursor is not valid")
DEFAULT_LIMIT = 50
LARGEST_LIMIT = 500


class Page(BaseModel):
    """What every list answers with; ``next_cursor`` is absent on the last page."""

    next_cursor: str | None = ApiField(default=None, description="下一页游标 Pass it as ?cursor= for the next page")


def _of_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("before the first day or after the last") from error


Place = TypeVar("Place", bound=tuple[Any, ...])
Moment = Annotated[AwareDatetime, AfterValidator(_of_utc)]
Text = Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00]*$")]
Number = Annotated[int, ApiField(strict=True, ge=0, lt=2**62)]
BY_MOMENT: TypeAdapter[tuple[datetime, UUID]] = TypeAdapter(tuple[Moment, UUID])
BY_DAY: TypeAdapter[tuple[date, UUID]] = TypeAdapter(tuple[date, UUID])
BY_ID: TypeAdapter[tuple[UUID]] = TypeAdapter(tuple[UUID])
BY_TEXT: TypeAdapter[tuple[str]] = TypeAdapter(tuple[Text])
BY_NUMBER: TypeAdapter[tuple[int]] = TypeAdapter(tuple[Number])


def encode_cursor(*place: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place, default=str)).rstrip(b"=").decode()


def place_of(cursor: str | None, kind: TypeAdapter[Place], *, name: str = "cursor") -> Place | None:
    """The place a cursor stands for in a list of that order; none for the first page. Raises ``CURSOR_INVALID``."""
    if cursor is None:
        return None
    try:
        return kind.validate_json(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, ValidationError) as error:
        raise Problem(CURSOR_INVALID, errors=[FieldError(f"query:{name}", "issued-by-this-list")]) from error
