"""HTTP of accounts: tokens, keys, agencies, clients."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts import commands
from credit_service.accounts.dependencies import requires
from credit_service.accounts.models import (
    AgencyList,
    AgencyRead,
    AgencyWrite,
    ClientCreate,
    ClientSecret,
    PrincipalBlock,
)
from credit_service.accounts.rules import Permission, Principal
from credit_service.platform.http import actor_of, change, json_answer
from credit_service.platform.idempotency import StoredAnswer

router = APIRouter(tags=["accounts 账户"])

Anyone = Annotated[Principal, Depends(requires(Permission.DISCOVER))]
Administrator = Annotated[Principal, Depends(requires(Permission.MANAGE_ACCOUNTS))]
Code = Annotated[str, Path(description="统一社会信用代码")]
IdempotencyKey = Annotated[str | None, Header(description="幂等键")]


@router.get("/v1/agencies", response_model=AgencyList)
async def list_agencies(request: Request, principal: Administrator) -> AgencyList:
    """单位列表 Every agency with what it may submit."""
    async with request.app.state.database.transaction() as session:
        return AgencyList(agencies=await commands.list_agencies(session))


@router.get("/v1/agencies/{uscc}", response_model=AgencyRead)
async def read_agency(request: Request, uscc: Code, principal: Administrator) -> AgencyRead:
    """单位 One agency."""
    async with request.app.state.database.transaction() as session:
        return await commands.read_agency(session, uscc)


@router.put("/v1/agencies/{uscc}", response_model=AgencyRead, responses={201: {"model": AgencyRead}})
async def put_agency(
    request: Request, uscc: Code, body: AgencyWrite, principal: Administrator, idempotency_key: IdempotencyKey = None
) -> Response:
    """单位维护 Enter or change an agency and what it may submit."""
    state = request.app.state

    async def run(session: AsyncSession) -> StoredAnswer:
        agency, created = await commands.put_agency(
            session, state.catalogue, actor_of(request, principal), state.clock.now(), uscc, body
        )
        return json_answer(agency.model_dump(mode="json"), 201 if created else 200)

    return await change(request, principal, run)


@router.post("/v1/clients", response_model=ClientSecret, status_code=201)
async def create_client(request: Request, body: ClientCreate, principal: Administrator) -> Response:
    """客户端 Make a client. No Idempotency-Key here: a replay would have to store the secret."""

    async def run(session: AsyncSession) -> StoredAnswer:
        secret = await commands.create_client(
            session, actor_of(request, principal), request.app.state.clock.now(), body
        )
        return json_answer(secret.model_dump(), 201, {"Cache-Control": "no-store"})

    return await change(request, principal, run, replayable=False)


@router.post("/v1/clients/{client_id}/disable", status_code=204)
async def disable_client(
    request: Request,
    client_id: Annotated[str, Path(max_length=64, description="客户端标识")],
    principal: Administrator,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """停用客户端 Shut a client out; its tokens stop working within half a minute."""

    async def run(session: AsyncSession) -> StoredAnswer:
        await commands.disable_client(session, actor_of(request, principal), request.app.state.clock.now(), client_id)
        return StoredAnswer(204, {}, b"")

    return await change(request, principal, run)


@router.post("/v1/principals/block", status_code=204)
async def block_principal(
    request: Request, body: PrincipalBlock, principal: Administrator, idempotency_key: IdempotencyKey = None
) -> Response:
    """禁止或者恢复登录 Shut a person or client out, whatever its provider says, or let it in again."""

    async def run(session: AsyncSession) -> StoredAnswer:
        await commands.block(session, actor_of(request, principal), request.app.state.clock.now(), body)
        return StoredAnswer(204, {}, b"")

    return await change(request, principal, run)
