"""Entries of lists, for tests of what follows from them."""

from __future__ import annotations

from typing import Any

from tests.api import CONSENT, Api

_PENALTY_FACTS = (
    "violation_type",
    "violation_facts",
    "penalty_categories",
    "penalty_content",
    "fine_amount",
    "legal_representative",
)


async def listing(api: Api, code: str = "serious-dishonesty-government-procurement", **changes: Any) -> str:
    """A published entry of a serious-dishonesty list; gives the record's id."""
    facts: dict[str, Any] = dict.fromkeys(_PENALTY_FACTS) | {"reason": "提供虚假材料谋取中标"}
    answer = await api.submit(
        **{"item_code": code, "document_number": "列入1号", "consent": CONSENT, "facts": facts} | changes
    )
    assert answer.status_code in (200, 201), answer.text
    assert answer.json()["warnings"] == [], answer.text
    return str(answer.json()["id"])
