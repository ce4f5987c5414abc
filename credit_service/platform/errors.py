"""Problem documents (RFC 9457): the one error type of the house, and its registry.

A domain declares its kinds of problem once, as ``ProblemType`` constants beside its rules, and raises ``Problem``.
The HTTP layer turns it into ``application/problem+json`` with a Chinese and an English title.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

PROBLEM_MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A stable kind of error. ``slug`` is part of the API: it becomes ``urn:credit-service:problem:<slug>``."""

    slug: str
    status: int
    title_zh: str
    title_en: str

    registry: ClassVar[dict[str, ProblemType]] = {}

    def __post_init__(self) -> None:
        if self.slug in ProblemType.registry:
            raise ValueError(f"problem type {self.slug} is declared twice")
        ProblemType.registry[self.slug] = self

    @property
    def uri(self) -> str:
        return f"urn:credit-service:problem:{self.slug}"


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


def told(name: str) -> str:
    """A member's name as a pointer may repeat it: one the API could have; any other may be personal data itself."""
    return name if _NAME.fullmatch(name) else "*"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One refused field.

    ``pointer`` is an RFC 6901 JSON pointer into the request body (``/facts/fine_amount``) or ``header:Name`` /
    ``query:name`` / ``path:name``; ``rule`` names the rule or the article that refused it. A refused value is never
    repeated here: it may be somebody's personal data.
    """

    pointer: str
    rule: str
    detail: str = ""


@dataclass(eq=False)
class Problem(Exception):
    """Raised anywhere below the HTTP layer; carries everything a problem document says."""

    type: ProblemType
    detail: str = ""
    errors: Sequence[FieldError] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        where = "; ".join(f"{error.pointer}: {error.rule}" for error in self.errors)
        return f"{self.type.slug}: {self.detail or self.type.title_en}" + (f" [{where}]" if where else "")

    def document(self, *, language: str, instance: str | None = None) -> dict[str, Any]:
        """The RFC 9457 members; ``language`` is ``zh`` or ``en`` and chooses ``title``; both titles are there."""
        body: dict[str, Any] = {
            "type": self.type.uri,
            "title": self.type.title_en if language == "en" else self.type.title_zh,
            "title_zh": self.type.title_zh,
            "title_en": self.type.title_en,
            "status": self.type.status,
        }
        if self.detail:
            body["detail"] = self.detail
        if instance:
            body["instance"] = instance
        if self.errors:
            body["errors"] = [
                {"pointer": e.pointer, "rule": e.rule, **({"detail": e.detail} if e.detail else {})}
                for e in self.errors
            ]
        body.update(self.extra)
        return body


INVALID_REQUEST = ProblemType("invalid-request", 422, "请求内容不符合要求", "The request does not meet the rules")
MALFORMED_REQUEST = ProblemType("malformed-request", 400, "请求格式错误", "The request is malformed")
NOT_FOUND = ProblemType("not-found", 404, "未找到", "Not found")
GONE = ProblemType("gone", 410, "主体已注销并归档", "The entity is deregistered and archived")
METHOD_NOT_ALLOWED = ProblemType("method-not-allowed", 405, "不支持的请求方法", "Method not allowed")
CONFLICT = ProblemType("conflict", 409, "与当前状态冲突", "The request conflicts with the current state")
PRECONDITION_FAILED = ProblemType(
    "precondition-failed", 412, "版本已变化", "The resource has changed since it was read"
)
PRECONDITION_REQUIRED = ProblemType("precondition-required", 428, "需要If-Match", "If-Match is required")
PAYLOAD_TOO_LARGE = ProblemType("payload-too-large", 413, "请求体过大", "The request body is too large")
UNSUPPORTED_MEDIA_TYPE = ProblemType("unsupported-media-type", 415, "不支持的媒体类型", "Unsupported media type")
UNAVAILABLE = ProblemType("unavailable", 503, "服务暂不可用", "The service is not ready")
REQUEST_TIMEOUT = ProblemType("request-timeout", 408, "请求内容未在时限内到达", "The body did not arrive in time")
OVERLOADED = ProblemType("overloaded", 503, "服务繁忙, 请稍后重试", "Too much is under way; try again")
INTERNAL = ProblemType("internal", 500, "服务内部错误", "Internal error")
