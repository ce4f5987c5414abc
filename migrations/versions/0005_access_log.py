"""The access log: one row for each non-public file shown to somebody, by month, kept at least five years."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE access_log (
    uscc varchar(18) COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    id uuid NOT NULL,
    principal text NOT NULL,
    agency_uscc varchar(18) COLLATE "C",
    audience text COLLATE "C" NOT NULL,
    purpose text COLLATE "C" NOT NULL,
    case_reference text,
    route text COLLATE "C" NOT NULL,
    request_id text NOT NULL,
    disclosed_from timestamptz NOT NULL,
    PRIMARY KEY (uscc, at, id)
) PARTITION BY RANGE (at);
CREATE INDEX access_log_at ON access_log USING brin (at);
CREATE TABLE access_log_default PARTITION OF access_log DEFAULT;
GRANT SELECT, INSERT ON access_log TO credit_service;
CREATE TABLE access_count (
    agency_uscc varchar(18) COLLATE "C" NOT NULL,
    day date NOT NULL,
    accesses bigint NOT NULL,
    PRIMARY KEY (agency_uscc, day)
);
GRANT SELECT, INSERT, UPDATE ON access_count TO credit_service;
CREATE TABLE access_anomaly (
    agency_uscc varchar(18) COLLATE "C" NOT NULL,
    day date NOT NULL,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('over-quota', 'outside-duty')),
    accesses bigint NOT NULL,
    subjects bigint NOT NULL,
    outside bigint NOT NULL,
    found_at timestamptz NOT NULL,
    reviewed_at timestamptz,
    reviewed_by text,
    review text,
    PRIMARY KEY (agency_uscc, day, kind)
);
GRANT SELECT, INSERT, UPDATE ON access_anomaly TO credit_service;
ALTER TABLE agency ADD COLUMN daily_subjects integer;
"""

# The service may make room for the months to come and drop what the law no longer asks it to keep, and nothing else:
# it has neither UPDATE nor DELETE here, and both functions belong to the owner.
FUNCTIONS = """
CREATE FUNCTION make_access_log_months(from_day date, months integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    month date;
    part text;
    made integer := 0;
BEGIN
    FOR step IN 0 .. least(months, 24) - 1 LOOP
        month := (date_trunc('month', from_day) + make_interval(months => step))::date;
        part := 'access_log_' || to_char(month, 'YYYYMM');
        IF to_regclass(part) IS NULL AND NOT EXISTS (
            SELECT FROM access_log_default
            WHERE at >= month::timestamp AT TIME ZONE 'UTC'
              AND at < (month + interval '1 month')::timestamp AT TIME ZONE 'UTC'
        ) THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF access_log FOR VALUES FROM (%L) TO (%L)', part,
                month::text || ' 00:00:00+00', (month + interval '1 month')::date::text || ' 00:00:00+00');
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END
$$;
CREATE FUNCTION drop_access_log_before(cut date, today date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part record;
    dropped integer := 0;
BEGIN
    IF cut > today - interval '5 years' OR today > now() + interval '1 day' THEN
        RAISE EXCEPTION 'the access log is kept for five years' USING ERRCODE = 'check_violation';
    END IF;
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'access_log'::regclass AND c.relname ~ '^access_log_[0-9]{6}$'
          AND to_date(right(c.relname, 6), 'YYYYMM') + interval '1 month' <= cut
    LOOP
        EXECUTE format('DROP TABLE %I', part.relname);
        dropped := dropped + 1;
    END LOOP;
    DELETE FROM access_log_default WHERE at < cut::timestamp AT TIME ZONE 'UTC';
    RETURN dropped;
END
$$;
REVOKE ALL ON FUNCTION make_access_log_months, drop_access_log_before FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_access_log_months, drop_access_log_before TO credit_service;
"""


def upgrade() -> None:
    execute_script(TABLES)
    execute_script(FUNCTIONS)


def downgrade() -> None:
    execute_script(
        "DROP FUNCTION make_access_log_months; DROP FUNCTION drop_access_log_before;"
        "ALTER TABLE agency DROP COLUMN daily_subjects; DROP TABLE access_anomaly, access_count, access_log;"
    )
