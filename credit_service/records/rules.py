"""What a record says and may be shown: pure functions over the catalogue, without clock, session or I/O.

One submission and a million imported rows go through the same functions, so they can never be judged differently.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from credit_service.audit.events import canonical_json
from credit_service.catalogue.models import Catalogue, Item
from credit_service.catalogue.rules import classify, publicity_window, rule_for
from credit_service.platform.days import day_of, start_of
from credit_service.platform.errors import FieldError, ProblemType
from credit_service.records.models import State

RECORD_REFUSED = ProblemType(
    "record-refused", 422, "记录不符合目录规则", "The record does not meet the catalogue's rules"
)
RECORD_CLOSED = ProblemType(
    "record-closed", 409, "记录已修复、撤销或归档", "The record is repaired, annulled, withdrawn or archived"
)
AGENCY_NOT_GRANTED = ProblemType(
    "agency-not-granted", 403, "单位未获该事项报送授权", "The agency may not submit this item for this division"
)

OPEN_STATES = frozenset({State.PUBLISHED, State.WITHHELD})
"""A record in any other state is closed: re-submission cannot bring it back."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A normalised submission: codes parsed, facts validated and split by publication range."""

    item: Item
    uscc: str
    entity_name: str
    document_number: str
    decided_on: date
    valid_until: date | None
    authority_uscc: str
    authority_name: str
    source_uscc: str
    source_name: str
    legal_basis: str
    public_facts: dict[str, Any]
    shared_facts: dict[str, Any]
    restricted_facts: dict[str, Any]

    @property
    def natural_key(self) -> tuple[str, str, str, str]:
        return (self.uscc, self.item.code, self.document_number, self.authority_uscc)


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the law says of a draft: severity and why, and when it may be shown. Instants are UTC.

    An empty ``publicity_until`` of a published record means that no rule ends its publicity (a licence, for one).
    """

    severity: str | None
    explanation: tuple[dict[str, str], ...]
    rule_version: str
    state: State
    publicity_from: datetime | None
    publicity_until: datetime | None
    publicity_earliest_stop: date | None
    publicity_latest_stop: date | None
    repair_eligible_from: date | None


def check_dates(decided_on: date, valid_until: date | None, today: date) -> list[FieldError]:
    """A decision is not of the future, and its validity does not end before it (双公示 data rules, regulations 6.2)."""
    errors = []
    if decided_on > today:
        errors.append(FieldError("/decided_on", "decision-date-in-future"))
    if valid_until is not None and valid_until < decided_on:
        errors.append(FieldError("/valid_until", "ends-before-decision"))
    return errors


def assess(
    catalogue: Catalogue,
    item: Item,
    facts: dict[str, Any],
    *,
    decided_on: date,
    valid_until: date | None,
    first_published_at: datetime,
) -> Assessment:
    """Severity and publicity of a record under the rule in force when it was decided (Order 36, arts. of chapter 2).

    ``first_published_at`` is the instant it can first be shown: when it was first recorded, unless shown before.
    """
    published_on = day_of(first_published_at)
    severity = classify(item, rule_for(catalogue, "severity", item.severity_rule, decided_on, published_on), facts)
    rule = rule_for(catalogue, "publicity", item.publicity_rule, decided_on, published_on)
    window = publicity_window(
        rule, severity, decided_on=decided_on, first_published_on=published_on, valid_until=valid_until
    )
    reasons = (*severity.explanation, *window.explanation)
    stop = start_of(window.latest_stop) if window.latest_stop else None
    return Assessment(
        severity=severity.severity,
        explanation=tuple({"article": reason.article, "fact": reason.fact} for reason in reasons),
        rule_version=window.rule_version,
        state=State.PUBLISHED if window.published else State.WITHHELD,
        publicity_from=first_published_at if window.published else None,
        publicity_until=stop if window.published else None,
        publicity_earliest_stop=window.earliest_stop,
        publicity_latest_stop=window.latest_stop,
        repair_eligible_from=window.repair_eligible_from,
    )


def content_of(draft: Draft) -> bytes:
    """Canonical bytes (RFC 8785) of what the agency stated; equal bytes mean an unchanged re-submission.

    The source is left out: the same act pushed again through another platform is not a correction.
    """
    return canonical_json(
        {
            "authority_name": draft.authority_name,
            "authority_uscc": draft.authority_uscc,
            "decided_on": draft.decided_on.isoformat(),
            "document_number": draft.document_number,
            "entity_name": draft.entity_name,
            "item_code": draft.item.code,
            "legal_basis": draft.legal_basis,
            "public_facts": draft.public_facts,
            "restricted_facts": draft.restricted_facts,
            "shared_facts": draft.shared_facts,
            "uscc": draft.uscc,
            "valid_until": draft.valid_until.isoformat() if draft.valid_until else None,
        }
    )


def content_digest(content: bytes) -> bytes:
    """SHA-256 used to recognise an unchanged re-submission; it never leaves the registry (the log has salted ones)."""
    return hashlib.sha256(content).digest()


def is_visible(state: str, publicity_from: datetime | None, publicity_until: datetime | None, now: datetime) -> bool:
    """The publicity predicate: half-open, so a record is gone in the very instant its term ends."""
    return (
        state == State.PUBLISHED
        and publicity_from is not None
        and publicity_from <= now
        and (publicity_until is None or now < publicity_until)
    )
