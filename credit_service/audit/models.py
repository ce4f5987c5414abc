"""The audit event: one a change, in the change's transaction, as canonical bytes that are never re-derived."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, LargeBinary, SmallInteger, Text
from sqlalchemy.types import UserDefinedType
from sqlmodel import Field, SQLModel

from credit_service.platform.columns import code_column, instant_column, text_column, uscc_column

SYSTEM_SUBJECT = "0" * 18
"""Leading key of events that belong to no entity (keys, clients)."""


class AuditEvent(SQLModel, table=True):
    """Append-only: the service's role has INSERT and SELECT here, nothing else."""

    __tablename__ = "audit_event"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    id: UUID = Field(primary_key=True)
    occurred_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    action: str = Field(sa_column=code_column())
    subject_type: str = Field(sa_column=code_column())
    subject_id: str = Field(sa_column=code_column())
    actor: str = Field(sa_column=Column(Text, nullable=False))
    canonical: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    attribution: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    salt: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    reason: str | None = Field(default=None, sa_column=text_column(nullable=True))
    reason_salt: bytes | None = Field(default=None, sa_column=Column(LargeBinary))


class TransactionId(UserDefinedType[int]):
    """PostgreSQL's xid8."""

    cache_ok = True

    def get_col_spec(self, **options: object) -> str:
        return "XID8"


# Of the database's making and for the sequencer alone, so that no writer can leave it out or mistake it: not mapped.
AuditEvent.metadata.tables["audit_event"].append_column(Column("txid", TransactionId(), nullable=False))


class LogShard(SQLModel, table=True):
    """A log of its own: one a year. It ends where the next begins; its entries are those in between."""

    __tablename__ = "log_shard"

    number: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    origin: str = Field(sa_column=text_column())
    first_sequence: int = Field(sa_column=Column(BigInteger, nullable=False))
    opened_at: datetime = Field(sa_column=instant_column())


class LogEntry(SQLModel, table=True):
    """The place of an event in the one order of all events; append-only and without a gap."""

    __tablename__ = "log_entry"

    sequence: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    uscc: str = Field(sa_column=uscc_column())
    id: UUID
    leaf_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class LogTile(SQLModel, table=True):
    """256 hashes of a level of a shard's tree, and the hash over them; append-only. A tile not yet full has no row."""

    __tablename__ = "log_tile"

    shard: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    level: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    hashes: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    root: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class LogCheckpoint(SQLModel, table=True):
    """A signed head of a shard's tree; append-only."""

    __tablename__ = "log_checkpoint"

    shard: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    size: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    root: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    note: str = Field(sa_column=text_column())
    created_at: datetime = Field(sa_column=instant_column())


class LogCosignature(SQLModel, table=True):
    """What a witness signed under a checkpoint; append-only."""

    __tablename__ = "log_cosignature"

    shard: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    size: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    witness: str = Field(sa_column=code_column(primary_key=True))
    line: str = Field(sa_column=text_column())
    created_at: datetime = Field(sa_column=instant_column())


class LogKey(SQLModel, table=True):
    """A public key that has signed checkpoints, as a verifier key; append-only."""

    __tablename__ = "log_key"

    vkey: str = Field(sa_column=code_column(primary_key=True))
    created_at: datetime = Field(sa_column=instant_column())


class LogProgress(SQLModel, table=True):
    """From which transaction on the sequencer has to look for events. Only a matter of speed: see ``sequencer``."""

    __tablename__ = "log_progress"

    single: bool = Field(default=True, primary_key=True)
    txid: int = Field(sa_column=Column(TransactionId(), nullable=False))
    cluster: int = Field(sa_column=Column(BigInteger, nullable=False))
