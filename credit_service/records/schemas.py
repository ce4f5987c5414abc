"""JSON Schema (2020-12) of a submission for each catalogue item, generated from the item's fields. Shipped in schemas/.

The schema holds what can be said of one record by itself. What needs the registry (grants, the day, check digits, other
records) is judged when it is submitted.
"""

from __future__ import annotations

from typing import Any

from credit_service.catalogue.formats import FORMATS
from credit_service.catalogue.models import Catalogue, Field, Item
from credit_service.records.contract import RecordSubmission

LONGEST_TEXT = 8000
_AMOUNT = r"^(0|[1-9]\d{0,15})\.\d{2}$"
_RANGES = {"public": "社会公开", "shared": "政务共享", "restricted": "授权查询", "never": "不保存"}


def record_schemas(catalogue: Catalogue) -> dict[str, dict[str, Any]]:
    """The schema of each item's newest version, by code."""
    return {item.code: record_schema(item) for item in catalogue.latest_items()}


def record_schema(item: Item) -> dict[str, Any]:
    """The schema of ``POST /v1/records`` for one item."""
    schema = RecordSubmission.model_json_schema()
    properties = dict(schema["properties"])
    properties["item_code"] = {"const": item.code, "description": f"{item.name_zh} {item.name_en}"}
    if item.subject_prefix is not None:
        properties["uscc"] = properties["uscc"] | {"pattern": f"^{item.subject_prefix}"}
    properties["facts"] = _facts(item)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:credit-service:schema:record:{item.code}",
        "title": f"{item.name_zh} {item.name_en}",
        "description": f"Catalogue edition {item.edition}, in force from {item.effective_from}.",
        **{name: schema[name] for name in ("type", "additionalProperties", "required")},
        "properties": properties,
        "$defs": schema["$defs"],
    }


def _facts(item: Item) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "type": "object",
        "description": "事项字段 The item's own fields",
        "additionalProperties": False,
        "required": [field.name for field in item.fields if field.required],
        "properties": {field.name: _field(field) for field in item.fields},
    }
    conditions = [_condition(item, field) for field in item.fields if field.required_if]
    return facts | ({"allOf": conditions} if conditions else {})


def _field(field: Field) -> dict[str, Any]:
    described = {"title": field.label_zh, "description": f"公开范围 {_RANGES[field.publication]} {field.publication}"}
    if field.format is not None:
        return described | {"type": "string", "pattern": FORMATS[field.format].pattern}
    longest = field.max_length or LONGEST_TEXT
    match field.type:
        case "date":
            return described | {"type": "string", "format": "date"}
        case "money":
            return described | {"type": "string", "pattern": _AMOUNT, "$comment": "元 yuan"}
        case "integer":
            return described | {"type": "integer"}
        case "enum":
            return described | {"enum": list(field.values)}
        case "list":
            part: dict[str, Any] = {"type": "string", "maxLength": longest}
            if field.values:
                # 其他 names its own type: 其他-通报.
                part = {"anyOf": [{"enum": list(field.values)}, part | {"pattern": "^其他-"}]}
            return described | {"type": "array", "maxItems": 20, "items": part}
        case _:
            return described | {"type": "string", "maxLength": longest}


def _condition(item: Item, field: Field) -> dict[str, Any]:
    """The field is required where every named fact holds one of its values."""
    lists = {other.name for other in item.fields if other.type == "list"}
    wanted = {}
    for name, values in (field.required_if or {}).items():
        one = {"enum": list(values)}
        wanted[name] = {"contains": one} if name in lists else one
    return {"if": {"properties": wanted, "required": sorted(wanted)}, "then": {"required": [field.name]}}
