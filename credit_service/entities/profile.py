"""The rendered profile: one statement writes what each audience is shown of some entities, at one instant.

Visibility is a predicate on time (``state = 'published' and publicity_from <= now < publicity_until``), so the
statement also works out ``fresh_until``: the next instant at which that predicate changes for any record of the entity.
A profile is never served past it. Whoever renders holds the entity's row lock, so an older rendering cannot overwrite a
newer one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from credit_service.entities import history
from credit_service.entities.archive import ARCHIVED

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

RECORDS_SHOWN = 100
"""Records that a profile holds, the newest decisions first; the rest is paged at /v1/entities/{uscc}/records."""
RECORDS_OF_A_REPORT = 10_000
"""Records that a report holds; one with more says that it is not complete."""

AUDIENCES = ("public", "agency", "regulator", "subject")

_LOCK = "SELECT uscc FROM entity WHERE uscc = ANY($1::varchar[]) ORDER BY uscc FOR NO KEY UPDATE"

_COUNTS = ", ".join(
    f"'{section.replace('-', '_')}', count(*) FILTER (WHERE section = '{section}' AND {{condition}})"
    for section in (
        "administrative",
        "trustworthy",
        "serious-dishonesty",
        "abnormal-operation",
        "commitment",
        "evaluation",
        "judicial",
        "other",
    )
)

_PUBLIC_MEMBERS = """
    'id', r.id, 'item_code', r.item_code, 'item_name_zh', i.name_zh, 'item_name_en', i.name_en,
    'polarity', i.polarity, 'list_colour', i.list_colour, 'section', i.section,
    'document_number', r.document_number, 'decided_on', r.decided_on, 'valid_until', r.valid_until,
    'authority_uscc', r.authority_uscc, 'authority_name', r.authority_name, 'source_name', r.source_name,
    'entity_name', r.entity_name, 'legal_basis', r.legal_basis, 'severity', r.severity,
    'publicity_from', r.publicity_from, 'publicity_until', r.publicity_until,
    'repair_eligible_from', r.repair_eligible_from, 'disputed_since', r.disputed_since, 'facts', r.public_facts"""

_DECLARATION = """CASE WHEN r.state = 'shielded' AND r.state_basis ->> 'declaration' IS NOT NULL THEN json_build_object(
            'text', r.state_basis ->> 'declaration', 'court_name', r.state_basis ->> 'court_name',
            'ruling_number', r.state_basis ->> 'ruling_number', 'ruled_on', r.state_basis ->> 'ruled_on')::text
        END"""

_RENDERED = f"""
WITH shown AS MATERIALIZED (
    SELECT r.uscc, i.section, i.list_colour, r.decided_on, r.id,
        r.state IN ('published', 'withheld') AND $2 < coalesce(r.disclosure_until, 'infinity') AS shared,
        coalesce(r.state = 'published' AND r.publicity_from <= $2
            AND $2 < coalesce(r.publicity_until, 'infinity'), false) AS visible,
        least(CASE WHEN r.state = 'published' AND r.publicity_from > $2 THEN r.publicity_from END,
              CASE WHEN r.state = 'published' AND r.publicity_until > $2 THEN r.publicity_until END,
              CASE WHEN r.disclosure_until > $2 THEN r.disclosure_until END) AS boundary,
        CASE WHEN $3::text[] <> '{{public}}' OR (r.state = 'published' AND r.publicity_from <= $2)
            THEN json_build_object({_PUBLIC_MEMBERS})::text END AS open_text,
        CASE WHEN $3::text[] <> '{{public}}' THEN json_build_object('state', r.state,
            'state_from', r.state_from, 'state_reason', r.state_reason, 'version', r.version,
            'recorded_at', r.recorded_at, 'changed_at', r.changed_at, 'source_uscc', r.source_uscc,
            'rule_version', r.rule_version,
            'explanation', r.explanation, 'shared_facts', r.shared_facts)::text END AS shared_text,
        r.restricted_facts::text AS restricted_text,
        {_DECLARATION} AS declaration
    FROM :records: r JOIN catalogue_item i ON i.code = r.item_code
    WHERE r.uscc = ANY($1::varchar[])
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY uscc, visible ORDER BY decided_on DESC, id) AS visible_rank,
        row_number() OVER (PARTITION BY uscc, shared ORDER BY decided_on DESC, id) AS shared_rank,
        row_number() OVER (PARTITION BY uscc ORDER BY decided_on DESC, id) AS rank
    FROM shown
), gathered AS (
    SELECT uscc,
        min(boundary) AS boundary, string_agg(DISTINCT declaration, ',') AS declarations,
        bool_or(visible AND list_colour = 'red') AS red, bool_or(visible AND list_colour = 'black') AS black,
        bool_or(shared AND list_colour = 'red') AS shared_red,
        bool_or(shared AND list_colour = 'black') AS shared_black,
        json_build_object('records', count(*) FILTER (WHERE visible), {_COUNTS.format(condition="visible")})::text
            AS public_counts,
        json_build_object('records', count(*) FILTER (WHERE shared), {_COUNTS.format(condition="shared")})::text
            AS shared_counts,
        json_build_object('records', count(*), {_COUNTS.format(condition="true")})::text AS whole_counts,
        string_agg(open_text, ',' ORDER BY decided_on DESC, id)
            FILTER (WHERE visible AND visible_rank <= :most:) AS public_records,
        string_agg(left(open_text, -1) || ',"visible_to_public":' || visible || ',' || substr(shared_text, 2), ','
            ORDER BY decided_on DESC, id)
            FILTER (WHERE 'agency' = ANY($3) AND shared AND shared_rank <= :most:) AS agency_records,
        string_agg(left(open_text, -1) || ',"visible_to_public":' || visible || ',' || left(substr(shared_text, 2), -1)
            || ',"restricted_facts":' || restricted_text || '}}', ','
            ORDER BY decided_on DESC, id)
            FILTER (WHERE $3 && '{{regulator,subject}}' AND rank <= :most:) AS whole_records
    FROM ranked GROUP BY uscc
), base AS MATERIALIZED (
    SELECT e.uscc, :archived: AS archived, coalesce(g.boundary, 'infinity') AS fresh_until,
        g.red, g.black, g.shared_red, g.shared_black, g.public_counts, g.shared_counts, g.whole_counts,
        g.public_records, g.agency_records, g.whole_records, g.declarations,
        left(json_build_object('uscc', e.uscc, 'name', e.name, 'category', e.category, 'division', e.division,
            'industry', e.industry, 'registration_status', e.registration_status,
            'established_on', e.established_on, 'deregistered_on', e.deregistered_on,
            'former_names', coalesce((SELECT json_agg(json_build_object('name', n.name, 'used_from', n.used_from,
                'used_until', n.used_until) ORDER BY n.used_until, n.name)
                FROM :names: AND n.used_until IS NOT NULL), '[]'::json),
            'quality_flags', e.quality_flags)::text, -1) AS head
    FROM :entities: e LEFT JOIN gathered g ON g.uscc = e.uscc
    WHERE e.uscc = ANY($1::varchar[])
), rendered AS (
    SELECT b.uscc, a.audience, b.fresh_until,
        CASE WHEN b.archived AND a.audience IN ('public', 'agency') THEN 410 ELSE 200 END AS status,
        b.head || :declared: || ',"audience":"' || a.audience
            || '","trust_incentive_subject":' || coalesce(a.red, false)
            || ',"distrust_punishment_subject":' || coalesce(a.black, false)
            || ',"summary":' || coalesce(a.counts, '{{"records" : 0}}')
            || ',"records":[' || coalesce(a.records, '') || ']}}' AS body
    FROM base b CROSS JOIN LATERAL (VALUES
        ('public', b.red, b.black, b.public_counts, b.public_records),
        ('agency', b.shared_red, b.shared_black, b.shared_counts, b.agency_records),
        ('regulator', b.shared_red, b.shared_black, b.whole_counts, b.whole_records),
        ('subject', b.shared_red, b.shared_black, b.whole_counts, b.whole_records)
    ) AS a (audience, red, black, counts, records)
    WHERE a.audience = ANY($3)
)
"""

RENDER = (
    _RENDERED.replace(":records:", "record")
    .replace(":entities:", "entity")
    .replace(":names:", "entity_name n WHERE n.uscc = e.uscc")
    .replace(":archived:", f"({ARCHIVED})")
    .replace(":most:", str(RECORDS_SHOWN))
    .replace(":declared:", "coalesce(',\"declarations\":[' || b.declarations || ']', '')")
    + """
INSERT INTO profile (uscc, audience, status, etag, fresh_until, rendered_at, body)
SELECT uscc, audience, status,
    '"' || lpad(to_hex(hashtextextended(body, 0)), 16, '0')
        || lpad(to_hex(hashtextextended(body, 1)), 16, '0') || '"',
    fresh_until, $2, convert_to(body, 'UTF8')
FROM rendered
ON CONFLICT (uscc, audience) DO UPDATE SET status = excluded.status, etag = excluded.etag,
    fresh_until = excluded.fresh_until, rendered_at = excluded.rendered_at, body = excluded.body
"""
)

_AT = (
    _RENDERED.replace(":records:", f"({history.RECORDS_AT})")
    .replace(":entities:", f"({history.ENTITIES_AT})")
    .replace(":names:", history.NAMES_AT)
    .replace(":archived:", f"EXISTS (SELECT FROM entity n WHERE n.uscc = e.uscc AND {ARCHIVED})")
    + "SELECT uscc, status, body FROM rendered"
)
AT = _AT.replace(":most:", str(RECORDS_SHOWN)).replace(":declared:", "''")
"""The same profile as of $2 from the versions known at $4; nothing is stored. Declarations are of the present file."""
_DECLARED_NOW = f"""coalesce((SELECT ',"declarations":[' || string_agg(DISTINCT {_DECLARATION}, ',') || ']'
    FROM record r WHERE r.uscc = b.uscc AND r.state = 'shielded'), '')"""
WHOLE_AT = _AT.replace(":most:", str(RECORDS_OF_A_REPORT)).replace(":declared:", _DECLARED_NOW)
"""The same with every record, and what is declared now: for reports."""

_CHANGED = "INSERT INTO entity_change (uscc) SELECT unnest($1::varchar[]) ON CONFLICT DO NOTHING"

_STALE = "UPDATE profile SET fresh_until = '-infinity' WHERE uscc = ANY($1::varchar[])"


async def lock(connection: AnyConnection, usccs: Sequence[str]) -> None:
    """Lock the entities' rows, in one order for everybody; every change to an entity or its records starts here."""
    await connection.fetch(_LOCK, usccs)


async def render(
    connection: AnyConnection, usccs: Sequence[str], now: datetime, audiences: Sequence[str] = AUDIENCES
) -> None:
    """Render the profiles of ``usccs`` as of ``now`` (UTC), inside the caller's transaction.

    Rendering for some ``audiences`` only is for bulk changes that have made the other rows stale: each of those is
    rendered when it is first read.
    """
    await lock(connection, usccs)
    await connection.execute(RENDER, usccs, now, audiences)


async def make_stale(connection: AnyConnection, usccs: Sequence[str]) -> None:
    """Forbid serving the profiles of ``usccs`` until they are rendered again: for bulk changes."""
    await connection.execute(_STALE, usccs)


async def note_changes(connection: AnyConnection, usccs: Sequence[str]) -> None:
    """Note that entities changed, for whoever judges them later; the caller holds their rows (``lock``).

    Whoever takes a note holds the entity's row as well, so a note can neither be lost nor be taken too early.
    """
    await connection.execute(_CHANGED, usccs)
