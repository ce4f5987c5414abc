"""The attachment 附件: a file of a case, by the digest of its content."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic import Field as ApiField
from pydantic.functional_validators import BeforeValidator
from sqlalchemy import BigInteger, Column, LargeBinary
from sqlmodel import Field, SQLModel

from credit_service.platform.columns import code_column, instant_column, text_column, uscc_column


class Attachment(SQLModel, table=True):
    """A file given to a case of the entity ``uscc``. Its content lies under ``rules.blob_name(digest, key_id)``."""

    __tablename__ = "attachment"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    id: UUID = Field(primary_key=True)
    subject_type: str = Field(sa_column=code_column())
    subject_id: UUID
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    key_id: str | None = Field(default=None, sa_column=code_column(nullable=True))
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    media_type: str = Field(sa_column=code_column())
    file_name: str = Field(sa_column=text_column())
    uploaded_by: str = Field(sa_column=text_column())
    uploaded_at: datetime = Field(sa_column=instant_column())
    salt: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


Hex = Annotated[str, BeforeValidator(lambda value: value.hex() if isinstance(value, bytes) else value)]


class AttachmentRead(BaseModel):
    """An attachment as its readers see it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID = ApiField(description="附件标识 Attachment id")
    digest: Hex = ApiField(description="内容摘要 SHA-256 of the content, hexadecimal")
    size: int = ApiField(description="字节数 Bytes")
    media_type: str = ApiField(description="文件类型, 按内容识别 Media type, as its content was found to be")
    file_name: str = ApiField(description="文件名 File name")
    uploaded_by: str = ApiField(description="上传人 Principal")
    uploaded_at: datetime = ApiField(description="上传时间 (UTC)")


class AttachmentList(BaseModel):
    """The files of a case, in the order they came."""

    attachments: list[AttachmentRead] = ApiField(description="附件 Attachments")
