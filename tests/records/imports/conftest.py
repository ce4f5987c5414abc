"""The application on the real database, with one agency that may submit penalties for its city."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from credit_service.accounts import commands as accounts
from credit_service.accounts import tokens
from credit_service.accounts.models import AgencyWrite, Client, Grant
from credit_service.accounts.rules import Principal, Role
from credit_service.app import create_app
from credit_service.platform.clock import FixedClock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.settings import Settings
from tests.api import CATALOGUE, share_judge
from tests.records.imports.files import AGENCY, AGENCY_NAME, OTHER_AUTHORITY

ATTESTED = {"notice_attestation": "送达台账2026年4月"}
"""The agency's word that the notices were served; without it the penalties of a file wait unpublished."""


@dataclass
class Sender:
    """An agency's system."""

    http: httpx.AsyncClient
    token: str
    other_token: str

    async def send(self, data: bytes, key: str = "k1", token: str | None = None, **query: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token or self.token}", "Idempotency-Key": key}
        asked = ATTESTED | query
        return await self.http.post("/v1/imports", params=asked, content=data, headers=headers)

    async def get(self, path: str, token: str | None = None, **query: Any) -> httpx.Response:
        return await self.http.get(path, params=query, headers={"Authorization": f"Bearer {token or self.token}"})

    async def refusals(self, imported: dict[str, Any]) -> dict[int, list[dict[str, str]]]:
        page = (await self.get(imported["receipts"], outcome="refused", limit=500)).json()
        return {receipt["row"]: receipt["errors"] for receipt in page["receipts"]}


@pytest.fixture
async def sender(database: Database, clock: FixedClock, tmp_path: Path) -> AsyncIterator[Sender]:
    settings = Settings(data_dir=tmp_path, public_url="http://test", log_level="error")
    app = create_app(settings, clock=clock, database=database, catalogue=CATALOGUE)
    grants = [Grant(item_code="administrative-penalty", division_prefix="5001")]
    issued = []
    async with database.transaction() as session:
        for code, name in ((AGENCY, AGENCY_NAME), (OTHER_AUTHORITY, "上海市浦东新区城市管理行政执法局")):
            body = AgencyWrite(name=name, division=code[2:8], level="district", grants=grants)
            await accounts.put_agency(session, CATALOGUE, Actor("test", "setup"), clock.now(), code, body)
            client_id = f"system-{code.lower()}"
            session.add(
                Client(
                    client_id=client_id,
                    name=name,
                    role=Role.SUBMITTER.value,
                    agency_uscc=code,
                    secret_hash="none",
                    created_at=clock.now(),
                )
            )
            principal = Principal(id=f"client:{client_id}", role=Role.SUBMITTER, agency_uscc=code)
            issued.append(
                tokens.issue(
                    app.state.keys, issuer="http://test", principal=principal, now=clock.now(), lifetime_seconds=3600
                )
            )
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as http,
    ):
        share_judge(app)
        yield Sender(http, *issued)
