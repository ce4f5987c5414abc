"""Agencies 数据来源单位, what they may submit, and the clients that act for them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic import Field as ApiField
from sqlalchemy import JSON, Column, ForeignKey, String
from sqlmodel import Field, SQLModel

from credit_service.accounts.rules import Role
from credit_service.identity.clean_text import CleanText, Reference
from credit_service.platform.columns import code_column, instant_column, text_column, uscc_column
from credit_service.platform.contract import Strict

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
    """A system or person of our own, which proves itself by a secret, a signature or a certificate.

    The secret is stored as an argon2 hash. ``jwks`` are public keys for ``private_key_jwt``;
    ``certificate_thumbprint`` is the ``x5t#S256`` of its certificate. A client with either has no secret.
    """

    __tablename__ = "client"

    client_id: str = Field(sa_column=code_column(primary_key=True))
    name: str = Field(sa_column=text_column())
    role: str = Field(sa_column=text_column())
    agency_uscc: str | None = Field(
        default=None, sa_column=Column(String(18, collation="C"), ForeignKey("agency.uscc"), nullable=True)
    )
    entity_uscc: str | None = Field(default=None, sa_column=uscc_column(nullable=True))
    secret_hash: str | None = Field(default=None, sa_column=text_column(nullable=True))
    jwks: list[dict[str, Any]] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    certificate_thumbprint: str | None = Field(default=None, sa_column=code_column(nullable=True))
    created_at: datetime = Field(sa_column=instant_column())
    disabled_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))


class UsedAssertion(SQLModel, table=True):
    """A client's assertion that was accepted, so that it is never accepted again."""

    __tablename__ = "used_assertion"

    client_id: str = Field(sa_column=code_column(primary_key=True))
    assertion_id: str = Field(sa_column=code_column(primary_key=True))
    kept_until: datetime = Field(sa_column=instant_column())


class RevokedToken(SQLModel, table=True):
    """A token of ours that was revoked before it expired (RFC 7009)."""

    __tablename__ = "revoked_token"

    token_id: str = Field(sa_column=code_column(primary_key=True))
    expires_at: datetime = Field(sa_column=instant_column())
    revoked_at: datetime = Field(sa_column=instant_column())


class PublishedKey(SQLModel, table=True):
    """The public half of a key that signs or signed documents. It stays when the key itself is gone."""

    __tablename__ = "published_key"

    kid: str = Field(sa_column=code_column(primary_key=True))
    jwk: dict[str, str] = Field(sa_column=Column(JSON, nullable=False))
    made_at: datetime = Field(sa_column=instant_column())
    replaced_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    revoked_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))


class BlockedPrincipal(SQLModel, table=True):
    """A person or client that is shut out, whatever its provider says; within half a minute on every process."""

    __tablename__ = "blocked_principal"

    principal: str = Field(sa_column=code_column(primary_key=True))
    reason: str = Field(sa_column=text_column())
    blocked_by: str = Field(sa_column=text_column())
    blocked_at: datetime = Field(sa_column=instant_column())


class PrincipalBlock(Strict):
    """Whom to shut out or let in again, and why. POSTed, so that no identifier of a person stands in a URL."""

    principal: str = ApiField(max_length=500, pattern=r"^(client:|oidc:).+", description="客户端或者人员标识")
    blocked: bool = ApiField(description="是否禁止 True to shut out, false to let in again")
    reason: CleanText = ApiField(min_length=4, max_length=500, description="理由 Reason")


class Grant(BaseModel):
    """A catalogue item and the divisions (of the deciding authority) it may be submitted for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    item_code: str = ApiField(max_length=64, description="目录事项代码 Catalogue item")
    division_prefix: str = ApiField(pattern=r"^\d{2}(\d{2}(\d{2})?)?$", description="行政区划前缀 Division prefix")


class AgencyWrite(Strict):
    """An agency as an administrator enters it."""

    name: Reference = ApiField(min_length=2, max_length=200, description="单位名称 Name")
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


class ClientCreate(Strict):
    """A client to be made."""

    client_id: str = ApiField(pattern=r"^[a-z0-9][a-z0-9._-]{2,63}$", description="客户端标识 Client id")
    name: Reference = ApiField(min_length=2, max_length=200, description="名称 Name")
    role: Role = ApiField(description="角色 Role")
    agency_uscc: str | None = ApiField(default=None, max_length=40, description="所属单位 Agency it acts for")
    entity_uscc: str | None = ApiField(default=None, max_length=40, description="信用主体 Entity it acts for")
    jwks: list[dict[str, Any]] | None = ApiField(
        default=None,
        min_length=1,
        max_length=4,
        description="公钥 Public keys (RFC 7517), instead of a secret",
    )
    certificate_thumbprint: str | None = ApiField(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{43}$",
        description="证书指纹 x5t#S256 of its certificate, instead of a secret",
    )


class ClientSecret(BaseModel):
    """A new client's secret; it is shown this once and cannot be read again."""

    client_id: str = ApiField(description="客户端标识")
    client_secret: str | None = ApiField(
        description="客户端密钥, 仅显示一次 Shown once; empty for a client with keys or a certificate"
    )


class Revocation(BaseModel):
    """Since when nothing signed by a key is to be believed."""

    revoked_at: int = ApiField(
        description="吊销时间 Unix seconds; documents of this instant or later are not the registry's"
    )


class DocumentKey(BaseModel):
    """A public key (RFC 7517) and when it signed, with the members of OpenID Federation's historical keys."""

    kty: str = ApiField(description="密钥类型 EC")
    crv: str = ApiField(description="曲线 P-256")
    x: str = ApiField(description="公钥x坐标")
    y: str = ApiField(description="公钥y坐标")
    kid: str = ApiField(description="密钥标识 RFC 7638 thumbprint")
    alg: str = ApiField(description="算法 ES256")
    use: str = ApiField(description="用途 sig")
    iat: int = ApiField(description="启用时间 Unix seconds from which it signs")
    exp: int | None = ApiField(default=None, description="停用时间 Unix seconds until when; absent while it signs")
    revoked: Revocation | None = ApiField(default=None, description="吊销 Absent for a key that was not revoked")


class DocumentKeySet(BaseModel):
    """Every key that ever signed a document of this registry."""

    keys: list[DocumentKey] = ApiField(description="公钥 Keys, the oldest first")


class TokenResponse(BaseModel):
    """RFC 6749 section 5.1."""

    access_token: str = ApiField(description="访问令牌 Access token (JWT, ES256)")
    token_type: Literal["Bearer"] = ApiField(default="Bearer", description="令牌类型")
    expires_in: int = ApiField(description="有效秒数 Seconds until it expires")
