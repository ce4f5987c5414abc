"""Inspection items, inspectors, plans, draws and inspections."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, JSON, Column, Integer, LargeBinary, String, Text
from sqlmodel import Field, SQLModel

from credit_service.platform.columns import code_column, instant_column, text_column, uscc_column


def _codes() -> Column[Any]:
    return Column(ARRAY(Text(collation="C")), nullable=False)


class InspectionItem(SQLModel, table=True):
    """An item of an agency's list of random inspections 随机抽查事项清单."""

    __tablename__ = "inspection_item"

    agency_uscc: str = Field(sa_column=uscc_column(primary_key=True))
    code: str = Field(sa_column=code_column(primary_key=True))
    name: str = Field(sa_column=text_column())
    legal_basis: str = Field(sa_column=text_column())
    created_at: datetime = Field(sa_column=instant_column())


class Inspector(SQLModel, table=True):
    """An officer 执法检查人员 of the agency's pool: name and staff number, for its own use only."""

    __tablename__ = "inspector"

    agency_uscc: str = Field(sa_column=uscc_column(primary_key=True))
    id: UUID = Field(primary_key=True)
    staff_number: str = Field(sa_column=code_column())
    name: str = Field(sa_column=text_column())
    items: list[str] = Field(sa_column=_codes())
    active: bool = True
    created_at: datetime = Field(sa_column=instant_column())


class InspectorConflict(SQLModel, table=True):
    """An entity that an officer must not inspect 回避."""

    __tablename__ = "inspector_conflict"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    inspector_id: UUID = Field(primary_key=True)
    reason: str = Field(sa_column=text_column())
    created_at: datetime = Field(sa_column=instant_column())


class InspectionPlan(SQLModel, table=True):
    """A plan 抽查计划: scope, and for each class the share to draw and the most visits a year."""

    __tablename__ = "inspection_plan"

    id: UUID = Field(primary_key=True)
    agency_uscc: str = Field(sa_column=uscc_column())
    participants: list[str] = Field(sa_column=Column(ARRAY(String(18, collation="C")), nullable=False))
    title: str = Field(sa_column=text_column())
    year: int = Field(sa_column=Column(Integer, nullable=False))
    items: list[str] = Field(sa_column=_codes())
    division: str = Field(sa_column=code_column())
    industry: str = Field(sa_column=code_column())
    quotas: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    class_a_reason: str | None = Field(default=None, sa_column=text_column(nullable=True))
    inspectors_each: int = Field(sa_column=Column(Integer, nullable=False))
    state: str = Field(sa_column=code_column())
    version: int = 1
    created_by: str = Field(sa_column=text_column())
    created_at: datetime = Field(sa_column=instant_column())


class InspectionDraw(SQLModel, table=True):
    """What was committed before the draw, and what was drawn.

    ``material`` is published at once, ``openings`` says which handle is whom and stays inside, ``secret`` is published
    with the draw. All three are bytes whose digests the commitment holds.
    """

    __tablename__ = "inspection_draw"

    plan_id: UUID = Field(primary_key=True)
    secret: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    material: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    openings: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    commitment: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    committed_by: str = Field(sa_column=text_column())
    committed_at: datetime = Field(sa_column=instant_column())
    reveal: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    drawn: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    drawn_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))


class Inspection(SQLModel, table=True):
    """One entity drawn by a plan, with its inspectors and, later, what they found."""

    __tablename__ = "inspection"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    id: UUID = Field(primary_key=True)
    plan_id: UUID
    year: int = Field(sa_column=Column(Integer, nullable=False))
    handle: str = Field(sa_column=code_column())
    inspectors: list[str] = Field(sa_column=_codes())
    state: str = Field(sa_column=code_column())
    version: int = 1
    result: str | None = Field(default=None, sa_column=text_column(nullable=True))
    inspected_on: date | None = None
    record_id: UUID | None = None
    recorded_by: str | None = Field(default=None, sa_column=text_column(nullable=True))
    drawn_at: datetime = Field(sa_column=instant_column())
    recorded_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
