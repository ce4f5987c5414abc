"""Five cases over HTTP, with the clock moved: three of repair, two of objection, each with its timeline and limits.

    credit-service serve --demo --movable-clock
    python examples/repair_and_objection.py ADMINISTRATOR-TOKEN

with the administrator's token that the service printed. Needs nothing but httpx, and nothing of the service's inside.
At the end the clock is put back to where it was.
"""

from __future__ import annotations

import os
import random
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

AGENCY, AGENCY_NAME = "11500103009286543X", "重庆市渝中区市场监督管理局"
SHANGHAI = timedelta(hours=8)
CLERK, OFFICER, SECOND_OFFICER = "clerk", "officer", "second-officer"
COMMITMENT = {
    "materials_are_true": True,
    "accepts_liability": True,
    "content": "本单位承诺所提交材料真实有效, 今后依法诚信经营。",
    "breach_liability": "如违反承诺, 愿意依法承担相应责任。",
}


class Registry:
    """The service, asked by anybody; every step tells what it saw."""

    def __init__(self, address: str, administrator: str) -> None:
        self.http = httpx.Client(base_url=address, timeout=30, trust_env=False)
        self.administrator = administrator
        self.secrets: dict[str, str] = {}
        self.mark = os.urandom(3).hex()

    def ask(self, method: str, path: str, client: str | None = None, **more: Any) -> httpx.Response:
        headers = {"Credit-Purpose": "supervision", "If-Match": "*"} if client is not None else {}
        if client is not None:
            headers["Authorization"] = f"Bearer {self.token(client)}"
        return self.http.request(method, path, headers=headers, **more)

    def call(self, method: str, path: str, client: str | None = None, **more: Any) -> Any:
        answer = self.ask(method, path, client, **more)
        if answer.status_code >= 400:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def token(self, client: str) -> str:
        """The printed token at first; then one by client credentials, since the printed one is of another time."""
        if client not in self.secrets:
            return self.administrator
        answer = self.http.post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(f"{client}-{self.mark}", self.secrets[client]),
        )
        return str(answer.raise_for_status().json()["access_token"])

    def add_client(self, client: str, role: str, **more: str) -> None:
        body = {"client_id": f"{client}-{self.mark}", "name": client, "role": role, **more}
        self.secrets[client] = self.call("POST", "/v1/clients", "printed", json=body)["client_secret"]

    def at(self, local: str, what: str) -> None:
        """Move the clock to a moment in Shanghai and say what is about to happen."""
        self.call("PUT", "/v1/clock", "clock", json={"now": f"{local}+08:00"})
        print(f"{local.replace('T', ' ')}  {what}")

    def act(self, path: str, action: str, client: str, body: dict[str, Any] | None = None) -> Any:
        return self.call("POST", f"{path}/{action}", client, json=body or {})

    def penalty(self, company: str, name: str, number: int, decided_on: str) -> str:
        """A penalty that the clerk enters, with proof of every notice."""
        record = {
            "item_code": "administrative-penalty",
            "uscc": company,
            "entity_name": name,
            "document_number": f"渝中市监处罚〔2026〕{self.mark}-{number}号",
            "decided_on": decided_on,
            "authority_uscc": AGENCY,
            "authority_name": AGENCY_NAME,
            "legal_basis": "《中华人民共和国食品安全法》第一百二十四条",
            "notices": [
                {"kind": kind, "served_on": decided_on, "means": "direct", "evidence": "送达回证"}
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
        return str(self.call("POST", "/v1/records", CLERK, json=record)["id"])

    def apply(self, client: str, record_id: str, performed_on: str, signed_on: str) -> str:
        proof = {"kind": "proof-of-performance", "title": "罚款缴纳凭证", "dated_on": performed_on}
        commitment = {**COMMITMENT, "signed_on": signed_on}
        body = {"record_ids": [record_id], "materials": [proof], "commitment": commitment}
        return f"/v1/repairs/{self.call('POST', '/v1/repairs', client, json=body)['cases'][0]['id']}"

    def is_public(self, record_id: str) -> bool:
        return self.ask("GET", f"/v1/records/{record_id}").status_code == 200

    def tell(self, path: str, client: str) -> None:
        """The timeline of a case with its time-limits."""
        timeline = self.call("GET", f"{path}/timeline", client)
        for entry in timeline["entries"]:
            reason = f": {entry['reason']}" if entry["reason"] else ""
            print(f"    {local(entry['at'])}  {entry['label_zh']} {entry['action']}{reason}")
        for limit in timeline["deadlines"]:
            last = local(limit["due_at"], -timedelta(seconds=1))[:10] if limit["due_at"] else "paused"
            how = limit["closed_as"] or ("overdue" if limit["overdue"] else "open")
            counted = f"{limit['amount']} {limit['unit']} after {local(limit['started_at'])[:10]}"
            print(f"    {limit['stage']}: {counted}, last day {last}, {how}{' late' * limit['overdue']}")


def local(instant: str, shift: timedelta = timedelta()) -> str:
    return f"{datetime.fromisoformat(instant) + SHANGHAI + shift:%Y-%m-%d %H:%M}"


def granted(registry: Registry, company: str, name: str) -> None:
    print(f"\nA repair granted on the first eligible day: {name}")
    registry.at("2026-06-22T10:00:00", "the penalty is entered and public")
    record_id = registry.penalty(company, name, 1, "2026-06-22")
    told = registry.call("GET", f"/v1/records/{record_id}/repair-eligibility", "first")
    print(f"    eligible from {told['eligible_from']}; before {told['handler_name']}")
    for condition in told["conditions"]:
        print(f"    {condition['label_zh']}: {condition['met']} {condition['from_on'] or ''}")
    registry.at("2026-09-22T00:00:00", "the first second of that day: the company applies")
    path = registry.apply("first", record_id, "2026-07-01", "2026-09-22")
    registry.at("2026-09-22T09:30:00", "the officer accepts, examines, asks for the receipt's original")
    registry.act(path, "accept", OFFICER)
    registry.act(path, "review", OFFICER)
    missing = {"reason": "请补交缴款凭证原件", "supplement_by": "2026-09-29"}
    registry.act(path, "request-supplement", OFFICER, missing)
    registry.at("2026-09-22T15:00:00", "the company hands it in the same day, and the repair is granted")
    registry.act(path, "supplement", "first", {"reason": "原件见附件"})
    registry.act(path, "grant", OFFICER, {"document_number": f"渝中市监修〔2026〕{registry.mark}号"})
    print(f"    public: {registry.is_public(record_id)}")
    registry.tell(path, "first")


def refused(registry: Registry, company: str, name: str) -> None:
    print(f"\nA repair refused, with reasons and the day to come back: {name}")
    registry.at("2026-08-03T10:00:00", "the penalty is entered")
    record_id = registry.penalty(company, name, 2, "2026-08-03")
    registry.at("2026-09-28T10:00:00", "the company applies too early")
    path = registry.apply("second", record_id, "2026-08-10", "2026-09-28")
    registry.at("2026-09-30T16:00:00", "the officer may not accept it, and refuses on the second of three days")
    hindered = registry.ask("POST", f"{path}/accept", OFFICER, json={})
    print(f"    accept: {hindered.status_code} {hindered.json()['title_en']}, {hindered.json()['errors'][0]['rule']}")
    done = registry.act(path, "refuse", OFFICER, {"reason": "未达到最短公示期限"})
    print(f"    {done['state_zh']}; apply again from {done['findings'][-1]['apply_again_from']}")
    registry.tell(path, "second")


def revoked(registry: Registry, company: str, name: str) -> None:
    print(f"\nA repair revoked for fraud: {name}")
    registry.at("2026-05-08T10:00:00", "the penalty is entered")
    record_id = registry.penalty(company, name, 3, "2026-05-08")
    registry.at("2026-09-24T09:00:00", "the company applies; the officer accepts")
    path = registry.apply("third", record_id, "2026-05-20", "2026-09-24")
    registry.act(path, "accept", OFFICER)
    registry.act(path, "review", OFFICER)
    registry.at("2026-10-09T10:00:00", "after National Day the repair is granted")
    number = f"渝中市监修〔2026〕{registry.mark}-3号"
    commitment = registry.act(path, "grant", OFFICER, {"document_number": number})["findings"][-1]
    print(f"    public: {registry.is_public(record_id)}")
    registry.at("2026-11-02T10:00:00", "the bank says that the receipt is forged: the repair is revoked")
    fraud = {"document_number": f"渝中市监撤〔2026〕{registry.mark}-3号", "ground": "false-materials"}
    fraud |= {"reason": "缴款凭证系伪造", "evidence": "银行回函证明无此笔缴款"}
    done = registry.act(path, "revoke", SECOND_OFFICER, fraud)
    again = registry.call("GET", f"/v1/records/{record_id}")
    breach = registry.call("GET", f"/v1/records/{commitment['commitment_record_id']}")
    print(f"    public: {registry.is_public(record_id)}, until {local(again['publicity_until'])}")
    print(f"    commitment: {breach['facts']['fulfilment']}; no new application before {done['barred_until']}")
    registry.tell(path, "third")


def corrected(registry: Registry, company: str, name: str) -> None:
    print(f"\nAn objection that corrects a record: {name}")
    registry.at("2026-09-23T10:00:00", "the penalty is entered with a wrong amount")
    record_id = registry.penalty(company, name, 4, "2026-09-23")
    registry.at("2026-09-29T10:00:00", "the company objects; the officer accepts and the record is marked")
    path = objection(registry, record_id, "fourth", "决定书载明罚款为一千二百元")
    registry.act(path, "accept", OFFICER)
    print(f"    marked since {registry.call('GET', f'/v1/records/{record_id}')['disputed_since']}")
    registry.at("2026-10-08T09:00:00", "the first working day after National Day, the second of three: corrected")
    right = {"facts": {"fine_amount": "1200.00", "penalty_content": "罚款一千二百元"}}
    registry.act(path, "correct", OFFICER, {"reason": "录入错误, 与决定书不符", "correction": right})
    now = registry.call("GET", f"/v1/records/{record_id}")
    print(f"    fine {now['facts']['fine_amount']}, marked: {now['disputed_since']}")
    registry.tell(path, "fourth")


def upheld(registry: Registry, company: str, name: str) -> None:
    print(f"\nAn objection upheld after review by another officer: {name}")
    registry.at("2026-10-12T10:00:00", "the penalty is entered; the company objects")
    record_id = registry.penalty(company, name, 5, "2026-10-12")
    path = objection(registry, record_id, "fifth", "处罚金额与告知书不一致")
    registry.act(path, "accept", OFFICER)
    registry.at("2026-10-14T10:00:00", "the officer upholds the record")
    done = registry.act(path, "uphold", OFFICER, {"reason": "以决定书为准, 登记无误"})
    print(f"    review may be asked for until {done['findings'][-1]['review_until']}")
    registry.at("2026-10-19T10:00:00", "the company asks for the review")
    registry.act(path, "request-review", "fifth", {"reason": "告知书与决定书应当一致"})
    same = registry.ask("POST", f"{path}/review-uphold", OFFICER, json={"reason": "维持原处理结果"})
    print(f"    the same officer: {same.status_code} {same.json()['title_en']}")
    registry.at("2026-10-21T15:00:00", "another officer upholds it")
    registry.act(path, "review-uphold", SECOND_OFFICER, {"reason": "决定在听取陈述申辩后从重变更, 登记无误"})
    registry.tell(path, "fifth")


def objection(registry: Registry, record_id: str, client: str, reason: str) -> str:
    body = {"record_id": record_id, "ground": "content-wrong", "reason": reason}
    return f"/v1/objections/{registry.call('POST', '/v1/objections', client, json=body)['id']}"


def main(address: str, administrator: str) -> None:
    registry = Registry(address, administrator)
    entries = registry.call("GET", "/v1/lists/taxpayer-grade-a/entries", params={"limit": 50})["records"]
    # Any five: a company whose repair was revoked in an earlier run is barred in this one.
    companies = random.sample(list({entry["uscc"]: entry["entity_name"] for entry in entries}.items()), 5)
    registry.add_client("clock", "administrator")
    for client in (CLERK, OFFICER, SECOND_OFFICER):
        registry.add_client(client, "agency-submitter", agency_uscc=AGENCY)
    clients = ("first", "second", "third", "fourth", "fifth")
    for client, (company, _) in zip(clients, companies, strict=True):
        registry.add_client(client, "subject", entity_uscc=company)
    before = datetime.now(UTC)
    try:
        for (company, name), scene in zip(companies, (granted, refused, revoked, corrected, upheld), strict=True):
            scene(registry, company, name)
    finally:
        registry.call("PUT", "/v1/clock", "clock", json={"now": before.isoformat()})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(os.environ.get("CREDIT_SERVER", "http://127.0.0.1:8000"), sys.argv[1])
