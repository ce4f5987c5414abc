"""The columns of a list's files, with the catalogue's Chinese headers."""

from __future__ import annotations

from credit_service.accounts.rules import Audience
from credit_service.catalogue.models import Item
from credit_service.platform.sheets import Column

_CORE = (
    ("entity_name", "主体名称"),
    ("uscc", "统一社会信用代码"),
    ("document_number", "决定文书号"),
    ("legal_basis", "依据"),
    ("authority_name", "决定机关"),
    ("authority_uscc", "决定机关统一社会信用代码"),
    ("entered_on", "列入日期"),
    ("valid_until", "有效期至"),
    ("publicity_until", "公示截止"),
    ("removed_on", "移出日期"),
    ("removal_reason", "移出理由"),
    ("source_name", "数据来源单位"),
    ("disputed_since", "异议处理中"),
)
_RANGES = {
    Audience.PUBLIC: {"public": "facts"},
    Audience.AGENCY: {"public": "facts", "shared": "shared_facts"},
    Audience.REGULATOR: {"public": "facts", "shared": "shared_facts", "restricted": "restricted_facts"},
}


def columns_of(item: Item, audience: Audience) -> list[Column]:
    """The columns of a list for an audience: the core, then the item's own fields that it may see."""
    ranges = _RANGES[audience]
    said = {header for _, header in _CORE}  # the item's own word for the same thing would be a second column of it
    own = [
        Column(field.label_zh, ranges[field.publication], field.name)
        for field in item.fields
        if field.publication in ranges and field.label_zh not in said
    ]
    return [*(Column(header, member) for member, header in _CORE), *own]
