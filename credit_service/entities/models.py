"""The entity, its names in time, and its rendered profile."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel
from pydantic import Field as ApiField
from sqlalchemy import ARRAY, Column, Integer, LargeBinary, SmallInteger, String, Text
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from credit_service.entities.names import keys_of
from credit_service.identity.clean_text import CleanText, Reference
from credit_service.platform.columns import code_column, instant_column, text_column, uscc_column
from credit_service.platform.contract import Strict


class RegistrationStatus(StrEnum):
    """登记状态."""

    ACTIVE = "active"  # 存续
    REVOKED = "revoked"  # 吊销
    SUSPENDED = "suspended"  # 歇业
    DEREGISTERED = "deregistered"  # 注销
    UNKNOWN = "unknown"  # 仅由记录得知, 登记机关尚未报送


class Entity(SQLModel, table=True):
    """A legal entity 法人、非法人组织或个体工商户. ``source`` tells whether a registrar or only a record names it."""

    __tablename__ = "entity"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    name: str = Field(sa_column=text_column())
    category: str = Field(sa_column=Column(String(2, collation="C"), nullable=False))
    division: str = Field(sa_column=Column(String(6, collation="C"), nullable=False))
    industry: str | None = Field(default=None, sa_column=Column(String(5, collation="C")))
    registration_status: str = Field(sa_column=text_column())
    established_on: date | None = None
    deregistered_on: date | None = None
    archived_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    quality_flags: list[str] = Field(default_factory=list, sa_column=Column(ARRAY(Text), nullable=False))
    quality_reason: str | None = Field(default=None, sa_column=text_column(nullable=True))
    source: str = Field(sa_column=text_column())
    version: int = 1
    created_at: datetime = Field(sa_column=instant_column())
    updated_at: datetime = Field(sa_column=instant_column())


class EntityName(SQLModel, table=True):
    """A name 名称 the entity bears (``used_until`` empty) or bore, and the keys it is found by (``names``)."""

    __tablename__ = "entity_name"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    id: UUID = Field(primary_key=True)
    name: str = Field(sa_column=text_column())
    used_from: date | None = None
    used_until: date | None = None
    core: str = Field(sa_column=code_column())
    initials: str = Field(sa_column=code_column())
    core_initials: str = Field(sa_column=code_column())
    tokens: list[int] = Field(sa_column=Column(ARRAY(Integer), nullable=False))

    @classmethod
    def of(cls, uscc: str, name: str, used_from: date | None = None, used_until: date | None = None) -> EntityName:
        """A name of an entity, with its keys."""
        keys = keys_of(name)
        return cls(uscc=uscc, id=uuid7(), name=name, used_from=used_from, used_until=used_until, **keys._asdict())


class EntityVersion(SQLModel, table=True):
    """What the registry said of an entity since ``recorded_at``; append-only. ``content`` is canonical JSON."""

    __tablename__ = "entity_version"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    version: int = Field(primary_key=True)
    recorded_at: datetime = Field(sa_column=instant_column())
    change: str = Field(sa_column=text_column())
    actor: str = Field(sa_column=text_column())
    request_id: str = Field(sa_column=text_column())
    content: str = Field(sa_column=text_column())


class EntityChange(SQLModel, table=True):
    """An entity that has changed since supervision last judged it; entered with the change, in its transaction."""

    __tablename__ = "entity_change"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))


class Profile(SQLModel, table=True):
    """The rendered JSON of one entity for one audience; out of date from ``fresh_until`` on."""

    __tablename__ = "profile"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    audience: str = Field(sa_column=code_column(primary_key=True))
    status: int = Field(sa_column=Column(SmallInteger, nullable=False))
    etag: str = Field(sa_column=code_column())
    fresh_until: datetime = Field(sa_column=instant_column())
    rendered_at: datetime = Field(sa_column=instant_column())
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


Name = Annotated[Reference, ApiField(min_length=2, max_length=200, description="名称 Name as registered")]


class NamePeriod(Strict):
    """A name and the days it was borne."""

    name: Name
    used_from: date | None = ApiField(default=None, description="启用日期 First day of use")
    used_until: date | None = ApiField(default=None, description="停用日期 First day no longer in use; empty: current")


class EntityWrite(Strict):
    """What a registrar 登记机关 reports of an entity."""

    name: Name
    former_names: list[NamePeriod] = ApiField(default_factory=list, max_length=50, description="曾用名 Former names")
    division: str | None = ApiField(
        default=None, pattern=r"^\d{6}$", description="行政区划代码 GB/T 2260; default: positions 3-8 of the code"
    )
    industry: str | None = ApiField(default=None, max_length=5, description="行业代码 GB/T 4754-2017")
    registration_status: RegistrationStatus = ApiField(
        default=RegistrationStatus.ACTIVE, description="登记状态 Registration status"
    )
    established_on: date | None = ApiField(default=None, description="成立日期 Established on")
    deregistered_on: date | None = ApiField(default=None, description="注销日期 Deregistered on")
    archived: bool = ApiField(default=False, description="已归档 Archived: the profile answers 410 to the public")
    admit_bad_check_digit: CleanText | None = ApiField(
        default=None,
        min_length=4,
        max_length=500,
        description="校验位不符的准入理由 Reason for admitting a code issued with a wrong check digit",
    )


class DeclarationView(BaseModel):
    """What is said of an entity while it carries out a reorganisation plan or a settlement (Order 36)."""

    text: str = ApiField(description="声明")
    court_name: str = ApiField(description="裁定法院")
    ruling_number: str = ApiField(description="裁定文书号")
    ruled_on: date = ApiField(description="裁定日期")
