"""HTTP of credit reports."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from credit_service.accounts.dependencies import requires
from credit_service.accounts.purpose import require_purpose
from credit_service.accounts.rules import Audience, Permission, Principal, audience_of
from credit_service.accounts.store import agency_names
from credit_service.audit import access_store
from credit_service.entities.archive import require_shown
from credit_service.identity.uscc import Uscc
from credit_service.platform.database import Database
from credit_service.platform.days import rfc3339
from credit_service.records.pages import Proof, PurposeHeader
from credit_service.reports import rules, signing
from credit_service.reports.models import SignedReport

router = APIRouter(tags=["reports 信用报告"])


@router.get(
    "/v1/entities/{uscc}/report",
    response_model=SignedReport,
    responses={410: {"description": "The entity is deregistered and archived"}},
)
async def read_report(
    request: Request,
    uscc: Annotated[str, Path(description="统一社会信用代码")],
    principal: Annotated[Principal, Depends(requires(Permission.READ_REPORT))],
    proof: Proof = False,
    credit_purpose: PurposeHeader = None,
) -> Response:
    """信用报告 The entity's whole file as the caller may see it at one instant, in the official sections, signed.

    Every record, each with its marks: an objection that is not decided yet stands on it. The subject is also told
    who looked. With ``proof`` every version it rests on comes with its entry in the log. ``credit-service verify``
    checks it offline.
    """
    state = request.app.state
    code = Uscc.parse(uscc, pointer="path:uscc", admit_bad_check_digit=True).value
    audience = audience_of(principal, code)
    require_purpose(principal, audience, credit_purpose, code)
    now = state.clock.now()
    status, profile = await state.proved_profiles.whole(code, audience, now, proof=proof)
    if profile is None:
        async with state.database.transaction() as session:
            await require_shown(session, uscc, audience)
        raise AssertionError(f"an entity that is shown has no profile: {status}")
    report = rules.compose(
        profile,
        number=rules.report_number(now, secrets.token_hex(4).upper()),
        issued_at=now,
        issuer=state.settings.base_url,
        edition=state.catalogue.edition,
        accesses=await _accesses(state.database, code, now) if audience is Audience.SUBJECT else None,
    )
    key = await state.published_keys.signing()
    headers = {"Cache-Control": "no-store", "Vary": "Authorization"}
    return Response(signing.signed(key, report), media_type="application/json", headers=headers)


async def _accesses(database: Database, code: str, now: datetime) -> list[dict[str, Any]]:
    """A report states its subject's history of queries (河南 art. 40); the whole log is at ``.../accesses``."""
    async with database.transaction() as session:
        counted = await access_store.by_agency_and_purpose(session, code, now)
        names = await agency_names(session, {row.agency_uscc for row in counted if row.agency_uscc})
    return [
        {
            "agency_uscc": row.agency_uscc,
            "agency_name": names.get(row.agency_uscc or ""),
            "purpose": row.purpose,
            "accesses": row.accesses,
            "last_at": rfc3339(row.last_at),
        }
        for row in counted
    ]
