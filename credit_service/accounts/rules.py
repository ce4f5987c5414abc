"""Who may do what: one table, action x role. Whatever is not in it is denied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from credit_service.platform.errors import ProblemType

UNAUTHENTICATED = ProblemType(
    "unauthenticated", 401, "未认证或令牌无效", "Not authenticated, or the token is not valid"
)
SECOND_FACTOR_REQUIRED = ProblemType(
    "second-factor-required", 401, "须以多因素认证登录", "Sign in with a second factor to do this"
)
FORBIDDEN = ProblemType("forbidden", 403, "没有权限", "Not permitted")


class Role(StrEnum):
    """What a principal is to the registry."""

    PUBLIC = "public"  # 社会公众: no token
    SUBMITTER = "agency-submitter"  # 数据来源单位
    REGULATOR = "regulator"  # 监管人员
    SUBJECT = "subject"  # 信用主体
    REGISTRAR = "registrar"  # 登记机关
    AUDITOR = "auditor"  # 审计人员
    ADMINISTRATOR = "administrator"  # 系统管理员


class Audience(StrEnum):
    """Whose eyes a rendered profile is for."""

    PUBLIC = "public"
    AGENCY = "agency"
    REGULATOR = "regulator"
    SUBJECT = "subject"


class Permission(StrEnum):
    """An action that a route performs; every route declares exactly one."""

    HEALTH = "health"
    DISCOVER = "discover"  # OpenAPI, JWKS, problem types, token endpoint
    METRICS = "metrics"
    READ_ENTITY = "entity:read"
    WRITE_ENTITY = "entity:write"
    READ_RECORD = "record:read"
    READ_REPORT = "report:read"
    SUBMIT_RECORD = "record:submit"
    CHANGE_RECORD = "record:change"  # corrections, annulment, removal, shielding of what an agency answers for
    ERASE_RECORD = "record:erase"
    MANAGE_PROCEEDING = "proceeding:manage"
    READ_PROCEEDING = "proceeding:read"
    APPLY = "case:apply"  # repair and objection: the subject, its agent, or an agency at a window
    READ_CASE = "case:read"
    HANDLE_CASE = "case:handle"
    READ_PROPAGATION = "propagation:read"
    ACKNOWLEDGE_PROPAGATION = "propagation:acknowledge"
    READ_LIST = "list:read"
    IMPORT = "import:submit"
    READ_CATALOGUE = "catalogue:read"
    READ_CALENDAR = "calendar:read"
    MANAGE_CALENDAR = "calendar:manage"
    READ_STATISTICS = "statistics:read"
    READ_PUNCTUALITY = "punctuality:read"  # an agency its own, supervisors anybody's
    READ_AUDIT = "audit:read"
    READ_CHANGES = "changes:read"
    READ_LOG = "log:read"  # heads and hashes; entries are for those who read the audit trail
    MANAGE_ACCOUNTS = "accounts:manage"
    MOVE_CLOCK = "clock:move"  # a demonstration's only
    READ_INBOX = "inbox:read"
    MANAGE_CONTACTS = "contacts:manage"
    OVERSEE_NOTIFICATIONS = "notifications:oversee"  # an agency what it owed, an administrator everything
    SERVE_NOTICE = "notice:serve"
    READ_ACCESSES = "accesses:read"  # a subject those to its own file, an auditor all
    OVERSEE_ACCESSES = "accesses:oversee"  # what stands out among subordinates
    SCREEN = "screening:run"
    CHECK_MEASURES = "measures:check"
    APPLY_MEASURE = "measures:apply"
    READ_MEASURES = "measures:read"
    WATCH = "watchlist:manage"
    SUPERVISE = "supervision:read"
    MANAGE_RULE_SETS = "rule-set:manage"
    READ_OWN_CLASS = "own-class:read"  # where the authority opens it
    MANAGE_INSPECTIONS = "inspection:manage"
    READ_DRAW = "draw:read"
    READ_OPENINGS = "draw:open"  # which handle of a draw is whom


EVERYONE = frozenset(Role)

PERMISSIONS: dict[Permission, frozenset[Role]] = {
    Permission.HEALTH: EVERYONE,
    Permission.DISCOVER: EVERYONE,
    Permission.METRICS: EVERYONE,
    Permission.READ_ENTITY: EVERYONE,
    Permission.READ_RECORD: EVERYONE,
    Permission.READ_REPORT: EVERYONE,
    Permission.READ_LIST: EVERYONE,
    Permission.READ_CATALOGUE: EVERYONE,
    Permission.READ_CALENDAR: EVERYONE,
    Permission.READ_STATISTICS: EVERYONE,
    Permission.WRITE_ENTITY: frozenset({Role.REGISTRAR}),
    Permission.SUBMIT_RECORD: frozenset({Role.SUBMITTER}),
    Permission.CHANGE_RECORD: frozenset({Role.SUBMITTER}),
    Permission.ERASE_RECORD: frozenset({Role.ADMINISTRATOR}),
    Permission.MANAGE_PROCEEDING: frozenset({Role.SUBMITTER}),
    Permission.READ_PROCEEDING: frozenset({Role.SUBMITTER, Role.SUBJECT}),
    Permission.APPLY: frozenset({Role.SUBJECT, Role.SUBMITTER}),
    Permission.READ_CASE: frozenset({Role.SUBJECT, Role.SUBMITTER, Role.REGULATOR}),
    Permission.HANDLE_CASE: frozenset({Role.SUBMITTER}),
    Permission.READ_PROPAGATION: frozenset({Role.SUBMITTER, Role.REGULATOR, Role.ADMINISTRATOR}),
    Permission.ACKNOWLEDGE_PROPAGATION: frozenset({Role.SUBMITTER, Role.REGULATOR, Role.ADMINISTRATOR}),
    Permission.IMPORT: frozenset({Role.SUBMITTER}),
    Permission.READ_AUDIT: frozenset({Role.AUDITOR}),
    Permission.READ_CHANGES: EVERYONE,
    Permission.READ_LOG: EVERYONE,
    Permission.MANAGE_ACCOUNTS: frozenset({Role.ADMINISTRATOR}),
    Permission.READ_PUNCTUALITY: frozenset({Role.SUBMITTER, Role.REGULATOR, Role.AUDITOR, Role.ADMINISTRATOR}),
    Permission.MANAGE_CALENDAR: frozenset({Role.ADMINISTRATOR}),
    Permission.MOVE_CLOCK: frozenset({Role.ADMINISTRATOR}),
    Permission.READ_INBOX: frozenset({Role.SUBJECT, Role.SUBMITTER, Role.REGULATOR}),
    Permission.MANAGE_CONTACTS: frozenset({Role.SUBJECT, Role.SUBMITTER}),
    Permission.OVERSEE_NOTIFICATIONS: frozenset({Role.SUBMITTER, Role.ADMINISTRATOR}),
    Permission.SERVE_NOTICE: frozenset({Role.SUBMITTER}),
    Permission.READ_ACCESSES: frozenset({Role.SUBJECT, Role.AUDITOR}),
    Permission.OVERSEE_ACCESSES: frozenset({Role.REGULATOR, Role.AUDITOR}),
    Permission.SCREEN: EVERYONE,
    Permission.CHECK_MEASURES: frozenset({Role.SUBMITTER, Role.REGULATOR, Role.SUBJECT}),
    Permission.APPLY_MEASURE: frozenset({Role.SUBMITTER, Role.REGULATOR}),
    Permission.READ_MEASURES: frozenset({Role.SUBMITTER, Role.REGULATOR, Role.SUBJECT}),
    Permission.WATCH: frozenset({Role.SUBMITTER, Role.REGULATOR}),
    Permission.SUPERVISE: frozenset({Role.REGULATOR}),
    Permission.MANAGE_RULE_SETS: frozenset({Role.REGULATOR}),
    Permission.READ_OWN_CLASS: frozenset({Role.SUBJECT}),
    Permission.MANAGE_INSPECTIONS: frozenset({Role.REGULATOR}),
    Permission.READ_DRAW: EVERYONE,
    Permission.READ_OPENINGS: frozenset({Role.REGULATOR, Role.AUDITOR}),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. ``id`` is ``public``, ``client:<id>`` or ``oidc:<issuer>#<subject>``.

    ``second_factor`` says whether a person proved itself by a second one; it is empty for a system of our own, which
    has no factors but a secret, a key or a certificate.
    """

    id: str
    role: Role
    agency_uscc: str | None = None
    entity_uscc: str | None = None
    second_factor: bool | None = None


DECISIONS = frozenset(
    {
        *(Permission.CHANGE_RECORD, Permission.ERASE_RECORD, Permission.HANDLE_CASE, Permission.MANAGE_ACCOUNTS),
        *(Permission.MANAGE_PROCEEDING, Permission.APPLY_MEASURE, Permission.MANAGE_RULE_SETS),
    }
)
"""What a person does with a second factor only."""

PUBLIC = Principal(id="public", role=Role.PUBLIC)


def permitted(principal: Principal, permission: Permission) -> bool:
    """Deny by default: a permission that no role holds is nobody's."""
    return principal.role in PERMISSIONS.get(permission, frozenset())


def audience_of(principal: Principal, uscc: str) -> Audience:
    """The profile a caller is shown of ``uscc``: a subject sees its own whole file and is the public for any other."""
    if principal.role is Role.SUBJECT:
        return Audience.SUBJECT if principal.entity_uscc == uscc else Audience.PUBLIC
    if principal.role in {Role.REGULATOR, Role.REGISTRAR, Role.AUDITOR}:
        return Audience.REGULATOR
    if principal.role is Role.SUBMITTER:
        return Audience.AGENCY
    return Audience.PUBLIC


def may_submit(grants: Iterable[tuple[str, str]], item_code: str, authority_division: str) -> bool:
    """Whether grants of (item, division prefix) cover an item decided by an authority of a division."""
    return any(code == item_code and authority_division.startswith(prefix) for code, prefix in grants)


AGENCY_ROLES = frozenset({Role.SUBMITTER, Role.REGULATOR})
"""Roles that act for an agency; a principal of one without an agency is refused."""


def complete(principal: Principal) -> bool:
    """Whether a principal carries what its role needs: an agency, or the entity a subject speaks for."""
    if principal.role in AGENCY_ROLES:
        return principal.agency_uscc is not None
    return principal.role is not Role.SUBJECT or principal.entity_uscc is not None
