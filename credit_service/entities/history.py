"""Entities and records in two times, as SQL: what held in law as of $2, by the versions recorded until $4.

What a record says is taken from its newest known version, since a correction holds from the beginning; where it stood
is taken from the newest known version whose state had begun. An annulled or withdrawn record's state begins with the
record itself, so with today's knowledge it was never there. Erased versions are empty and show nothing.

The past is no way around the law: what the public ($3) may not be shown now, at $5, it is not shown as of any day, and
what is no longer shared between agencies is not shared as of any day either. The subject and its supervisor see it.
"""

from __future__ import annotations

from credit_service.entities.archive import ARCHIVED

RECORD_AT = """
FROM record c
CROSS JOIN LATERAL (
    SELECT v.content, v.version, v.recorded_at FROM record_version v
    WHERE v.uscc = c.uscc AND v.record_id = c.id AND v.recorded_at <= $4
    ORDER BY v.version DESC LIMIT 1
) newest
CROSS JOIN LATERAL (
    SELECT v.standing, v.version FROM record_version v
    WHERE v.uscc = c.uscc AND v.record_id = c.id AND v.recorded_at <= $4
        AND (v.standing::json ->> 'state_from')::timestamptz <= $2
    ORDER BY v.version DESC LIMIT 1
) stood
CROSS JOIN LATERAL json_populate_record(
    json_populate_record(json_populate_record(NULL::public.record, newest.content::json), stood.standing::json),
    json_build_object('id', c.id, 'version', newest.version, 'recorded_at', c.recorded_at,
        'changed_at', newest.recorded_at)
) at
"""
"""A record ``c`` with ``at``: the columns of ``record`` as they were."""

MAY_BE_SHOWN = f"""
    CASE $3::text[]
        WHEN '{{public}}' THEN c.state = 'published' AND c.publicity_from <= $5::timestamptz
            AND $5 < coalesce(c.publicity_until, 'infinity')
        WHEN '{{agency}}' THEN c.state IN ('published', 'withheld') AND $5 < coalesce(c.disclosure_until, 'infinity')
        ELSE true END
    AND ($3 && '{{regulator,subject}}' OR NOT EXISTS (SELECT FROM entity g WHERE g.uscc = c.uscc AND {ARCHIVED}))
"""

RECORDS_AT = f"SELECT at.* {RECORD_AT} WHERE c.uscc = ANY($1::varchar[]) AND {MAY_BE_SHOWN}"

ENTITIES_AT = """
SELECT at.* FROM (
    SELECT DISTINCT ON (v.uscc) v.content, v.version FROM entity_version v
    WHERE v.uscc = ANY($1::varchar[]) AND v.recorded_at <= $4
    ORDER BY v.uscc, v.version DESC
) newest
CROSS JOIN LATERAL json_populate_record(
    json_populate_record(NULL::public.entity, newest.content::json), json_build_object('version', newest.version)
) at
"""

NAMES_AT = """entity_version v CROSS JOIN LATERAL json_to_recordset(v.content::json -> 'names')
    AS n (name text, used_from date, used_until date) WHERE v.uscc = e.uscc AND v.version = e.version"""
