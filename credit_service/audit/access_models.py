"""The access log and what stands out in it, as tables."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column
from sqlmodel import Field, SQLModel

from credit_service.platform.columns import code_column, instant_column, text_column, uscc_column


class AccessLog(SQLModel, table=True):
    """Append-only, partitioned by month; written by ``accesses.Journal``, which says what the columns mean."""

    __tablename__ = "access_log"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    at: datetime = Field(sa_column=Column(instant_column().type, primary_key=True))
    id: UUID = Field(primary_key=True)
    principal: str = Field(sa_column=text_column())
    agency_uscc: str | None = Field(default=None, sa_column=uscc_column(nullable=True))
    audience: str = Field(sa_column=code_column())
    purpose: str = Field(sa_column=code_column())
    case_reference: str | None = Field(default=None, sa_column=text_column(nullable=True))
    route: str = Field(sa_column=code_column())
    request_id: str = Field(sa_column=text_column())
    disclosed_from: datetime = Field(sa_column=instant_column())


class AccessCount(SQLModel, table=True):
    """How many files an agency was shown on a day (Asia/Shanghai): written with the accesses, read by its quota."""

    __tablename__ = "access_count"

    agency_uscc: str = Field(sa_column=uscc_column(primary_key=True))
    day: date = Field(primary_key=True)
    accesses: int = Field(sa_column=Column(BigInteger, nullable=False))


class AccessAnomaly(SQLModel, table=True):
    """A day on which an agency read more than its quota, or mostly what lies outside its duty."""

    __tablename__ = "access_anomaly"

    agency_uscc: str = Field(sa_column=uscc_column(primary_key=True))
    day: date = Field(primary_key=True)
    kind: str = Field(sa_column=code_column(primary_key=True))
    accesses: int = Field(sa_column=Column(BigInteger, nullable=False))
    subjects: int = Field(sa_column=Column(BigInteger, nullable=False))
    outside: int = Field(sa_column=Column(BigInteger, nullable=False))
    found_at: datetime = Field(sa_column=instant_column())
    reviewed_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    reviewed_by: str | None = Field(default=None, sa_column=text_column(nullable=True))
    review: str | None = Field(default=None, sa_column=text_column(nullable=True))
