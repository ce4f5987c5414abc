"""Column shapes that every table shares."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, String, Text


def uscc_column(name: str | None = None, *, primary_key: bool = False, nullable: bool = False) -> Column[str]:
    """A unified social credit code: 18 characters compared byte by byte, so that it sorts alike everywhere."""
    kind = String(18, collation="C")
    if name:
        return Column(name, kind, primary_key=primary_key, nullable=nullable)
    return Column(kind, primary_key=primary_key, nullable=nullable)


def code_column(*, primary_key: bool = False, nullable: bool = False) -> Column[str]:
    """A machine-readable text, compared byte by byte."""
    return Column(Text(collation="C"), primary_key=primary_key, nullable=nullable)


def instant_column(*, nullable: bool = False) -> Column[object]:
    """A UTC instant."""
    return Column(DateTime(timezone=True), nullable=nullable)


def text_column(*, nullable: bool = False) -> Column[str]:
    return Column(Text, nullable=nullable)
