"""The feed of changes as it is answered, and the digests by which a mirror checks itself."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from pydantic import Field as ApiField
from sqlalchemy import JSON, BigInteger, Column
from sqlmodel import Field, SQLModel

from credit_service.platform.columns import instant_column
from credit_service.records.views import RecordView


class ChangeDigest(SQLModel, table=True):
    """What the public was shown at one instant of a day, as digests; append-only."""

    __tablename__ = "change_digest"

    day: date = Field(primary_key=True)
    taken_at: datetime = Field(sa_column=instant_column())
    through: int = Field(sa_column=Column(BigInteger, nullable=False))
    records: int = Field(sa_column=Column(BigInteger, nullable=False))
    parts: dict[str, str] = Field(sa_column=Column(JSON, nullable=False))
    unsettled: list[Any] = Field(sa_column=Column(JSON, nullable=False))


class Change(BaseModel):
    """An entry of the feed. One about something the caller is not shown has its place and its hash only."""

    sequence: int = ApiField(description="序号 Place in the one order of all changes; without a gap")
    leaf_hash: str = ApiField(description="叶哈希 Leaf hash in the transparency log, hexadecimal")
    subject_type: str | None = ApiField(default=None, description="对象类型 record or entity")
    subject_id: str | None = ApiField(default=None, description="对象标识 Record id or unified social credit code")
    occurred_at: datetime | None = ApiField(default=None, description="发生时间 (UTC); of what is shown")
    action: str | None = ApiField(default=None, description="变更 record.stored, ...; of what is shown")
    version: int | None = ApiField(default=None, description="版本 Of the record as it is shown")
    gone: bool | None = ApiField(default=None, description="不再展示 Drop your copy, if you have one")
    record: RecordView | None = ApiField(default=None, description="记录 As the caller may see it now")


class ChangePage(BaseModel):
    """Changes in their order, from the one after ``after``."""

    changes: list[Change] = ApiField(description="变更")
    next_after: int = ApiField(description="下次的after Pass it as ?after= to go on")
    end: int = ApiField(description="末尾序号 The newest place when this was read; -1: none yet")


class Digest(BaseModel):
    """What the public was shown at ``taken_at``, after every change up to ``through``.

    A mirror that has followed the feed to ``through`` groups the records that are public at ``taken_at``, without those
    in ``unsettled``, by the last two digits of their ids, and compares for each group the SHA-256 over its lines
    ``<id> <version>`` in the order of the ids, each ended by a line feed. Where a part differs, records in it changed
    since, or the mirror is wrong: it reads those again.
    """

    day: date = ApiField(description="日期 Day in Asia/Shanghai")
    taken_at: datetime = ApiField(description="取值时间 (UTC)")
    through: int = ApiField(description="截至序号 Last change that is in it")
    records: int = ApiField(description="公示记录数 Records shown to the public")
    parts: dict[str, str] = ApiField(
        description="分组摘要 SHA-256 by the last two digits of the id; empty groups absent"
    )
    unsettled: list[UUID] = ApiField(description="未定序记录 Records left out, whose change had no place yet")
