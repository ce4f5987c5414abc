"""The application under test on the real database, and callers of every role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy.dialects.postgresql import insert

from credit_service.accounts import commands as accounts
from credit_service.accounts import tokens
from credit_service.accounts.models import AgencyWrite, Client, Grant
from credit_service.accounts.rules import Principal, Role
from credit_service.app import create_app
from credit_service.catalogue.loader import load
from credit_service.catalogue.models import Catalogue
from credit_service.identity.uscc import compose
from credit_service.platform.clock import FixedClock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.settings import Settings
from credit_service.records.imports.judges import JudgingProcess

AGENCY = compose("11", "500103", "00928654")
AGENCY_NAME = "重庆市渝中区市场监督管理局"
OTHER_AGENCY = compose("11", "310115", "00245931")
COMPANY = compose("91", "500103", "MA000001")
OTHER_COMPANY = compose("91", "500103", "MA000002")
ISSUER = "http://test"
CATALOGUE: Catalogue = load()


class CommonJudge(JudgingProcess):
    """Judges rows by the shipped catalogue for each application of a run: one of its own takes a second to start."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """It outlives the application."""


JUDGE = CommonJudge()


def share_judge(app: FastAPI) -> None:
    """Let a started application judge by the common process, unless its settings name another catalogue."""
    settings: Settings = app.state.settings
    if settings.catalogue_dir is None and settings.catalogue_supplement_dir is None:
        app.state.import_executor.shutdown()
        app.state.import_executor = JUDGE


@dataclass
class Api:
    """A client of the application that can speak as any role."""

    app: FastAPI
    http: httpx.AsyncClient
    clock: FixedClock
    database: Database
    _tokens: dict[tuple[Principal, datetime, str], str] = field(default_factory=dict)

    def principal(
        self, role: Role, *, agency: str = AGENCY, entity: str = COMPANY, officer: str | None = None
    ) -> Principal:
        return Principal(
            id=f"client:{officer or role.value}-{agency[2:8]}",
            role=role,
            agency_uscc=agency if role in (Role.SUBMITTER, Role.REGULATOR) else None,
            entity_uscc=entity if role is Role.SUBJECT else None,
        )

    async def token(
        self, role: Role, *, agency: str = AGENCY, entity: str = COMPANY, officer: str | None = None
    ) -> str:
        """A valid token of a client of this role, which is made when it does not exist; one at an instant."""
        principal = self.principal(role, agency=agency, entity=entity, officer=officer)
        keys = self.app.state.keys
        same = (principal, self.clock.now(), keys.signing().kid)
        if same in self._tokens:
            return self._tokens[same]
        client_id = principal.id.removeprefix("client:")
        async with self.database.transaction() as session:
            row = Client(
                client_id=client_id,
                name=client_id,
                role=role.value,
                agency_uscc=principal.agency_uscc,
                entity_uscc=principal.entity_uscc,
                secret_hash="none",
                created_at=self.clock.now(),
            )
            await session.execute(insert(Client).values(**row.model_dump()).on_conflict_do_nothing())
        issued = tokens.issue(keys, issuer=ISSUER, principal=principal, now=self.clock.now(), lifetime_seconds=900)
        self._tokens[same] = issued
        return issued

    async def call(
        self, method: str, path: str, role: Role = Role.PUBLIC, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        """Call as a role; regulators and agencies state a purpose."""
        identity = {name: more.pop(name) for name in ("agency", "entity", "officer") if name in more}
        sent = {"Credit-Purpose": "supervision"} | (headers or {})
        if role is not Role.PUBLIC:
            sent["Authorization"] = f"Bearer {await self.token(role, **identity)}"
        return await self.http.request(method, path, headers=sent, **more)

    async def get(self, path: str, role: Role = Role.PUBLIC, **more: Any) -> httpx.Response:
        return await self.call("GET", path, role, **more)

    async def submit(self, key: str | None = None, **changes: Any) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return await self.call("POST", "/v1/records", Role.SUBMITTER, headers, json=penalty(**changes))


NOTICES = [
    {"kind": kind, "served_on": day, "means": "direct", "evidence": "送达回证〔2026〕1号"}
    for kind, day in (
        ("facts-grounds-and-rights", "2021-07-01"),
        ("publicity-notice", "2026-04-20"),
        ("repair-notice", "2026-04-20"),
    )
]
"""Proof that the subject was heard before the decision and told of publicity and repair with it."""


CONSENT = {
    "authority_uscc": compose("11", "500000", "00928000"),
    "authority_name": "重庆市市场监督管理局",
    "document_number": "渝市监信同〔2026〕1号",
    "consented_on": "2026-03-31",
}
"""The next higher authority's consent to a listing by a district (Order 44 art. 22)."""


def penalty(**changes: Any) -> dict[str, Any]:
    """A good penalty; ``facts`` given here replace single facts."""
    facts = {
        "violation_type": "经营超过保质期的食品",
        "violation_facts": "当事人销售超过保质期的预包装食品。",
        "penalty_categories": ["罚款"],
        "penalty_content": "罚款一万二千元",
        "fine_amount": "12000.00",
        "legal_representative": "张三",
    } | changes.pop("facts", {})
    return {
        "item_code": "administrative-penalty",
        "uscc": COMPANY,
        "entity_name": "重庆测试有限公司",
        "document_number": "渝中市监处罚〔2026〕1号",
        "decided_on": "2026-04-20",
        "authority_uscc": AGENCY,
        "authority_name": AGENCY_NAME,
        "legal_basis": "《中华人民共和国食品安全法》第一百二十四条",
        "notices": NOTICES,
        "facts": {name: value for name, value in facts.items() if value is not None},
    } | changes


@asynccontextmanager
async def running(
    database: Database, clock: FixedClock, folder: Path, *, catalogue: Catalogue = CATALOGUE, **settings: Any
) -> AsyncIterator[Api]:
    """The application, with one agency that may submit anything for its city."""
    chosen = Settings(data_dir=folder, public_url=ISSUER, **({"log_level": "error"} | settings))
    app = create_app(chosen, clock=clock, database=database, catalogue=catalogue)
    grants = [Grant(item_code=code, division_prefix="5001") for code in CATALOGUE.items]
    async with database.transaction() as session:
        for code, name in ((AGENCY, AGENCY_NAME), (OTHER_AGENCY, "上海市浦东新区城市管理行政执法局")):
            body = AgencyWrite(name=name, division=code[2:8], level="district", grants=grants if code == AGENCY else [])
            await accounts.put_agency(session, CATALOGUE, Actor("test", "setup"), clock.now(), code, body)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=ISSUER, timeout=60) as http,
    ):
        share_judge(app)
        yield Api(app, http, clock, database)
