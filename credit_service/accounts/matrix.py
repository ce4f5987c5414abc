"""How far a permission reaches: role x action x own or others', as data. ``rules.PERMISSIONS`` says who may at all.

A route that reaches less far, or further, than its permission does for a role is in ``BY_ROUTE``. Whatever lies outside
a caller's scope does not exist for it: 404, as for an id that was never given out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from credit_service.accounts.rules import DECISIONS, PERMISSIONS, Permission, Role


class Scope(StrEnum):
    """What of the objects of an action a role reaches."""

    EVERYTHING = "全部"
    AS_SHOWN = "按受众"
    OWN_ENTITY = "本主体"
    OWN_AGENCY = "本单位"
    GRANTED = "授权事项和区划"
    OWN_AND_BELOW = "本单位及下级"
    BELOW = "下级单位"
    PARTY = "当事方"
    HANDLING = "当事方及办理单位的上级"
    NOTHING = "无"


MEANINGS: Mapping[Scope, str] = {
    Scope.EVERYTHING: "every object",
    Scope.AS_SHOWN: "every object, with the fields and for the time that the caller's audience is shown",
    Scope.OWN_ENTITY: "what is about, or addressed to, the entity that the caller speaks for",
    Scope.OWN_AGENCY: "what the caller's agency submitted, decided, made, owes, receives or takes part in",
    Scope.GRANTED: "items and divisions that the caller's agency was granted; others answer 403 `agency-not-granted`",
    Scope.OWN_AND_BELOW: "what the caller's agency and its subordinates did",
    Scope.BELOW: "what the subordinates of the caller's agency did, never its own",
    Scope.PARTY: "cases to which the caller is applicant, agent, handling agency or source, each for its own steps",
    Scope.HANDLING: "cases to which the caller's agency is a party or the agency above the one that handles them",
    Scope.NOTHING: "no object",
}

ROLES: Mapping[Role, str] = {
    Role.PUBLIC: "社会公众",
    Role.SUBMITTER: "数据来源单位",
    Role.REGULATOR: "监管人员",
    Role.SUBJECT: "信用主体",
    Role.REGISTRAR: "登记机关",
    Role.AUDITOR: "审计人员",
    Role.ADMINISTRATOR: "系统管理员",
}


@dataclass(frozen=True, slots=True)
class Row:
    """An action with its names, and the scope in which each role that may do it does."""

    label_zh: str
    label_en: str
    scopes: Mapping[Role, Scope]


def _everybody(scope: Scope) -> dict[Role, Scope]:
    return dict.fromkeys(Role, scope)


_ALL, _OWN, _ITSELF = Scope.EVERYTHING, Scope.OWN_AGENCY, Scope.OWN_ENTITY
_SUBMITTER, _REGULATOR, _SUBJECT = Role.SUBMITTER, Role.REGULATOR, Role.SUBJECT

MATRIX: Mapping[Permission, Row] = {
    Permission.HEALTH: Row("运行状态", "health of the service", _everybody(_ALL)),
    Permission.DISCOVER: Row("接口说明和令牌", "contract, keys, token endpoint", _everybody(_ALL)),
    Permission.METRICS: Row("运行指标", "metrics", _everybody(_ALL)),
    Permission.READ_ENTITY: Row("主体信用档案查询", "read an entity's file", _everybody(Scope.AS_SHOWN)),
    Permission.WRITE_ENTITY: Row("主体登记信息报送", "report an entity", {Role.REGISTRAR: _ALL}),
    Permission.READ_RECORD: Row("信用信息记录查询", "read records", _everybody(Scope.AS_SHOWN)),
    Permission.READ_REPORT: Row("信用报告", "draw up a credit report", _everybody(Scope.AS_SHOWN)),
    Permission.SUBMIT_RECORD: Row("记录报送", "submit a record", {_SUBMITTER: Scope.GRANTED}),
    Permission.CHANGE_RECORD: Row("记录变更", "correct, annul, withdraw, remove, shield a record", {_SUBMITTER: _OWN}),
    Permission.ERASE_RECORD: Row("记录内容删除", "erase an archived record", {Role.ADMINISTRATOR: _ALL}),
    Permission.MANAGE_PROCEEDING: Row("拟作出决定办理", "conduct a proceeding", {_SUBMITTER: _OWN}),
    Permission.READ_PROCEEDING: Row(
        "拟作出决定查询、陈述申辩", "read a proceeding, state a defence", {_SUBMITTER: _OWN, _SUBJECT: _ITSELF}
    ),
    Permission.APPLY: Row(
        "修复和异议申请", "apply for repair, object", {_SUBJECT: Scope.PARTY, _SUBMITTER: Scope.PARTY}
    ),
    Permission.READ_CASE: Row(
        "修复和异议查询",
        "read a repair or an objection",
        {_SUBJECT: Scope.PARTY, _SUBMITTER: Scope.HANDLING, _REGULATOR: Scope.HANDLING},
    ),
    Permission.HANDLE_CASE: Row("修复和异议办理", "handle a repair or an objection", {_SUBMITTER: Scope.PARTY}),
    Permission.READ_PROPAGATION: Row(
        "信息同步查询", "read propagations", {_SUBMITTER: _OWN, _REGULATOR: _OWN, Role.ADMINISTRATOR: _ALL}
    ),
    Permission.ACKNOWLEDGE_PROPAGATION: Row(
        "信息同步回执", "acknowledge a propagation", {_SUBMITTER: _OWN, _REGULATOR: _OWN, Role.ADMINISTRATOR: _ALL}
    ),
    Permission.READ_LIST: Row("名单查询", "read lists", _everybody(Scope.AS_SHOWN)),
    Permission.IMPORT: Row("批量报送", "import a file", {_SUBMITTER: Scope.GRANTED}),
    Permission.READ_CATALOGUE: Row("目录查询", "read the catalogue", _everybody(_ALL)),
    Permission.READ_CALENDAR: Row("工作日历查询", "read the calendar", _everybody(_ALL)),
    Permission.MANAGE_CALENDAR: Row("工作日历维护", "enter a holiday notice", {Role.ADMINISTRATOR: _ALL}),
    Permission.READ_STATISTICS: Row("统计查询", "read statistics", _everybody(_ALL)),
    Permission.READ_PUNCTUALITY: Row(
        "报送及时率查询",
        "read how punctually agencies submit",
        {_SUBMITTER: _OWN, _REGULATOR: _ALL, Role.AUDITOR: _ALL, Role.ADMINISTRATOR: _ALL},
    ),
    Permission.READ_AUDIT: Row("审计日志查询", "read entries of the audit log", {Role.AUDITOR: _ALL}),
    Permission.READ_CHANGES: Row("变更流查询", "follow changes", _everybody(Scope.AS_SHOWN)),
    Permission.READ_LOG: Row("日志树查询", "read heads and hashes of the log", _everybody(_ALL)),
    Permission.MANAGE_ACCOUNTS: Row("账户管理", "manage agencies and clients", {Role.ADMINISTRATOR: _ALL}),
    Permission.MOVE_CLOCK: Row("演示时钟调整", "move a demonstration's clock", {Role.ADMINISTRATOR: _ALL}),
    Permission.READ_INBOX: Row("收件箱", "read one's inbox", {_SUBJECT: _ITSELF, _SUBMITTER: _OWN, _REGULATOR: _OWN}),
    Permission.MANAGE_CONTACTS: Row("联系方式维护", "keep one's contact points", {_SUBJECT: _ITSELF, _SUBMITTER: _OWN}),
    Permission.OVERSEE_NOTIFICATIONS: Row(
        "通知送达管理", "oversee notifications", {_SUBMITTER: _OWN, Role.ADMINISTRATOR: _ALL}
    ),
    Permission.SERVE_NOTICE: Row("纸质送达登记", "record service on paper", {_SUBMITTER: _OWN}),
    Permission.READ_ACCESSES: Row("查询日志", "read who looked at a file", {_SUBJECT: _ITSELF, Role.AUDITOR: _ALL}),
    Permission.OVERSEE_ACCESSES: Row(
        "异常查询监督", "oversee what agencies read", {_REGULATOR: Scope.OWN_AND_BELOW, Role.AUDITOR: _ALL}
    ),
    Permission.SCREEN: Row("批量核查", "screen a list of entities", _everybody(Scope.AS_SHOWN)),
    Permission.CHECK_MEASURES: Row(
        "奖惩措施核查", "ask which measures apply", {_SUBMITTER: _ALL, _REGULATOR: _ALL, _SUBJECT: _ITSELF}
    ),
    Permission.APPLY_MEASURE: Row("奖惩措施实施", "take a measure, report on it", {_SUBMITTER: _OWN, _REGULATOR: _OWN}),
    Permission.READ_MEASURES: Row(
        "奖惩措施查询", "read measures taken", {_SUBMITTER: _OWN, _REGULATOR: _ALL, _SUBJECT: _ITSELF}
    ),
    Permission.WATCH: Row("关注名单", "keep watchlists", {_SUBMITTER: _OWN, _REGULATOR: _OWN}),
    Permission.SUPERVISE: Row("分级分类查询", "read risk classes", {_REGULATOR: _ALL}),
    Permission.MANAGE_RULE_SETS: Row("分类规则管理", "manage rule sets", {_REGULATOR: _ALL}),
    Permission.READ_OWN_CLASS: Row("本单位分类结果", "read one's own class", {_SUBJECT: _ITSELF}),
    Permission.MANAGE_INSPECTIONS: Row("双随机抽查管理", "plan, draw and record inspections", {_REGULATOR: _OWN}),
    Permission.READ_DRAW: Row("抽取公示查询", "read published draws", _everybody(_ALL)),
    Permission.READ_OPENINGS: Row(
        "抽取名单对应关系查询", "read which handle of a draw is whom", {_REGULATOR: _OWN, Role.AUDITOR: _ALL}
    ),
}

BY_ROUTE: Mapping[str, Mapping[Role, Scope]] = {
    "GET /v1/records/{record_id}/versions": {
        Role.PUBLIC: Scope.NOTHING,
        _SUBMITTER: _OWN,
        _SUBJECT: _ITSELF,
        Role.ADMINISTRATOR: Scope.NOTHING,
    },
    "GET /v1/records/{record_id}/repair-eligibility": dict.fromkeys((_SUBJECT, _SUBMITTER, _REGULATOR), Scope.AS_SHOWN),
    "POST /v1/proceedings": {_SUBMITTER: Scope.GRANTED},
    "GET /v1/imports/{import_id}": {_SUBMITTER: _OWN},
    "GET /v1/imports/{import_id}/receipts": {_SUBMITTER: _OWN},
    "GET /v1/measures/statistics": {_REGULATOR: _ALL},
    "POST /v1/accesses/anomalies/{agency_uscc}/{day}/{kind}/review": {_REGULATOR: Scope.BELOW},
    "POST /v1/supervision/rule-sets/{rule_set_id}/activation": {_REGULATOR: _OWN},
    "POST /v1/supervision/rule-sets/{rule_set_id}/retirement-proposal": {_REGULATOR: _OWN},
    "POST /v1/supervision/rule-sets/{rule_set_id}/retirement": {_REGULATOR: _OWN},
    "GET /v1/supervision/settings": {_REGULATOR: _OWN},
    "PUT /v1/supervision/settings": {_REGULATOR: _OWN},
}
"""Where a route differs from its permission, for the roles for which it does."""


def scope_of(permission: Permission, role: Role, route: str) -> Scope:
    """How far a role that holds a permission reaches through a route, written ``METHOD /path/{template}``."""
    return BY_ROUTE.get(route, {}).get(role) or MATRIX[permission].scopes[role]


_HEAD = """# 权限矩阵 Permissions

Made from `credit_service/accounts/rules.py` and `matrix.py` by `credit-service permissions > docs/permissions.md`; a
test holds it current, others call every route as every role, and every route that names an object and reaches less than
`全部` or `按受众` for the caller's own object, for another's and for one that does not exist.

An empty cell is denied: 401 for the public, 403 for others. What lies outside a cell's scope does not exist for the
caller: 404, as for an id that was never given out. A person does what is marked † with a second factor only.
"""


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def page() -> str:
    """The whole matrix as Markdown."""
    words = [[scope.value, MEANINGS[scope]] for scope in Scope]
    roles = [f"{label} `{role.value}`" for role, label in ROLES.items()]
    rows = []
    for permission in Permission:
        row = MATRIX[permission]
        name = f"{row.label_zh} {row.label_en}{' †' if permission in DECISIONS else ''}<br>`{permission.value}`"
        cells = [row.scopes[role].value if role in PERMISSIONS[permission] else "" for role in Role]
        rows.append([name, *cells])
    routes = [
        [f"`{route}`", "; ".join(f"{ROLES[role]}: {scope.value}" for role, scope in scopes.items())]
        for route, scopes in BY_ROUTE.items()
    ]
    sections = (
        _HEAD,
        "## 范围 Scopes\n\n" + _table(["范围", "meaning"], words) + "\n",
        "## 矩阵 Matrix\n\n" + _table(["操作 action", *roles], rows) + "\n",
        "## 例外 Routes that differ from their permission\n\n" + _table(["route", "scope"], routes) + "\n",
    )
    return "\n".join(sections)
