"""Who acts, under which request: handed down every command, written into every audit event."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of a change. ``id`` is ``client:<id>``, ``oidc:<issuer>#<subject>``, ``system`` or ``operator``."""

    id: str
    request_id: str
    agency_uscc: str | None = None
