"""The outbox of propagation, a row for each receiver of a changed record."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic import Field as ApiField
from sqlmodel import Field, SQLModel

from credit_service.identity.clean_text import Reference
from credit_service.platform import paging
from credit_service.platform.columns import code_column, instant_column, text_column, uscc_column
from credit_service.platform.contract import Strict
from credit_service.records.propagation.rules import Instruction, PropagationState, Receiver


class Propagation(SQLModel, table=True):
    """One receiver of one change, written in the change's transaction; it is closed by its receiver's word."""

    __tablename__ = "propagation"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    id: UUID = Field(primary_key=True)
    record_id: UUID
    record_version: int
    change: str = Field(sa_column=code_column())
    instruction: str = Field(sa_column=code_column())
    receiver_type: str = Field(sa_column=code_column())
    receiver: str = Field(sa_column=code_column())
    item_code: str = Field(sa_column=code_column())
    document_number: str = Field(sa_column=text_column())
    source_uscc: str = Field(sa_column=uscc_column())
    authority_uscc: str = Field(sa_column=uscc_column())
    caused_at: datetime = Field(sa_column=instant_column())
    due_at: datetime = Field(sa_column=instant_column())
    provisional: bool
    rule_version: str = Field(sa_column=code_column())
    status: str = Field(sa_column=code_column())
    amount: int
    unit: str = Field(sa_column=code_column())
    calendar: int
    escalated_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    superseded_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    acknowledged_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    acknowledged_by: str | None = Field(default=None, sa_column=text_column(nullable=True))
    carried_out_on: date | None = None
    receipt: str | None = Field(default=None, sa_column=text_column(nullable=True))


class Acknowledgement(Strict):
    """A receiver's word that it has done what it was told."""

    receipt: Reference = ApiField(min_length=1, max_length=200, description="回执编号 The receiver's own reference")
    carried_out_on: date = ApiField(description="完成日期 Day on which it was done, today at the latest")


class PropagationRead(BaseModel):
    """One receiver of one change 信息同步."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID = ApiField(description="同步事项标识 Id")
    uscc: str = ApiField(description="统一社会信用代码")
    record_id: UUID = ApiField(description="记录标识")
    record_version: int = ApiField(description="变更后的版本 Version that the change made")
    change: str = ApiField(description="变更 record.repair, record.corrected, ...")
    instruction: Instruction = ApiField(description="要求 stop, correct or restore")
    receiver_type: Receiver = ApiField(description="接收方类型")
    receiver: str = ApiField(description="接收方 A platform's name, an agency's code or the division of registration")
    item_code: str = ApiField(description="目录事项代码")
    document_number: str = ApiField(description="决定文书号")
    source_uscc: str = ApiField(description="数据来源单位")
    authority_uscc: str = ApiField(description="决定机关")
    state: PropagationState = ApiField(description="状态")
    caused_at: datetime = ApiField(description="变更时间 (UTC)")
    due_at: datetime = ApiField(description="时限届满时间 First instant too late (UTC)")
    provisional: bool = ApiField(description="节假日安排尚未公布 Rests on a day nobody has announced yet")
    rule_version: str = ApiField(description="时限规则版本")
    status: str = ApiField(description="时限核实状态 How well the figure is verified; inference: by analogy")
    late: bool = ApiField(description="逾期回执 Acknowledged after its time-limit")
    escalated_at: datetime | None = ApiField(description="督办时间 When the supervisor was told (UTC)")
    acknowledged_at: datetime | None = ApiField(description="回执时间 (UTC)")
    acknowledged_by: str | None = ApiField(description="回执人 Principal")
    carried_out_on: date | None = ApiField(description="完成日期")
    receipt: str | None = ApiField(description="回执编号")


class PropagationPage(paging.Page):
    """Those due first come first."""

    propagations: list[PropagationRead] = ApiField(description="信息同步 Receivers of changes")
