"""Everything the contract allows, and what it does not, sent to every operation by each role that may use it.

The few examples of the suite are the same every time. ``FUZZ_EXAMPLES`` (of an operation, for good and for bad data
each) and ``FUZZ_SEED`` make a longer run of it.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from credit_service.accounts.dependencies import declared_permission
from credit_service.accounts.rules import PERMISSIONS, Role
from credit_service.app import api_routes
from tests.api import AGENCY, COMPANY, ISSUER, Api
from tests.workflows.support import furnished

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "1"))
SEED = int(os.environ.get("FUZZ_SEED", "9457"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> bytes:
    """One line of NDJSON; what the contract calls bytes is sent as it is."""
    return value if isinstance(value, bytes) else orjson.dumps(value, default=str)


async def existing(api: Api) -> dict[str, str]:
    """Path parameters of things that exist, by the first words of a path, so that examples get past the door."""
    house = await furnished(api)
    record = await house.record()
    return {
        "uscc": COMPANY,
        "agency_uscc": AGENCY,
        "record_id": record,
        "/v1/repairs": (await house.repair(record)).rsplit("/", 1)[1],
        "/v1/objections": (await house.objection(record)).rsplit("/", 1)[1],
    }


def parameters(operation: APIOperation[Any, Any], known: dict[str, str]) -> dict[str, str]:
    """The path parameters of an operation that are known."""
    names = [each["name"] for each in operation.definition.raw.get("parameters", ()) if each["in"] == "path"]
    case = known.get("/".join(operation.path.split("/")[:3]), "")
    return {name: known.get(name, case) for name in names if name in known or (name == "case_id" and case)}


def arguments(case: schemathesis.Case, token: str | None) -> dict[str, Any]:
    """A case as httpx sends it: headers hold any bytes, as on the wire."""
    given = case.as_transport_kwargs(base_url=ISSUER)
    headers = dict(given["headers"]) | ({"Authorization": f"Bearer {token}"} if token else {})
    content = given.pop("data", None)
    body = {"data": content} if isinstance(content, dict) else {"content": content} if content is not None else {}
    return {
        **{name: given[name] for name in ("method", "url", "params", "json", "files") if name in given},
        **body,
        "headers": [(name.encode(), str(value).encode("utf-8", "surrogatepass")) for name, value in headers.items()],
    }


def examine(
    operation: APIOperation[Any, Any], known: dict[str, str], answer: Callable[[schemathesis.Case], httpx.Response]
) -> list[str]:
    """Send good and bad data to an operation; gives what was wrong with its answers."""
    wrong: list[str] = []

    def once(case: schemathesis.Case) -> None:
        response = answer(case)
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as failures:
            wrong.append(f"{operation.label}: {response.status_code} {failures}")

    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        fixed = parameters(operation, known) if mode is GenerationMode.POSITIVE else None
        try:
            seed(SEED)(SETTINGS(given(operation.as_strategy(mode, path_parameters=fixed))(once)))()
        except Unsatisfiable:  # what takes nothing can be sent nothing wrong
            assert mode is GenerationMode.NEGATIVE, operation.label
    return wrong


@pytest.mark.parametrize("role", list(Role))
async def test_whatever_is_sent_the_answer_keeps_the_contract(api: Api, role: Role) -> None:
    known = await existing(api)
    token = None if role is Role.PUBLIC else await api.token(role)
    loop = asyncio.get_running_loop()
    declared = {
        (method, route.path.replace(":path}", "}")): declared_permission(route)
        for route in api_routes(api.app)
        for method in route.methods or ()
    }
    schema = schemathesis.openapi.from_dict(api.app.openapi())
    operations = [found.ok() for found in schema.get_all_operations()]
    permitted = [
        each
        for each in operations
        if role in PERMISSIONS.get(declared[each.method.upper(), each.path], frozenset())  # type: ignore[arg-type]
    ]
    assert len(operations) > 150
    assert len(permitted) > 20
    answered: Counter[int] = Counter()

    def answer(case: schemathesis.Case) -> httpx.Response:
        response = asyncio.run_coroutine_threadsafe(api.http.request(**arguments(case, token)), loop).result(60)
        answered[response.status_code] += 1
        return response

    def all_of_them() -> list[str]:
        return [wrong for operation in permitted for wrong in examine(operation, known, answer)]

    wrong = await asyncio.to_thread(all_of_them)
    assert not wrong, "\n\n".join(wrong)
    assert answered.total() >= EXAMPLES * len(permitted)
    assert answered[200] > len(permitted) / 10, answered
    assert answered[429] == 0, "turned away at the door"
