"""Rule sets, the class of each entity with its history, what is counted, and the runs that compute it all."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, JSON, BigInteger, Column, Date, Integer, String, Text
from sqlmodel import Field, SQLModel

from credit_service.platform.columns import code_column, instant_column, text_column, uscc_column


def _class_column(*, primary_key: bool = False, nullable: bool = False) -> Column[str]:
    return Column(String(1, collation="C"), primary_key=primary_key, nullable=nullable)


def _division_column(*, primary_key: bool = False) -> Column[str]:
    return Column(String(6, collation="C"), primary_key=primary_key, nullable=False)


def _industry_column(*, primary_key: bool = False) -> Column[str]:
    return Column(String(3, collation="C"), primary_key=primary_key, nullable=False)


class RuleSetRow(SQLModel, table=True):
    """A rule set as uploaded; it never changes. Of those activated for a division prefix the newest is in force.

    An entity is judged by the one whose ``division`` is the longest prefix of its own; the empty one is everybody's.
    """

    __tablename__ = "rule_set"

    id: UUID = Field(primary_key=True)
    name: str = Field(sa_column=code_column())
    edition: str = Field(sa_column=code_column())
    document: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    digest: str = Field(sa_column=code_column())
    agency_uscc: str = Field(sa_column=uscc_column())
    division: str = Field(sa_column=code_column())
    state: str = Field(sa_column=code_column())
    version: int = 1
    proposed_by: str = Field(sa_column=text_column())
    proposed_at: datetime = Field(sa_column=instant_column())
    approved_by: str | None = Field(default=None, sa_column=text_column(nullable=True))
    activated_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    retirement_proposed_by: str | None = Field(default=None, sa_column=text_column(nullable=True))
    retirement_proposed_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    retired_by: str | None = Field(default=None, sa_column=text_column(nullable=True))


class EntityClass(SQLModel, table=True):
    """The class of an entity. ``industry`` is the division of GB/T 4754; ``since`` when the class began.

    From ``fresh_until`` on time alone may have changed it; ``tags`` are what it is found by besides.
    """

    __tablename__ = "entity_class"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    division: str = Field(sa_column=_division_column())
    industry: str = Field(sa_column=_industry_column())
    risk_class: str = Field(sa_column=_class_column())
    points: int = Field(sa_column=Column(Integer, nullable=False))
    tags: list[str] = Field(sa_column=Column(ARRAY(Text(collation="C")), nullable=False))
    rule_set_id: UUID
    since: datetime = Field(sa_column=instant_column())
    evaluated_at: datetime = Field(sa_column=instant_column())
    fresh_until: datetime = Field(sa_column=instant_column())


class ClassTag(SQLModel, table=True):
    """An entity under one of its tags, so that a list is paged in its own order whatever its size."""

    __tablename__ = "class_tag"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    tag: str = Field(sa_column=code_column(primary_key=True))
    division: str = Field(sa_column=_division_column())
    industry: str = Field(sa_column=_industry_column())
    risk_class: str = Field(sa_column=_class_column())


class ClassHistory(SQLModel, table=True):
    """A class from ``since`` on; append-only. Written when class, division or industry changed."""

    __tablename__ = "class_history"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    id: UUID = Field(primary_key=True)
    since: datetime = Field(sa_column=instant_column())
    division: str = Field(sa_column=_division_column())
    industry: str = Field(sa_column=_industry_column())
    risk_class: str = Field(sa_column=_class_column())
    previous_class: str | None = Field(default=None, sa_column=_class_column(nullable=True))
    points: int = Field(sa_column=Column(Integer, nullable=False))
    rule_set_id: UUID


class ClassCount(SQLModel, table=True):
    """How many entities there are of a tag (empty: of all), division, industry and class."""

    __tablename__ = "class_count"

    tag: str = Field(sa_column=code_column(primary_key=True))
    division: str = Field(sa_column=_division_column(primary_key=True))
    industry: str = Field(sa_column=_industry_column(primary_key=True))
    risk_class: str = Field(sa_column=_class_column(primary_key=True))
    entities: int = Field(sa_column=Column(BigInteger, nullable=False))


class ClassFlow(SQLModel, table=True):
    """By how much a count changed on a day (Asia/Shanghai): what it was at a day's end is the sum up to it."""

    __tablename__ = "class_flow"

    day: date = Field(sa_column=Column(Date, primary_key=True))
    tag: str = Field(sa_column=code_column(primary_key=True))
    division: str = Field(sa_column=_division_column(primary_key=True))
    industry: str = Field(sa_column=_industry_column(primary_key=True))
    risk_class: str = Field(sa_column=_class_column(primary_key=True))
    change: int = Field(sa_column=Column(BigInteger, nullable=False))


class ClassRun(SQLModel, table=True):
    """A pass over the whole population: a full computation, or what a draft would change (``what-if``)."""

    __tablename__ = "class_run"

    id: UUID = Field(primary_key=True)
    kind: str = Field(sa_column=code_column())
    rule_set_id: UUID
    baseline_id: UUID | None = None
    division: str = Field(sa_column=code_column())
    as_of: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    known_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    state: str = Field(sa_column=code_column())
    started_by: str = Field(sa_column=text_column())
    started_at: datetime = Field(sa_column=instant_column())
    finished_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))


class ClassRunChunk(SQLModel, table=True):
    """A range (from, to] of codes of a run; done once, in one transaction, by whoever takes it."""

    __tablename__ = "class_run_chunk"

    run_id: UUID = Field(primary_key=True)
    number: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    from_uscc: str = Field(sa_column=uscc_column())
    to_uscc: str = Field(sa_column=uscc_column())
    entities: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    changed: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    matrix: dict[str, int] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    done_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))


class ClassMove(SQLModel, table=True):
    """An entity whose class a draft would change."""

    __tablename__ = "class_move"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    run_id: UUID = Field(primary_key=True)
    before: str | None = Field(default=None, sa_column=_class_column(nullable=True))
    after: str = Field(sa_column=_class_column())
    points_before: int | None = Field(default=None, sa_column=Column(Integer))
    points_after: int = Field(sa_column=Column(Integer, nullable=False))


class SupervisionSetting(SQLModel, table=True):
    """What an authority decides for the entities of its division."""

    __tablename__ = "supervision_setting"

    agency_uscc: str = Field(sa_column=uscc_column(primary_key=True))
    division: str = Field(sa_column=code_column())
    open_to_subjects: bool = False
    version: int = 1
    changed_at: datetime = Field(sa_column=instant_column())
