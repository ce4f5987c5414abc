"""Watchlists: what an agency watches, what changed about it, and what it has already looked at."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel
from pydantic import Field as ApiField
from sqlalchemy import BigInteger, Column
from sqlmodel import Field, SQLModel

from credit_service.platform.columns import instant_column, text_column, uscc_column
from credit_service.platform.contract import Strict
from credit_service.platform.paging import Page
from credit_service.supervision.screening.models import Hit

MOST_CODES = 10_000
"""Codes of one request."""


class Watchlist(SQLModel, table=True):
    """A watchlist 关注名单 of an agency. Its subjects are not told that they are watched."""

    __tablename__ = "watchlist"

    id: UUID = Field(primary_key=True)
    agency_uscc: str = Field(sa_column=uscc_column())
    name: str = Field(sa_column=text_column())
    created_by: str = Field(sa_column=text_column())
    created_at: datetime = Field(sa_column=instant_column())
    closed_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))


class WatchlistEntry(SQLModel, table=True):
    """An entity on a watchlist: told of what the log holds from ``since_sequence`` on."""

    __tablename__ = "watchlist_entry"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    watchlist_id: UUID = Field(primary_key=True)
    since_sequence: int = Field(sa_column=Column(BigInteger, nullable=False))
    added_at: datetime = Field(sa_column=instant_column())


class WatchlistReview(SQLModel, table=True):
    """已核阅: a record was looked at in a version, and is not shown again until it changes."""

    __tablename__ = "watchlist_review"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    watchlist_id: UUID = Field(primary_key=True)
    record_id: UUID = Field(primary_key=True)
    version: int
    note: str | None = Field(default=None, sa_column=text_column(nullable=True))
    reviewed_by: str = Field(sa_column=text_column())
    reviewed_at: datetime = Field(sa_column=instant_column())


class WatchlistWrite(Strict):
    """A new watchlist."""

    name: str = ApiField(min_length=2, max_length=100, description="名称 Name")


class WatchlistView(WatchlistWrite):
    """A watchlist as it stands."""

    id: UUID = ApiField(description="关注名单标识")
    created_at: datetime = ApiField(description="建立时间 (UTC)")
    entities: int = ApiField(description="主体数 Entities watched")


class WatchlistIndex(BaseModel):
    """The watchlists of the caller's agency that are in use."""

    watchlists: list[WatchlistView] = ApiField(description="关注名单")


Codes = Annotated[list[Annotated[str, ApiField(max_length=40)]], ApiField(max_length=MOST_CODES)]


class EntitiesChange(Strict):
    """Entities to watch and to watch no longer."""

    add: Codes = ApiField(default_factory=list, description="增加 Codes to add")
    remove: Codes = ApiField(default_factory=list, description="移除 Codes to remove")


class EntitiesReceipt(BaseModel):
    """What became of a change."""

    added: int = ApiField(description="已增加")
    removed: int = ApiField(description="已移除")
    unknown: list[int] = ApiField(
        description="未登记或无效代码在add中的位置 Places in add of codes that are not registered"
    )
    entities: int = ApiField(description="主体数 Entities watched now")


class WatchedEntity(BaseModel):
    """An entity on the list."""

    uscc: str = ApiField(description="统一社会信用代码")
    name: str = ApiField(description="名称")
    added_at: datetime = ApiField(description="加入时间 (UTC)")


class WatchedPage(Page):
    """A page of entities, by code."""

    entities: list[WatchedEntity] = ApiField(description="主体")


class RecordNow(BaseModel):
    """Where the record of a change stands now. The days on which it ends by itself are told beforehand."""

    item_code: str = ApiField(description="目录事项")
    state: str = ApiField(description="状态")
    version: int = ApiField(description="版本")
    publicity_until: datetime | None = ApiField(description="公示截止 (UTC); no further change is told when it comes")
    disputed_since: datetime | None = ApiField(description="异议处理中, 自 (UTC)")


class ChangeView(BaseModel):
    """One change, in the order of the audit log."""

    sequence: int = ApiField(description="日志序号 Place in the audit log")
    uscc: str = ApiField(description="统一社会信用代码")
    action: str = ApiField(description="变更 What happened, e.g. record.stored, record.repair, entity.updated")
    subject_type: str = ApiField(description="对象类型 entity, record")
    subject_id: str = ApiField(description="对象标识")
    occurred_at: datetime = ApiField(description="时间 (UTC)")
    record: RecordNow | None = ApiField(description="记录现状; empty for an entity")


class ChangeFeed(BaseModel):
    """Changes since a place in the log; ask again with ``next_after``. None is ever missed or given twice."""

    changes: list[ChangeView] = ApiField(description="变更 Changes")
    next_after: str = ApiField(description="下次请求的after Pass it as ?after=")
    more: bool = ApiField(description="尚有更多 Whether more wait already")


class WatchedHit(Hit):
    """A hit, with what the agency has noted of it."""

    reviewed: bool = ApiField(description="已核阅且未变化 Looked at in this version")
    changed_since_review: bool = ApiField(description="核阅后有变化 Looked at before it changed")
    note: str | None = ApiField(description="核阅意见 Note of the review")


class WatchedHits(BaseModel):
    """The hits of one entity."""

    uscc: str = ApiField(description="统一社会信用代码")
    name: str = ApiField(description="名称")
    flags: list[str] = ApiField(description="标识")
    hits: list[WatchedHit] = ApiField(description="命中")


class HitsPage(Page):
    """A page of watched entities that have hits to look at."""

    holds_at: datetime = ApiField(description="时点 (UTC)")
    entities: list[WatchedHits] = ApiField(description="主体")


class ReviewWrite(Strict):
    """That a record was looked at; it is not shown again until it changes."""

    uscc: str = ApiField(max_length=40, description="统一社会信用代码")
    record_id: UUID = ApiField(description="记录标识")
    version: int = ApiField(ge=1, description="所核阅的版本 Version that was looked at")
    note: str | None = ApiField(default=None, max_length=500, description="核阅意见")


class ReviewView(ReviewWrite):
    """A review as it stands."""

    reviewed_at: datetime = ApiField(description="核阅时间 (UTC)")
