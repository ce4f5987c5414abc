"""Every read of the contract, asked by the role that may do most."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from credit_service.accounts.dependencies import declared_permission
from credit_service.accounts.rules import PERMISSIONS, Role
from credit_service.app import api_routes
from tests.api import Api
from tests.test_app import PARAMETERS, UNKNOWN_ID


def reads(api: Api) -> Iterator[tuple[str, Role, list[dict[str, Any]]]]:
    """Path with its parameters filled in, role, and the parameters that the contract declares."""
    paths = api.app.openapi()["paths"]
    for route in api_routes(api.app):
        operation = paths.get(route.path.replace(":path}", "}"), {}).get("get")
        if operation is None or "GET" not in (route.methods or ()):
            continue
        path = re.sub(r"\{(\w+)(:path)?\}", lambda found: PARAMETERS.get(found[1], UNKNOWN_ID), route.path)
        permission = declared_permission(route)
        assert permission is not None
        role = max(PERMISSIONS[permission], key=[Role.PUBLIC, Role.SUBJECT, Role.SUBMITTER, *Role].index)
        yield path, role, operation.get("parameters", [])
