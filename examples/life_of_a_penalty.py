"""One penalty from the notice of intent to the automatic stop of its publicity, over HTTP, with the clock moved.

    credit-service serve --demo --movable-clock
    python examples/life_of_a_penalty.py ADMINISTRATOR-TOKEN

with the administrator's token that the service printed. Needs nothing but httpx, and nothing of the service's inside.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import httpx

AGENCY, AGENCY_NAME = "11500103009286543X", "重庆市渝中区市场监督管理局"
RULES = "facts-grounds-and-rights", "publicity-notice", "repair-notice"


class Registry:
    """The service, asked by anybody; every step tells what it saw."""

    def __init__(self, address: str, administrator: str) -> None:
        self.http = httpx.Client(base_url=address, timeout=30, trust_env=False)
        self.administrator = administrator
        self.secrets: dict[str, str] = {}
        self.clock = f"walk-clock-{os.urandom(3).hex()}"

    def call(self, method: str, path: str, client: str | None = None, *, tag: str | None = None, **more: Any) -> Any:
        headers = {"Credit-Purpose": "own-submission"}
        if client is not None:
            headers["Authorization"] = f"Bearer {self.token(client)}"
        if tag is not None:
            headers["If-Match"] = tag
        answer = self.http.request(method, path, headers=headers, **more)
        if answer.status_code >= 400:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def token(self, client: str) -> str:
        """The printed token at first; then one by client credentials, since the printed one ends as the clock moves."""
        if client not in self.secrets:
            return self.administrator
        answer = self.http.post(
            "/oauth/token", data={"grant_type": "client_credentials"}, auth=(client, self.secrets[client])
        )
        return str(answer.raise_for_status().json()["access_token"])

    def add_client(self, client: str, role: str, **more: str) -> None:
        body = {"client_id": client, "name": client, "role": role, **more}
        self.secrets[client] = self.call("POST", "/v1/clients", "administrator", json=body)["client_secret"]

    def at(self, instant: str, what: str) -> None:
        """Move the clock and say what is about to happen."""
        self.call("PUT", "/v1/clock", self.clock, json={"now": instant})
        print(f"{instant}  {what}")

    def is_public(self, uscc: str, record_id: str) -> bool:
        profile = self.call("GET", f"/v1/entities/{uscc}")
        return record_id in [record["id"] for record in profile["records"]]


def main(address: str, administrator: str) -> None:
    registry = Registry(address, administrator)
    entry = registry.call("GET", "/v1/lists/taxpayer-grade-a/entries", params={"limit": 1})["records"][0]
    uscc, name = entry["uscc"], entry["entity_name"]
    number = os.urandom(3).hex()
    registry.add_client(f"walk-agency-{number}", "agency-submitter", agency_uscc=AGENCY)
    registry.add_client(f"walk-company-{number}", "subject", entity_uscc=uscc)
    registry.add_client(registry.clock, "administrator")
    agency, company = f"walk-agency-{number}", f"walk-company-{number}"

    registry.at("2027-01-31T10:00:00+08:00", f"{AGENCY_NAME} intends to penalise {name} ({uscc})")
    intent = {
        "item_code": "administrative-penalty",
        "uscc": uscc,
        "entity_name": name,
        "findings": "当事人销售超过保质期的预包装食品。",
        "grounds": "违反《中华人民共和国食品安全法》第三十四条。",
        "legal_basis": "《中华人民共和国食品安全法》第一百二十四条",
        "intended_content": "罚款一万二千元",
    }
    place = f"/v1/proceedings/{registry.call('POST', '/v1/proceedings', agency, json=intent)['id']}"
    notice = {"document_number": f"渝中市监罚告〔2027〕{number}号", "served_on": "2027-01-31", "means": "direct"}
    notice |= {"evidence": "送达回证1", "statement_until": "2027-02-05"}
    served = registry.call("POST", f"{place}/notice", agency, tag="*", json=notice)
    print(f"    {served['state']}; the company may now: {registry.call('GET', place, company)['actions']}")

    registry.at("2027-02-02T09:00:00+08:00", "the company states its case")
    stated = registry.call("POST", f"{place}/statement", company, tag="*", json={"text": "首次违法, 已改正。"})
    print(f"    {stated['state']}; the agency may now: {registry.call('GET', place, agency)['actions']}")

    registry.at("2027-02-28T16:00:00+08:00", "the decision, without proof that the repair notice was served")
    record = {
        "item_code": "administrative-penalty",
        "uscc": uscc,
        "entity_name": name,
        "document_number": f"渝中市监处罚〔2027〕{number}号",
        "decided_on": "2027-02-28",
        "authority_uscc": AGENCY,
        "authority_name": AGENCY_NAME,
        "legal_basis": intent["legal_basis"],
        "facts": {
            "violation_type": "经营超过保质期的食品",
            "violation_facts": intent["findings"],
            "penalty_categories": ["罚款"],
            "penalty_content": "罚款一万元",
            "fine_amount": "10000.00",
        },
    }
    decision = {"record": record, "response": "采纳, 从轻处罚。"}
    receipt = registry.call("POST", f"{place}/decision", agency, tag="*", json=decision)["record"]
    record_id = receipt["id"]
    print(f"    {receipt['outcome']} {receipt['warnings']}; public: {registry.is_public(uscc, record_id)}")
    told = registry.call("GET", f"/v1/records/{record_id}/repair-notice", agency)
    print("    " + told["text_zh"].replace("\n", "\n    "))

    registry.at("2027-03-01T11:00:00+08:00", "both notices are served: publicity begins")
    proofs = [
        {"kind": kind, "served_on": "2027-03-01", "means": "direct", "evidence": "送达回证2"} for kind in RULES[1:]
    ]
    published = registry.call("POST", f"/v1/records/{record_id}/notices", agency, tag="*", json={"notices": proofs})
    seen = registry.call("GET", f"/v1/records/{record_id}")
    print(f"    {published['state']}, severity {seen['severity']}, until {seen['publicity_until']}")
    print(f"    repair from {seen['repair_eligible_from']}; public: {registry.is_public(uscc, record_id)}")

    for instant, what in (
        ("2028-02-27T23:59:59+08:00", "the last second of the year from the finding"),
        ("2028-02-28T00:00:00+08:00", "the next second: nobody did anything, no job ran"),
    ):
        registry.at(instant, what)
        print(f"    public: {registry.is_public(uscc, record_id)}")
    own = registry.call("GET", f"/v1/records/{record_id}", company)
    print(f"    the company itself still sees it: {own['state']}, visible to the public: {own['visible_to_public']}")
    for version in registry.call("GET", f"/v1/records/{record_id}/versions", company)["versions"]:
        print(f"    version {version['version']}: {version['change']} at {version['recorded_at']}")
    print(f"    commitment in the audit log: {version['commitment'][:16]}...")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(os.environ.get("CREDIT_SERVER", "http://127.0.0.1:8000"), sys.argv[1])
