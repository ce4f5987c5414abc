"""What the bodies of all requests have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Members that nobody asked for are refused, and blanks around a text are no part of it."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
