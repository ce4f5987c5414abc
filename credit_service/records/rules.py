"""What a record says and may be shown: pure functions over the catalogue, without clock, session or I/O.

One submission and a million imported rows go through the same functions, so they can never be judged differently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from credit_service.accounts.rules import Audience
from credit_service.audit.events import canonical_json
from credit_service.catalogue.models import Catalogue, Item
from credit_service.catalogue.rule_models import NoticeRule
from credit_service.catalogue.rules import OPEN_ENDED_YEAR, Reason, add_period, classify, publicity_window, rule_for
from credit_service.notifications.rules import ServiceMeans
from credit_service.platform.days import day_of, start_of
from credit_service.platform.errors import FieldError, ProblemType
from credit_service.records.exclusions import holds
from credit_service.records.models import NoticeKind, Record, State

RECORD_REFUSED = ProblemType(
    "record-refused", 422, "记录不符合目录规则", "The record does not meet the catalogue's rules"
)
CONFLICT_OF_INTEREST = ProblemType(
    "conflict-of-interest", 409, "经办人应当回避", "This officer must stand aside (separation of duties)"
)
RECORD_CLOSED = ProblemType(
    "record-closed", 409, "记录已修复、撤销或归档", "The record is repaired, annulled, withdrawn or archived"
)
AGENCY_NOT_GRANTED = ProblemType(
    "agency-not-granted", 403, "单位未获该事项报送授权", "The agency may not submit this item for this division"
)

STATE_ORGAN = "11"
NATIONAL = "100000"
"""机关 in the registration category, and the division of the central authorities' codes."""
OPEN_STATES = frozenset({State.AWAITING_NOTICE, State.PUBLISHED, State.WITHHELD})
"""A record in any other state is closed: re-submission cannot bring it back."""
SHARED_STATES = frozenset({State.PUBLISHED, State.WITHHELD})
"""States in which agencies see each other's record (政务共享)."""


class Draft(NamedTuple):
    """A normalised submission: codes parsed, facts validated and split by publication range.

    A tuple, because a frozen dataclass of so many fields takes six times as long to make, and imports make millions.
    """

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
    notices: tuple[dict[str, Any], ...] = ()
    consent: dict[str, Any] | None = None
    publicity_grounds: dict[str, Any] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        return {**self.restricted_facts, **self.shared_facts, **self.public_facts}

    @property
    def natural_key(self) -> tuple[str, str, str, str]:
        return (self.uscc, self.item.code, self.document_number, self.authority_uscc)


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the law says of a draft: severity and why, and when it may be shown. Instants are UTC.

    An empty ``publicity_until`` of a published record means that no rule ends its publicity (a licence, for one).
    From ``disclosure_until`` on nobody but the subject and its supervisor is shown the record at all.
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
    disclosure_until: datetime | None


def needs_four_eyes(list_colour: str | None, severity: str | None) -> bool:
    """Removal from a serious list takes two officers."""
    return list_colour == "black" and severity == "serious"


def check_dates(decided_on: date, valid_until: date | None, today: date) -> list[FieldError]:
    """A decision is not of the future, and its validity does not end before it (双公示 data rules, regulations 6.2)."""
    errors = []
    if decided_on > today:
        errors.append(FieldError("/decided_on", "decision-date-in-future"))
    if valid_until is not None and valid_until < decided_on:
        errors.append(FieldError("/valid_until", "ends-before-decision"))
    return errors


RENUMBERED = "document-number-normalised"
"""What a receipt says of a row whose document number is stored with other brackets around its year than it gave."""
MASKED = "personal-information-masked"


def masked_warnings(names: Iterable[str]) -> list[str]:
    """What a receipt says of fields in which personal information was masked."""
    return [f"{MASKED}:{name}" for name in names]


def check_subject(item: Item, uscc: str) -> list[FieldError]:
    """Some items are about one kind of subject only, such as 政务诚信: bodies whose code begins with 11."""
    if item.subject_prefix is not None and not uscc.startswith(item.subject_prefix):
        return [FieldError("/uscc", f"{item.code}: code begins with {item.subject_prefix}")]
    return []


def notice_rule(catalogue: Catalogue, item: Item, decided_on: date) -> NoticeRule | None:
    """The notice rule a decision had to follow; ``None`` where none was in force yet on its date."""
    rule = rule_for(catalogue, "notice", item.notice_rule, decided_on, decided_on)
    return rule if rule is not None and rule.in_force(decided_on) else None


def missing_notices(
    catalogue: Catalogue, item: Item, decided_on: date, notices: Iterable[Mapping[str, Any]]
) -> tuple[str, ...]:
    """Notices without whose proof of service the record may not be published (两书同达; 行政处罚法 art. 44)."""
    rule = notice_rule(catalogue, item, decided_on)
    if rule is None or not rule.gate:
        return ()
    served = {notice["kind"] for notice in notices}
    return tuple(kind for kind in rule.notices if kind not in served)


def attested_notices(
    catalogue: Catalogue, item: Item, decided_on: date, attestation: str | None
) -> tuple[dict[str, Any], ...]:
    """Proof of notice for a row of a file whose agency vouches for the service of every notice the law asks for."""
    rule = notice_rule(catalogue, item, decided_on) if attestation is not None else None
    if rule is None:
        return ()
    day, means = decided_on.isoformat(), ServiceMeans.ATTESTED.value
    return tuple(
        {"document_number": None, "evidence": attestation, "kind": kind, "means": means, "served_on": day}
        for kind in rule.notices
    )


def check_notices(notices: Iterable[Mapping[str, Any]], decided_on: date, today: date) -> list[FieldError]:
    """The notice of the intended decision comes before the decision (行政处罚法 art. 44), and none from the future."""
    errors = []
    for index, notice in enumerate(notices):
        served_on = date.fromisoformat(notice["served_on"])
        if served_on > today:
            errors.append(FieldError(f"/notices/{index}/served_on", "service-date-in-future"))
        if notice["kind"] == NoticeKind.FACTS_GROUNDS_AND_RIGHTS and served_on > decided_on:
            errors.append(FieldError(f"/notices/{index}/served_on", "行政处罚法第四十四条: before the decision"))
    return errors


_LEVELS = {"county": "district", "city": "city", "province": "province"}


def _is_above(higher: str, lower: str) -> bool:
    """Whether an authority with one code can stand over another's: a state organ, of a wider division or the nation's.

    Of a county's division nobody is above. Zones whose authority bears their city's division are under that city.
    """
    division, scope = higher[2:8], higher[2:8].removesuffix("00").removesuffix("00")
    wider = division == NATIONAL or (len(scope) < len(division) and lower[2:8].startswith(scope))
    return higher != lower and higher.startswith(STATE_ORGAN) and wider


def check_consent(
    catalogue: Catalogue, item: Item, decided_on: date, level: str, authority: str, consent: Mapping[str, Any] | None
) -> list[FieldError]:
    """A listing by an authority of some levels needs the consent of the next higher one (Order 44 art. 22).

    ``authority`` is the code of the one that decides: nobody consents to its own decision.
    """
    rule = notice_rule(catalogue, item, decided_on)
    needed = {_LEVELS[name] for name in rule.consent_of_higher_authority_for} if rule is not None else set()
    if level in needed and consent is None:
        return [FieldError("/consent", f"consent of the next higher authority ({rule.version if rule else ''})")]
    if consent is not None and date.fromisoformat(consent["consented_on"]) > decided_on:
        return [FieldError("/consent/consented_on", "consent comes before the decision")]
    if level in needed and consent is not None and not _is_above(consent["authority_uscc"], authority):
        return [FieldError("/consent/authority_uscc", "a higher authority than the one that decides")]
    return []


def assess(catalogue: Catalogue, draft: Draft, *, first_published_at: datetime) -> Assessment:
    """Severity and publicity of a record under the rule in force when it was decided (Order 36, chapter 2).

    ``first_published_at`` is the instant it can first be shown: when it was first recorded, or the proof of notice came
    in, unless shown before. Without the notices the law asks for nothing is shown and the window is still open.
    """
    item, decided_on = draft.item, draft.decided_on
    published_on = day_of(first_published_at)
    severity = classify(
        item, rule_for(catalogue, "severity", item.severity_rule, decided_on, published_on), draft.facts
    )
    grounds = draft.publicity_grounds or {}
    window = publicity_window(
        rule_for(catalogue, "publicity", item.publicity_rule, decided_on, published_on),
        severity,
        decided_on=decided_on,
        first_published_on=published_on,
        valid_until=draft.valid_until,
        exceptionally_published=bool(grounds.get("necessary_because")),
        auto_stop_suppressed=bool(grounds.get("uncorrected_because")),
    )
    meant_for_public = item.public_if is None or holds(item.public_if, draft.facts)
    published = window.published and meant_for_public
    missing = missing_notices(catalogue, item, decided_on, draft.notices) if published else ()
    shown = published and not missing
    stop = start_of(window.latest_stop) if window.latest_stop else None
    return Assessment(
        severity=severity.severity,
        explanation=_explained(draft, (*severity.explanation, *window.explanation), missing, meant_for_public),
        rule_version=window.rule_version,
        state=State.PUBLISHED if shown else State.AWAITING_NOTICE if missing else State.WITHHELD,
        publicity_from=first_published_at if shown else None,
        publicity_until=stop if shown else None,
        publicity_earliest_stop=None if missing else window.earliest_stop,
        publicity_latest_stop=None if missing else window.latest_stop,
        repair_eligible_from=None if missing else window.repair_eligible_from,
        disclosure_until=_disclosure_until(
            catalogue, draft, stop if published else None, endless=shown and stop is None
        ),
    )


def _explained(
    draft: Draft, reasons: Iterable[Reason], missing: Iterable[str], meant_for_public: bool
) -> tuple[dict[str, str], ...]:
    """Each step of an assessment: the article, and the fact that met it."""
    explained = [{"article": reason.article, "fact": reason.fact} for reason in reasons]
    if not meant_for_public:
        named = "、".join(str(draft.facts.get(name)) for name in draft.item.public_if or ())
        explained.append({"article": "public_if", "fact": named})
    return (*explained, *({"article": "notice", "fact": f"not served: {kind}"} for kind in missing))


def _disclosure_until(catalogue: Catalogue, draft: Draft, stop: datetime | None, *, endless: bool) -> datetime | None:
    """披露期限: the instant from which an adverse record is no longer disclosed (上海 art. 35 and others: five years).

    Counted from the finding, or from the end of a statutory term that runs longer; never before publicity ends, and
    not at all while a listing goes on without an end (河南 art. 19: extended while still listed).
    """
    rule = rule_for(catalogue, "retention", draft.item.retention_rule, draft.decided_on, draft.decided_on)
    if rule is None or endless:
        return None
    ends_on = draft.decided_on
    if draft.valid_until is not None and draft.valid_until.year < OPEN_ENDED_YEAR:
        ends_on = max(ends_on, draft.valid_until)
    limit = start_of(add_period(ends_on, rule.disclosure_maximum))
    return max(limit, stop) if stop is not None else limit


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


def is_shared(state: str, disclosure_until: datetime | None, now: datetime) -> bool:
    """Whether other agencies are shown it: until repair, annulment or withdrawal, and within the disclosure limit."""
    return state in SHARED_STATES and (disclosure_until is None or now < disclosure_until)


def may_see(record: Record, audience: Audience, now: datetime) -> bool:
    """Whether an audience is shown the record of an entity that is not archived."""
    if audience is Audience.PUBLIC:
        return is_visible(record.state, record.publicity_from, record.publicity_until, now)
    return audience is not Audience.AGENCY or is_shared(record.state, record.disclosure_until, now)
