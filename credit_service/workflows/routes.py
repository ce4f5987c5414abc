"""HTTP of cases: the same for every workflow, made from its machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.accounts.dependencies import requires
from credit_service.accounts.purpose import note_subjects, require_purpose
from credit_service.accounts.rules import Permission, Principal, audience_of
from credit_service.platform import paging
from credit_service.platform.http import actor_of, change, json_answer
from credit_service.platform.idempotency import StoredAnswer
from credit_service.workflows import access, commands, queues, store, timing, views
from credit_service.workflows.commands import Caller, Workflow
from credit_service.workflows.contract import StepBody
from credit_service.workflows.machine import Party, Step
from credit_service.workflows.models import ActionList, Case, CasePage, CaseRead, QueueCounts, Timeline
from credit_service.workflows.queues import Queue

Applicant = Annotated[Principal, Depends(requires(Permission.APPLY))]
Reader = Annotated[Principal, Depends(requires(Permission.READ_CASE))]
Id = Annotated[UUID, Path(description="办件标识 Case id")]
IfMatch = Annotated[str | None, Header(description='"v<version>" or *')]
IdempotencyKey = Annotated[str | None, Header(description="幂等键")]
Cursor = Annotated[str | None, Query(max_length=500, description="分页游标")]
Purpose = Annotated[str | None, Header(description="查询目的 Required of agencies")]
Limit = Annotated[int, Query(ge=1, le=paging.LARGEST_LIMIT, description="每页条数")]


@dataclass(frozen=True)
class Filters:
    """Which cases."""

    queue: Annotated[Queue | None, Query(description="待办队列; empty: every case the caller may see")] = None
    state: Annotated[str | None, Query(max_length=40, description="状态")] = None
    item_code: Annotated[str | None, Query(max_length=64, description="目录事项代码")] = None
    uscc: Annotated[str | None, Query(max_length=18, description="信用主体统一社会信用代码")] = None
    record_id: Annotated[UUID | None, Query(description="所涉记录")] = None
    application_id: Annotated[UUID | None, Query(description="申请标识")] = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The same in SQL, but for the queue."""
        names = ("state", "item_code", "uscc", "record_id", "application_id")
        given = {name: getattr(self, name) for name in names}
        return [col(getattr(Case, name)) == value for name, value in given.items() if value is not None]


def caller_of(request: Request, principal: Principal) -> Caller:
    """Who takes a step with this request."""
    state = request.app.state
    return Caller(
        actor=actor_of(request, principal),
        principal=principal,
        now=state.clock.now(),
        catalogue=state.catalogue,
        cut_off=state.settings.deadline_cut_off,
        warn_before=state.settings.deadline_warn_before,
    )


async def read_of(session: AsyncSession, caller: Caller, workflow: Workflow, case: Case) -> CaseRead:
    """The case as the caller sees it."""
    found = access.parties(await access.standing_of(session, caller.principal), case)
    return views.read(workflow.machine, case, await timing.rows_of(session, case), found, caller.now)


def state_purpose(principal: Principal, found: Collection[Party], case: Case, stated: str | None) -> None:
    """A case is not public: an agency that did not file it states a purpose, and its subject sees that it looked."""
    if Party.APPLICANT not in found:
        require_purpose(principal, audience_of(principal, case.uscc), stated, case.uscc)


def add_reading(router: APIRouter, workflow: Workflow, path: str) -> None:
    """List, counts, case, timeline and possible actions."""
    machine = workflow.machine

    async def list_cases(
        request: Request,
        principal: Reader,
        filters: Annotated[Filters, Depends()],
        cursor: Cursor = None,
        limit: Limit = paging.DEFAULT_LIMIT,
        credit_purpose: Purpose = None,
    ) -> CasePage:
        require_purpose(principal, audience_of(principal, principal.entity_uscc or ""), credit_purpose, None)
        now = request.app.state.clock.now()
        async with request.app.state.database.transaction() as session:
            reach = await queues.reach_of(session, principal, now)
            where = [*filters.conditions(), col(Case.type) == machine.name, queues.visible(reach)]
            if filters.queue is not None:
                where.append(queues.queue(reach, filters.queue))
            rows = await store.page(session, where, paging.place_of(cursor, paging.BY_MOMENT), limit)
        shown = rows[:limit]
        note_subjects(row.uscc for row in shown)
        following = paging.encode_cursor(shown[-1].opened_at, shown[-1].id) if len(rows) > limit else None
        officer = principal.agency_uscc is not None
        return CasePage(cases=[views.view(machine, row, officer=officer) for row in shown], next_cursor=following)

    async def count_cases(request: Request, principal: Reader, filters: Annotated[Filters, Depends()]) -> QueueCounts:
        now = request.app.state.clock.now()
        async with request.app.state.database.transaction() as session:
            reach = await queues.reach_of(session, principal, now)
            return await queues.counts(session, reach, [*filters.conditions(), col(Case.type) == machine.name])

    async def read_case(
        request: Request, case_id: Id, principal: Reader, response: Response, credit_purpose: Purpose = None
    ) -> CaseRead:
        now = request.app.state.clock.now()
        async with request.app.state.database.transaction() as session:
            case, found = await access.visible_case(session, machine, principal, case_id, now)
            state_purpose(principal, found, case, credit_purpose)
            response.headers["ETag"] = commands.version_tag(case)
            return views.read(machine, case, await timing.rows_of(session, case), found, now)

    async def read_timeline(
        request: Request, case_id: Id, principal: Reader, credit_purpose: Purpose = None
    ) -> Timeline:
        now = request.app.state.clock.now()
        async with request.app.state.database.transaction() as session:
            case, found = await access.visible_case(session, machine, principal, case_id, now)
            state_purpose(principal, found, case, credit_purpose)
            return await views.timeline(session, machine, case, principal, found, now)

    async def read_actions(
        request: Request, case_id: Id, principal: Reader, response: Response, credit_purpose: Purpose = None
    ) -> ActionList:
        now = request.app.state.clock.now()
        async with request.app.state.database.transaction() as session:
            case, found = await access.visible_case(session, machine, principal, case_id, now)
            state_purpose(principal, found, case, credit_purpose)
            response.headers["ETag"] = commands.version_tag(case)
            return await views.actions(session, machine, case, found, now)

    one = f"{path}/{{case_id}}"
    router.add_api_route(path, list_cases, response_model=CasePage, summary="办件列表 Cases, by queue and filter")
    router.add_api_route(f"{path}/counts", count_cases, response_model=QueueCounts, summary="队列计数 How much waits")
    router.add_api_route(one, read_case, response_model=CaseRead, summary="办件 One case")
    router.add_api_route(
        f"{one}/timeline", read_timeline, response_model=Timeline, summary="办理过程 Every step, with the time-limits"
    )
    router.add_api_route(
        f"{one}/actions", read_actions, response_model=ActionList, summary="可办事项 What the caller may do, until when"
    )


def add_actions(router: APIRouter, workflow: Workflow, path: str) -> None:
    """One route for each action of the machine."""
    for step in workflow.machine.steps:
        router.add_api_route(
            f"{path}/{{case_id}}/{step.action}",
            _endpoint(workflow, step, workflow.bodies[step.action]),
            methods=["POST"],
            response_model=CaseRead,
            summary=f"{step.label.zh} {step.action}",
            name=f"{workflow.machine.name} {step.action}",
        )


def _endpoint(workflow: Workflow, step: Step, model: type[StepBody]) -> Callable[..., Awaitable[Response]]:
    """The endpoint of a step; applicants' steps are open to applicants, officers' to officers."""
    permission = Permission.APPLY if Party.APPLICANT in step.by else Permission.HANDLE_CASE

    async def act(
        request: Request,
        case_id: Id,
        body: StepBody,
        principal: Principal,
        if_match: IfMatch = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        caller = caller_of(request, principal)

        async def run(session: AsyncSession) -> StoredAnswer:
            taken = await commands.take(session, caller, workflow, case_id, step.action, body, if_match)
            shown = views.read(workflow.machine, taken.case, taken.limits, taken.parties, caller.now)
            return json_answer(shown.model_dump(mode="json"), 200, {"ETag": commands.version_tag(taken.case)})

        return await change(request, principal, run)

    # The framework reads what a step takes, and who may take it, from the annotations of its endpoint.
    annotations: dict[str, Any] = {"body": model, "principal": Annotated[Principal, Depends(requires(permission))]}
    act.__annotations__.update(annotations)
    return act
