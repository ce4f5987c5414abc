"""The OpenAPI 3.1 document: what the framework finds in the routes, and what all of them have in common."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from credit_service.accounts.purpose import CASE_HEADER, LONGEST_CASE, SEALED_HEADER, WITHOUT_CASE

DESCRIPTION = """公共信用信息登记服务 Open public-credit registry for legal entities.

Errors are RFC 9457 problem documents. Writes take `Idempotency-Key`, reads give `ETag`, lists page by opaque cursor.
Money is yuan, dates are days in Asia/Shanghai, instants are UTC.
"""

PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "description": "稳定的问题类型 urn:credit-service:problem:<slug>"},
        "title": {"type": "string", "description": "标题(按Accept-Language)"},
        "title_zh": {"type": "string"},
        "title_en": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "rule"],
                "properties": {
                    "pointer": {"type": "string", "description": "字段 JSON pointer, header:, query: or path:"},
                    "rule": {"type": "string", "description": "规则 Rule or article"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
PROBLEM_RESPONSE = {
    "description": "Problem document (RFC 9457) 问题文档",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
OAUTH_ERROR_RESPONSE = {
    "description": "OAuth error (RFC 6749 section 5.2), or a problem document when the request never got that far",
    "content": {
        "application/json": {
            "schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
        },
        **PROBLEM_RESPONSE["content"],  # type: ignore[dict-item]
    },
}

PURPOSE_PARAMETERS = [
    {
        "name": CASE_HEADER.lower(),
        "in": "header",
        "required": False,
        "schema": {"type": "string", "maxLength": LONGEST_CASE},
        "description": "案号或者项目编号 Number of the matter (percent-encoded UTF-8); required with every purpose but "
        + ", ".join(sorted(WITHOUT_CASE)),
    },
    {
        "name": SEALED_HEADER.lower(),
        "in": "header",
        "required": False,
        "schema": {"type": "string", "format": "date"},
        "description": "暂缓披露至 The subject sees an inspection's access from this day only",
    },
]


class CreditService(FastAPI):
    """FastAPI with the problem document in its description of errors."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            document["components"]["schemas"]["Problem"] = PROBLEM_SCHEMA
            document["components"]["schemas"].pop("HTTPValidationError", None)
            document["components"]["schemas"].pop("ValidationError", None)
            flows = {"clientCredentials": {"tokenUrl": "/oauth/token", "scopes": {}}}
            document["components"]["securitySchemes"] = {"client": {"type": "oauth2", "flows": flows}}
            for path, operations_of in document["paths"].items():
                for operation in operations_of.values():
                    if any(each["name"] == "credit-purpose" for each in operation.get("parameters", ())):
                        operation["parameters"] += PURPOSE_PARAMETERS
                    operation["responses"].pop("422", None)
                    oauth = path.startswith("/oauth/")
                    operation["responses"]["default"] = OAUTH_ERROR_RESPONSE if oauth else PROBLEM_RESPONSE
                    if path.startswith("/v1/"):
                        operation["security"] = [{}, {"client": []}]
        return self.openapi_schema or document
