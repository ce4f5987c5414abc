"""A procurement office checks 500 bidders in one call, over HTTP, and keeps an answer that can be verified years later.

    credit-service serve --demo
    python examples/check_bidders.py ADMINISTRATOR-TOKEN [FOLDER]

with the administrator's token that the service printed. Needs nothing but httpx. The answer and the keys are kept in
FOLDER; ``credit-service verify-screening`` checks them without the service.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

BIDDERS = 500
OFFICE = "11500103009286543X"  # of the demonstration: 重庆市渝中区市场监督管理局
TYPED_WRONG = ["91500103MA000001XX", "9150010", "11010519491231002X"]
"""A check digit that is wrong, a code that broke off, and an identity number of a person."""


def bidders(http: httpx.Client) -> list[str]:
    """Codes as bidders wrote them on their bids: of the demonstration's companies, some typed wrong."""
    found: dict[str, None] = {}
    for each in http.get("/v1/lists").json()["lists"]:
        page: dict[str, Any] = {"next_cursor": None}
        while "next_cursor" in page and len(found) < BIDDERS - len(TYPED_WRONG):
            query = {"limit": 100} | ({"cursor": page["next_cursor"]} if page["next_cursor"] else {})
            page = http.get(f"/v1/lists/{each['code']}/entries", params=query).raise_for_status().json()
            found |= dict.fromkeys(record["uscc"] for record in page["records"])
            if not page.get("next_cursor"):
                break
    codes = [*list(found)[: BIDDERS - len(TYPED_WRONG)], *TYPED_WRONG]
    return codes + [codes[0]] * (BIDDERS - len(codes))


def officer(http: httpx.Client, administrator: str) -> dict[str, str]:
    """Headers of the office's system: a token of its own, what it asks for, and the number of the procurement."""
    client = f"procurement-{os.urandom(3).hex()}"
    body = {"client_id": client, "name": "政府采购评审系统", "role": "regulator", "agency_uscc": OFFICE}
    made = http.post("/v1/clients", json=body, headers={"Authorization": f"Bearer {administrator}"}).raise_for_status()
    token = http.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(client, made.json()["client_secret"])
    ).raise_for_status()
    return {
        "Authorization": f"Bearer {token.json()['access_token']}",
        "Credit-Purpose": "procurement",
        "Credit-Case": "CQYZ-2026-0042",
    }


def main(address: str, administrator: str, folder: Path) -> None:
    http = httpx.Client(base_url=address, timeout=60, trust_env=False)
    headers = officer(http, administrator)
    body = {"codes": bidders(http), "scenario": "procurement"}
    answer = http.post("/v1/screenings", json=body, headers=headers).raise_for_status()
    result = answer.json()["result"]
    print(f"{len(result['subjects'])} bidders at {result['holds_at']}: {result['counts']}")
    required: Counter[str] = Counter()
    for subject in result["subjects"]:
        for measure in subject.get("measures", ()):
            required[f"{measure['outcome']} {measure['measure']}"] += 1
    for measure, count in sorted(required.items()):
        law = result["measures"][measure.split()[1]]
        basis = law["legal_basis"][0]
        print(f"    {count:4} x {measure} ({law['kind']}, {basis['title_zh']}{basis['article'] or ''})")
    barred = [s for s in result["subjects"] if any(m["outcome"] == "required" for m in s.get("measures", ()))]
    for subject in barred[:3]:
        hit = subject["hits"][0]
        print(f"    barred: {subject['code']} {subject['name']}: {hit['document_number']} of {hit['decided_on']}")
    for subject in result["subjects"]:
        if subject["status"] in ("invalid", "refused", "unknown"):
            print(f"    bidder {subject['index']}: {subject['status']} {subject.get('rule', subject.get('flags', ''))}")

    keys = http.get("/.well-known/document-keys.json").raise_for_status()
    for name, content in (("answer.json", answer.content), ("keys.json", keys.content)):
        (folder / name).write_bytes(content)
    print(f"    kept, signed {json.dumps(answer.json()['digest'])[:18]}...; to verify:")
    print(f"    credit-service verify-screening {folder}/answer.json --keys {folder}/keys.json")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    kept = Path(sys.argv[2]) if len(sys.argv) == 3 else Path(tempfile.mkdtemp(prefix="screening-"))
    main(os.environ.get("CREDIT_SERVER", "http://127.0.0.1:8000"), sys.argv[1], kept)
