"""The gate before every route: who calls, and may they."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant

from credit_service.accounts.authenticator import Authenticator
from credit_service.accounts.certificates import presented
from credit_service.accounts.limits import RateLimit
from credit_service.accounts.rules import (
    DECISIONS,
    FORBIDDEN,
    PUBLIC,
    SECOND_FACTOR_REQUIRED,
    UNAUTHENTICATED,
    Permission,
    Principal,
    permitted,
)
from credit_service.platform.errors import Problem

STEP_UP = 'Bearer error="insufficient_user_authentication"'
"""RFC 9470 section 3."""


class Requires:
    """A dependency that declares the permission of a route and enforces it."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(self, request: Request) -> Principal:
        """The caller. Raises ``UNAUTHENTICATED`` (401, RFC 6750), ``SECOND_FACTOR_REQUIRED`` (401, RFC 9470),
        ``FORBIDDEN`` (403) or ``TOO_MANY_REQUESTS`` (429).

        An agency's systems and officers share one limit. The public is the reverse proxy's to limit: only it knows
        where a request came from.
        """
        principal = await principal_of(request)
        if principal is not PUBLIC:
            limit: RateLimit = request.app.state.rate_limit
            request.scope["answer_headers"] += limit.take(principal.agency_uscc or principal.id)
        if permitted(principal, self.permission):
            if principal.second_factor is False and self.permission in DECISIONS:
                raise Problem(SECOND_FACTOR_REQUIRED, headers={"WWW-Authenticate": STEP_UP})
            return principal
        if principal is PUBLIC:
            raise Problem(UNAUTHENTICATED, headers={"WWW-Authenticate": "Bearer"})
        raise Problem(FORBIDDEN, extra={"permission": self.permission.value})


async def principal_of(request: Request) -> Principal:
    """The principal of the Authorization header; without one, the public."""
    header = request.headers.get("authorization")
    if header is None:
        return PUBLIC
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "basic":
        return PUBLIC  # the token endpoint reads it; everywhere else it stands for nobody
    if scheme.lower() != "bearer" or not token:
        raise Problem(UNAUTHENTICATED, headers={"WWW-Authenticate": "Bearer"})
    authenticator: Authenticator = request.app.state.authenticator
    return await authenticator.authenticate(token.strip(), certificate=presented(request))


def requires(permission: Permission) -> Requires:
    """``Annotated[Principal, Depends(requires(Permission.X))]`` in a route's signature."""
    return Requires(permission)


def _calls(dependant: Dependant) -> Iterator[Any]:
    yield dependant.call
    for child in dependant.dependencies:
        yield from _calls(child)


def declared_permission(route: Any) -> Permission | None:
    """The permission a route declares, or ``None``; more than one is a mistake too and also gives ``None``."""
    dependant = getattr(route, "dependant", None)
    if dependant is None:
        return None
    found = {call.permission for call in _calls(dependant) if isinstance(call, Requires)}
    return found.pop() if len(found) == 1 else None
