"""What stands out in the access log: reading beyond the quota, and bulk reading outside an agency's duty."""

from __future__ import annotations

from datetime import datetime, timedelta

from credit_service.platform.database import Database
from credit_service.platform.days import day_of, start_of

FEWEST_OUTSIDE = 100
"""Fewer files outside the agency's divisions in a day are nobody's bulk reading."""

# An agency's duty is where it may submit for, and the division it is of: two digits of a province, four of a city.
_FIND = """
INSERT INTO access_anomaly (agency_uscc, day, kind, accesses, subjects, outside, found_at)
SELECT found.agency_uscc, $3::date, kinds.kind, found.accesses, found.subjects, found.outside, $4
FROM (
    SELECT l.agency_uscc, count(*) AS accesses, count(DISTINCT l.uscc) AS subjects,
        count(DISTINCT l.uscc) FILTER (WHERE e.uscc IS NOT NULL AND NOT (
            starts_with(e.division, CASE a.level WHEN 'national' THEN '' WHEN 'province' THEN left(a.division, 2)
                WHEN 'city' THEN left(a.division, 4) ELSE a.division END)
            OR EXISTS (SELECT FROM agency_grant g
                WHERE g.agency_uscc = a.uscc AND starts_with(e.division, g.division_prefix))
        )) AS outside,
        coalesce(a.daily_subjects, $6) AS quota
    FROM access_log l JOIN agency a ON a.uscc = l.agency_uscc LEFT JOIN entity e ON e.uscc = l.uscc
    WHERE l.at >= $1 AND l.at < $2
    GROUP BY l.agency_uscc, a.uscc
) AS found
CROSS JOIN LATERAL (
    SELECT 'over-quota' AS kind WHERE found.accesses >= found.quota
    UNION ALL SELECT 'outside-duty' WHERE found.outside >= $5 AND 2 * found.outside > found.subjects
) AS kinds
ON CONFLICT (agency_uscc, day, kind) DO UPDATE
    SET accesses = excluded.accesses, subjects = excluded.subjects, outside = excluded.outside
"""


async def find_anomalies(database: Database, now: datetime, *, default_quota: int) -> None:
    """Judge today and yesterday anew. Doing it twice changes nothing; a review that was entered stays."""
    pool = await database.pool()
    for day in (day_of(now) - timedelta(days=1), day_of(now)):
        begin, end = start_of(day), start_of(day + timedelta(days=1))
        await pool.execute(_FIND, begin, end, day, now, FEWEST_OUTSIDE, default_quota)
