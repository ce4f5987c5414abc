"""HTTP of screening: one call for up to 10,000 subjects, and a stream for any number."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from uuid_utils import uuid7

from credit_service.accounts.dependencies import requires
from credit_service.accounts.purpose import require_purpose
from credit_service.accounts.rules import Audience, Permission, Principal, Role, audience_of
from credit_service.audit.events import canonical_json
from credit_service.catalogue.models import Catalogue
from credit_service.measures.rules import SCENARIO_UNKNOWN
from credit_service.platform.errors import INVALID_REQUEST, UNAVAILABLE, FieldError, Problem
from credit_service.records.pages import PurposeHeader
from credit_service.supervision.screening import signing
from credit_service.supervision.screening.models import MOST_SUBJECTS, ScreeningRequest, SignedScreening
from credit_service.supervision.screening.reading import screening
from credit_service.supervision.screening.stream import NDJSON, STREAM_PATH, Exchange

router = APIRouter(tags=["screening 批量核查"])
SCREENING_PATH = "/v1/screenings"
LARGEST_REQUEST = 4 << 20
BLOCK = 1000

Screener = Annotated[Principal, Depends(requires(Permission.SCREEN))]

_STREAM = {
    "requestBody": {
        "required": True,
        "content": {
            NDJSON: {
                "schema": {
                    "type": "object",
                    "description": "每行一个 One a line",
                    "properties": {
                        "code": {"type": "string", "description": "统一社会信用代码"},
                        "name": {"type": "string", "description": "名称"},
                    },
                }
            }
        },
    }
}


def _audience(principal: Principal) -> Audience:
    """A screening is of others: a subject is the public here."""
    return Audience.PUBLIC if principal.role is Role.SUBJECT else audience_of(principal, "")


def _check_scenario(catalogue: Catalogue, scenario: str | None, pointer: str) -> None:
    if scenario is not None and scenario not in catalogue.scenarios:
        known = ", ".join(sorted(catalogue.scenarios))
        raise Problem(SCENARIO_UNKNOWN, errors=[FieldError(pointer, f"one of {known}")])


@router.post(SCREENING_PATH, response_model=SignedScreening)
async def screen(
    request: Request, body: ScreeningRequest, principal: Screener, credit_purpose: PurposeHeader = None
) -> Response:
    """批量核查 Screen codes and names: hits, measures in a scenario, flags; one instant, signed.

    Unknown, malformed and misprinted codes are rows with a status, never a failure. A name is answered with candidates.
    The public is told of what is published; everybody else states a purpose.
    """
    if not 0 < len(body.codes) + len(body.names) <= MOST_SUBJECTS:
        raise Problem(INVALID_REQUEST, errors=[FieldError("", f"1 to {MOST_SUBJECTS} codes and names")])
    state, audience = request.app.state, _audience(principal)
    _check_scenario(state.catalogue, body.scenario, "/scenario")
    require_purpose(principal, audience, credit_purpose, None)
    rows: list[dict[str, Any]] = []
    async with screening(state.database, state.clock, state.catalogue, audience, body.scenario) as under_way:
        for start in range(0, len(body.codes), BLOCK):
            rows += await under_way.codes(body.codes[start : start + BLOCK], start)
        for start in range(0, len(body.names), BLOCK):
            rows += await under_way.names(body.names[start : start + BLOCK], len(body.codes) + start)
        result = under_way.result(str(uuid7()), rows)
    canonical = canonical_json(result)
    digest = hashlib.sha256(canonical).hexdigest()
    jws = signing.sign(
        await state.published_keys.signing(),
        issuer=state.settings.base_url,
        holds_at=under_way.holds_at,
        count=len(rows),
        digest=digest,
    )
    answer = b'{"digest":"%b","jws":"%b","result":%b}' % (digest.encode(), jws.encode(), canonical)
    return Response(answer, media_type="application/json", headers={"Cache-Control": "no-store"})


@router.post(STREAM_PATH, openapi_extra=_STREAM, response_class=Response, responses={200: {"content": {NDJSON: {}}}})
async def screen_stream(
    request: Request,
    principal: Screener,
    scenario: Annotated[str | None, Query(max_length=64, description="应用场景 Scenario of the catalogue")] = None,
    credit_purpose: PurposeHeader = None,
) -> Response:
    """批量核查(流式) Screen any number: NDJSON in, NDJSON out while it comes in, one snapshot, signed at the end.

    Read the answer while you send: when you do not, neither side is kept waiting for more than a minute.
    """
    state, audience = request.app.state, _audience(principal)
    _check_scenario(state.catalogue, scenario, "query:scenario")
    require_purpose(principal, audience, credit_purpose, None)
    if state.screening_streams.locked():
        raise Problem(UNAVAILABLE, detail="too many screening streams", headers={"Retry-After": "30"})
    return Exchange(
        state.screening_streams,
        screening(state.database, state.clock, state.catalogue, audience, scenario),
        key=await state.published_keys.signing(),
        issuer=state.settings.base_url,
    )
