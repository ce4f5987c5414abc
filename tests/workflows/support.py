"""Officers, applicants and cases for the tests of both workflows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
from sqlalchemy.dialects.postgresql import insert

from credit_service.accounts import commands as accounts
from credit_service.accounts import tokens
from credit_service.accounts.models import AgencyWrite, Client, Grant
from credit_service.accounts.rules import Principal, Role
from credit_service.identity.uscc import compose
from credit_service.platform.context import Actor
from tests.api import AGENCY, AGENCY_NAME, CATALOGUE, COMPANY, CONSENT, ISSUER, OTHER_COMPANY, Api, penalty

SOURCE = compose("11", "500103", "00777001")
"""A platform that submits what AGENCY decides."""
PARENT = compose("11", "500000", "00777002")
SUCCESSOR = compose("11", "500103", "00777003")
AGENT = compose("91", "500103", "MA00AGEN")

COMMITMENT = {
    "materials_are_true": True,
    "accepts_liability": True,
    "content": "本单位承诺所提交材料真实有效, 今后依法经营。",
    "breach_liability": "如违反承诺, 愿意依法承担相应责任。",
    "signed_on": "2026-05-06",
}
PROOF = {"kind": "proof-of-performance", "title": "罚款缴纳凭证", "dated_on": "2026-04-25", "attachment_ids": []}


@dataclass(frozen=True)
class Person:
    """Somebody who calls: a client of a role."""

    name: str
    role: Role
    agency: str | None = None
    entity: str | None = None

    @property
    def principal(self) -> Principal:
        return Principal(f"client:{self.name}", self.role, self.agency, self.entity)


CLERK = Person("clerk", Role.SUBMITTER, SOURCE)  # who recorded
ANSWERER = Person("answerer", Role.SUBMITTER, SOURCE)
OFFICER = Person("officer", Role.SUBMITTER, AGENCY)
COLLEAGUE = Person("colleague", Role.SUBMITTER, AGENCY)
WINDOW = Person("window", Role.SUBMITTER, AGENCY)
SUPERVISOR = Person("supervisor", Role.SUBMITTER, PARENT)
HEIR = Person("heir", Role.SUBMITTER, SUCCESSOR)
REGULATOR = Person("regulator", Role.REGULATOR, AGENCY)
SUBJECT = Person("subject", Role.SUBJECT, entity=COMPANY)
RIVAL = Person("rival", Role.SUBJECT, entity=OTHER_COMPANY)
LAWYER = Person("lawyer", Role.SUBJECT, entity=AGENT)
ANYBODY = Person("anybody", Role.PUBLIC)


@dataclass
class House:
    """The service with its agencies, spoken to by persons."""

    api: Api
    clients: set[str] = field(default_factory=set)
    tokens: dict[tuple[str, datetime], str] = field(default_factory=dict)

    async def call(
        self, method: str, path: str, person: Person, *, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        sent = {"Credit-Purpose": "supervision"} | (headers or {})
        if person.role is not Role.PUBLIC:
            sent["Authorization"] = f"Bearer {await self._token(person)}"
        return await self.api.http.request(method, path, headers=sent, **more)

    async def _token(self, person: Person) -> str:
        if person.name not in self.clients:
            row = Client(
                client_id=person.name,
                name=person.name,
                role=person.role.value,
                agency_uscc=person.agency,
                entity_uscc=person.entity,
                secret_hash="none",
                created_at=self.api.clock.now(),
            )
            async with self.api.database.transaction() as session:
                await session.execute(insert(Client).values(**row.model_dump()).on_conflict_do_nothing())
            self.clients.add(person.name)
        keys, now = self.api.app.state.keys, self.api.clock.now()
        if (person.name, now) not in self.tokens:
            issued = tokens.issue(keys, issuer=ISSUER, principal=person.principal, now=now, lifetime_seconds=900)
            self.tokens[person.name, now] = issued
        return self.tokens[person.name, now]

    async def get(self, path: str, person: Person = ANYBODY, **more: Any) -> Any:
        answer = await self.call("GET", path, person, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def act(
        self, path: str, action: str, person: Person, body: dict[str, Any] | None = None, tag: str | None = "*"
    ) -> httpx.Response:
        headers = {"If-Match": tag} if tag is not None else {}
        return await self.call("POST", f"{path}/{action}", person, headers=headers, json=body or {})

    async def done(self, path: str, action: str, person: Person, body: dict[str, Any] | None = None) -> Any:
        """Act, and expect it to be done."""
        answer = await self.act(path, action, person, body)
        assert answer.status_code == 200, (action, answer.text)
        return answer.json()

    async def record(self, **changes: Any) -> str:
        """A record that SOURCE submitted and AGENCY decided; the minimum period of the default one is over."""
        body = penalty(**({"decided_on": "2026-01-20"} | changes))
        answer = await self.call("POST", "/v1/records", CLERK, json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def repair(self, record_id: str, person: Person = SUBJECT, **changes: Any) -> str:
        """The path of a new repair case."""
        body = {"record_ids": [record_id], "materials": [PROOF], "commitment": COMMITMENT} | changes
        answer = await self.call("POST", "/v1/repairs", person, json=body)
        assert answer.status_code == 201, answer.text
        return f"/v1/repairs/{answer.json()['cases'][0]['id']}"

    async def objection(self, record_id: str, person: Person = SUBJECT, **changes: Any) -> str:
        """The path of a new objection."""
        body = {"record_id": record_id, "ground": "content-wrong", "reason": "罚款金额登记有误"} | changes
        answer = await self.call("POST", "/v1/objections", person, json=body)
        assert answer.status_code == 201, answer.text
        return f"/v1/objections/{answer.json()['id']}"

    async def reads(self, person: Person) -> None:
        """Somebody reads everything in its inbox, which proves that it was told."""
        for note in (await self.get("/v1/inbox", person))["notifications"]:
            answer = await self.call("POST", f"/v1/inbox/{note['id']}/read", person)
            assert answer.status_code == 200, answer.text

    async def put_agency(self, code: str, name: str, **changes: Any) -> None:
        grants = [Grant(item_code=item, division_prefix="5001") for item in CATALOGUE.items]
        body = AgencyWrite(name=name, **({"division": code[2:8], "level": "district", "grants": grants} | changes))
        async with self.api.database.transaction() as session:
            actor = Actor("test", "setup")
            await accounts.put_agency(session, CATALOGUE, actor, self.api.clock.now(), code, body)


async def furnished(api: Api) -> House:
    """The house with its source, its parent and its successor."""
    house = House(api)
    await house.put_agency(PARENT, "重庆市市场监督管理局", level="province")
    await house.put_agency(SOURCE, "重庆市渝中区公共信用信息平台")
    await house.put_agency(SUCCESSOR, "重庆市渝中区综合监管局")
    await house.put_agency(AGENCY, AGENCY_NAME, parent_uscc=PARENT)
    return house


LISTING: dict[str, Any] = {
    "item_code": "serious-dishonesty-market-regulation",
    "document_number": "渝中列〔2025〕1号",
    "decided_on": "2025-04-20",
    "consent": CONSENT | {"consented_on": "2025-04-10"},
    "facts": dict.fromkeys(
        ("violation_type", "violation_facts", "penalty_categories", "penalty_content", "fine_amount")
    )
    | {"legal_representative": None, "reason": "情节严重"},
}
