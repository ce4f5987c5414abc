"""Agencies 数据来源单位, what they may submit, and the clients that act for them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic import Field as ApiField
from sqlalchemy import Column, ForeignKey, String
from sqlmodel import Field, SQLModel

from credit_service.accounts.rules import Role
from credit_service.platform.columns import code_column, instant_column, text_column, uscc_column

Level = Literal["national", "province", "city", "district"]


class Agency(SQLModel, table=True):
    """A unit that submits data. One that was merged or abolished names its successor and is no longer active."""

    __tablename__ = "agency"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    name: str = Field(sa_column=text_column())
    division: str = Field(sa_column=Column(String(6, collation="C"), nullable=False))
    level: str = Field(sa_column=text_column())
    parent_uscc: str | None = Field(default=None, sa_column=uscc_column(nullable=True))
    successor_uscc: str | None = Field(default=None, sa_column=uscc_column(nullable=True))
    active: bool = True
    daily_subjects: int | None = None
    created_at: datetime = Field(sa_column=instant_column())


class AgencyGrant(SQLModel, table=True):
    """A catalogue item an agency may submit, for authorities of the divisions within a prefix."""

    __tablename__ = "agency_grant"

    agency_uscc: str = Field(sa_column=Column(String(18, collation="C"), ForeignKey("agency.uscc"), primary_key=True))
    item_code: str = Field(sa_column=code_column(primary_key=True))
    division_prefix: str = Field(sa_column=Column(String(6, collation="C"), primary_key=True))


class Client(SQLModel, table=True):
    """A system or person with a secret of its own; the secret is stored as an argon2 hash."""

    __tablename__ = "client"

    client_id: str = Field(sa_column=code_column(primary_key=True))
    name: str = Field(sa_column=text_column())
    role: str = Field(sa_column=text_column())
    agency_uscc: str | None = Field(
        default=None, sa_column=Column(String(18, collation="C"), ForeignKey("agency.uscc"), nullable=True)
    )
    entity_uscc: str | None = Field(default=None, sa_column=uscc_column(nullable=True))
    secret_hash: str = Field(sa_column=text_column())
    created_at: datetime = Field(sa_column=instant_column())
    disabled_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))


class Grant(BaseModel):
    """A catalogue item and the divisions (of the deciding authority) it may be submitted for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    item_code: str = ApiField(max_length=64, description="目录事项代码 Catalogue item")
    division_prefix: str = ApiField(pattern=r"^\d{2}(\d{2}(\d{2})?)?$", description="行政区划前缀 Division prefix")


class AgencyWrite(BaseModel):
    """An agency as an administrator enters it."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: str = ApiField(min_length=2, max_length=200, description="单位名称 Name")
    division: str = ApiField(pattern=r"^\d{6}$", description="行政区划代码 GB/T 2260")
    level: Level = ApiField(description="层级 Level")
    parent_uscc: str | None = ApiField(default=None, max_length=40, description="上级单位统一社会信用代码")
    successor_uscc: str | None = ApiField(
        default=None, max_length=40, description="承继单位统一社会信用代码 Successor of a merged or abolished agency"
    )
    active: bool = ApiField(default=True, description="是否有效 Active")
    daily_subjects: int | None = ApiField(
        default=None,
        ge=0,
        le=100_000_000,
        description="每日查询限额 Non-public files it may read a day; empty: default",
    )
    grants: list[Grant] = ApiField(default_factory=list, max_length=500, description="报送授权 What it may submit")


class AgencyRead(AgencyWrite):
    """An agency with what it may submit."""

    uscc: str = ApiField(description="统一社会信用代码")


class AgencyList(BaseModel):
    """Every agency."""

    agencies: list[AgencyRead] = ApiField(description="单位 Agencies")


class ClientCreate(BaseModel):
    """A client to be made."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    client_id: str = ApiField(pattern=r"^[a-z0-9][a-z0-9._-]{2,63}$", description="客户端标识 Client id")
    name: str = ApiField(min_length=2, max_length=200, description="名称 Name")
    role: Role = ApiField(description="角色 Role")
    agency_uscc: str | None = ApiField(default=None, max_length=40, description="所属单位 Agency it acts for")
    entity_uscc: str | None = ApiField(default=None, max_length=40, description="信用主体 Entity it acts for")


class ClientSecret(BaseModel):
    """A new client's secret; it is shown this once and cannot be read again."""

    client_id: str = ApiField(description="客户端标识")
    client_secret: str = ApiField(description="客户端密钥, 仅显示一次 Shown once")


class TokenResponse(BaseModel):
    """RFC 6749 section 5.1."""

    access_token: str = ApiField(description="访问令牌 Access token (JWT, ES256)")
    token_type: Literal["Bearer"] = ApiField(default="Bearer", description="令牌类型")
    expires_in: int = ApiField(description="有效秒数 Seconds until it expires")
