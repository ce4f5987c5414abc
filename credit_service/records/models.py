"""The record 信用信息记录, its versions, and the imports that bring records in."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, Column, LargeBinary
from sqlmodel import Field, SQLModel

from credit_service.platform.columns import code_column, instant_column, text_column, uscc_column


class State(StrEnum):
    """Where a record stands. What is *visible* follows from state and time together, never from state alone.

    A publication that its term has ended is still ``published``: nothing has to happen for it to stop being shown.
    """

    AWAITING_NOTICE = "awaiting-notice"  # 已决定, 待送达告知
    PUBLISHED = "published"  # 公示中(以公示期为准)
    WITHHELD = "withheld"  # 不公示
    REPAIRED = "repaired"  # 已修复
    ANNULLED = "annulled"  # 已撤销
    WITHDRAWN = "withdrawn"  # 报送单位撤回
    REMOVED = "removed"  # 已移出名单
    SHIELDED = "shielded"  # 临时屏蔽
    ARCHIVED = "archived"  # 已归档


class NoticeKind(StrEnum):
    """What the subject must have been told before an adverse record is published."""

    FACTS_GROUNDS_AND_RIGHTS = "facts-grounds-and-rights"  # 拟作出决定告知书 (行政处罚法 art. 44)
    PUBLICITY = "publicity-notice"  # 公示告知 (Order 45 art. 8)
    REPAIR = "repair-notice"  # 信用修复告知书 (国办发〔2025〕22号 九, 两书同达)


class Outcome(StrEnum):
    """What became of a submitted record or row."""

    STORED = "stored"
    UNCHANGED = "unchanged"
    CORRECTED = "corrected"
    REFUSED = "refused"


class Record(SQLModel, table=True):
    """The current version of a record. Facts are split by publication range (社会公开, 政务共享, 授权查询)."""

    __tablename__ = "record"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    id: UUID = Field(primary_key=True)
    item_code: str = Field(sa_column=code_column())
    document_number: str = Field(sa_column=code_column())
    authority_uscc: str = Field(sa_column=uscc_column())
    authority_name: str = Field(sa_column=text_column())
    source_uscc: str = Field(sa_column=uscc_column())
    source_name: str = Field(sa_column=text_column())
    entity_name: str = Field(sa_column=text_column())
    decided_on: date
    valid_until: date | None = None
    legal_basis: str = Field(sa_column=text_column())
    public_facts: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    shared_facts: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    restricted_facts: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    severity: str | None = Field(default=None, sa_column=text_column(nullable=True))
    explanation: list[dict[str, str]] = Field(sa_column=Column(JSON, nullable=False))
    rule_version: str = Field(sa_column=text_column())
    state: str = Field(sa_column=code_column())
    state_from: datetime = Field(sa_column=instant_column())
    state_reason: str | None = Field(default=None, sa_column=text_column(nullable=True))
    state_basis: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    notices: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    consent: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    publicity_grounds: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    publicity_from: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    publicity_until: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    publicity_earliest_stop: date | None = None
    publicity_latest_stop: date | None = None
    repair_eligible_from: date | None = None
    disclosure_until: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    disputed_since: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    version: int
    content_digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    recorded_at: datetime = Field(sa_column=instant_column())
    changed_at: datetime = Field(sa_column=instant_column())


class RecordVersion(SQLModel, table=True):
    """Every version as it was recorded; append-only. It is superseded when the next version was recorded.

    ``content`` is what the agency stated, ``standing`` what followed from it in law, both as canonical JSON; they and
    the salt are empty once lawfully erased. ``commitment`` covers them field by field (``audit.openings``).
    """

    __tablename__ = "record_version"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    record_id: UUID = Field(primary_key=True)
    version: int = Field(primary_key=True)
    recorded_at: datetime = Field(sa_column=instant_column())
    change: str = Field(sa_column=text_column())
    reason: str | None = Field(default=None, sa_column=text_column(nullable=True))
    actor: str = Field(sa_column=text_column())
    request_id: str = Field(sa_column=text_column())
    salt: bytes | None = Field(sa_column=Column(LargeBinary))
    commitment: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    content: str | None = Field(sa_column=text_column(nullable=True))
    standing: str | None = Field(sa_column=text_column(nullable=True))


class EarlierNumber(SQLModel, table=True):
    """A record from before numbers had one form, by the number it would have now. Nothing is added to it any more.

    The record keeps what was stated and logged; its next submission finds it here and corrects it.
    """

    __tablename__ = "record_earlier_number"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    item_code: str = Field(sa_column=code_column(primary_key=True))
    document_number: str = Field(sa_column=code_column(primary_key=True))
    authority_uscc: str = Field(sa_column=uscc_column(primary_key=True))
    record_id: UUID


class CatalogueItem(SQLModel, table=True):
    """Names of the catalogue items, a reference table for rendering; the catalogue itself is schemas/catalogue."""

    __tablename__ = "catalogue_item"

    code: str = Field(sa_column=code_column(primary_key=True))
    name_zh: str = Field(sa_column=text_column())
    name_en: str = Field(sa_column=text_column())
    kind: str = Field(sa_column=text_column())
    polarity: str = Field(sa_column=text_column())
    list_colour: str | None = Field(default=None, sa_column=text_column(nullable=True))
    section: str = Field(sa_column=text_column())
    edition: str = Field(sa_column=text_column())


class Import(SQLModel, table=True):
    """One file of rows: how far it has come and what became of its rows."""

    __tablename__ = "import"

    id: UUID = Field(primary_key=True)
    agency_uscc: str = Field(sa_column=uscc_column())
    actor: str = Field(sa_column=text_column())
    idempotency_key: str = Field(sa_column=code_column())
    template: str = Field(sa_column=text_column())
    atomicity: str = Field(sa_column=text_column())
    file_name: str = Field(sa_column=text_column())
    notice_attestation: str | None = Field(default=None, sa_column=text_column(nullable=True))
    state: str = Field(sa_column=text_column())
    rows_done: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    stored: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    unchanged: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    corrected: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    refused: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    natural_person: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    created_at: datetime = Field(sa_column=instant_column())
    updated_at: datetime = Field(sa_column=instant_column())


class ImportReceipt(SQLModel, table=True):
    """What became of one row 回执. A refused row leaves the names of fields and rules, never its content."""

    __tablename__ = "import_receipt"

    import_id: UUID = Field(primary_key=True)
    row_number: int = Field(sa_column=Column(BigInteger, primary_key=True))
    outcome: str = Field(sa_column=text_column())
    uscc: str | None = Field(default=None, sa_column=uscc_column(nullable=True))
    record_id: UUID | None = None
    errors: list[dict[str, str]] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    warnings: list[str] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
