"""The text a newcomer sees: where the service is, tokens for each role, three lines to paste."""

from __future__ import annotations

import json
from collections.abc import Mapping

from credit_service.accounts.rules import Role
from credit_service.demo.population import DemoAgency


def _submission(uscc: str, name: str, office: DemoAgency) -> dict[str, object]:
    """A penalty with everything the catalogue asks for."""
    return {
        "item_code": "administrative-penalty",
        "uscc": uscc,
        "entity_name": name,
        "document_number": "渝中市监处罚〔2026〕演示1号",
        "decided_on": "2026-05-06",
        "authority_uscc": office.uscc,
        "authority_name": office.name,
        "legal_basis": "《中华人民共和国食品安全法》第一百二十四条",
        "notices": [
            {"kind": kind, "served_on": "2026-05-06", "means": "direct", "evidence": "演示送达回证"}
            for kind in ("facts-grounds-and-rights", "publicity-notice", "repair-notice")
        ],
        "facts": {
            "violation_type": "经营超过保质期的食品",
            "violation_facts": "当事人销售超过保质期的预包装食品。",
            "penalty_categories": ["罚款"],
            "penalty_content": "罚款一万二千元",
            "fine_amount": "12000.00",
        },
    }


def welcome(base_url: str, granted: Mapping[Role, str], uscc: str, name: str, office: DemoAgency) -> str:
    """URLs, tokens and three curl lines that work once the server has started. ``name`` is the name of ``uscc``."""
    body = json.dumps(_submission(uscc, name, office), ensure_ascii=False)
    lines = [
        "",
        f"  接口 API            {base_url}/v1/entities/{uscc}",
        f"  接口描述 OpenAPI    {base_url}/openapi.json",
        f"  指标 Metrics        {base_url}/metrics",
        "",
        "  令牌 Tokens (7 days)",
        *(f"  {role.value:<17} {token}" for role, token in granted.items()),
        "",
        "  社会公众查询 The public looks an entity up:",
        f"curl -s {base_url}/v1/entities/{uscc}",
        "",
        "  监管人员查询 A regulator sees the whole file and states why:",
        f"curl -s -H 'Authorization: Bearer {granted[Role.REGULATOR]}' -H 'Credit-Purpose: supervision' "
        f"{base_url}/v1/entities/{uscc}",
        "",
        "  报送一条记录 An agency submits a record:",
        f"curl -s -H 'Authorization: Bearer {granted[Role.SUBMITTER]}' -H 'Content-Type: application/json' "
        f"-d '{body}' {base_url}/v1/records",
        "",
    ]
    return "\n".join(lines)
