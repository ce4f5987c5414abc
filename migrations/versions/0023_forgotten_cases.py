"""What was said about an erased record in its cases goes with it: applications, findings, notices, files, reasons."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

# Bound to an erased record, as forget_proceedings is. Salts go with the content, so that a commitment in the log
# confirms no guess; the bytes that the log hashed stay. An attachment's content is collected once no row names it.
# Of a service on paper the means and the day stay: they prove that a notice was served, not what it said.
FORGET = """
CREATE FUNCTION forget_cases(erased_uscc varchar, erased_id uuid) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    cases uuid[];
    notices uuid[];
    files text[];
BEGIN
    PERFORM FROM record WHERE uscc = erased_uscc AND id = erased_id AND state = 'archived' AND entity_name = '';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'record % has not been erased', erased_id USING ERRCODE = 'check_violation';
    END IF;
    WITH emptied AS (
        UPDATE workflow_case SET content = '{}', findings = '[]', salt = ''
        WHERE uscc = erased_uscc AND record_id = erased_id RETURNING id
    ) SELECT coalesce(array_agg(id), '{}') INTO cases FROM emptied;
    WITH emptied AS (
        UPDATE notification SET subject = '', announcement = '', body = '', salt = '', next_attempt_at = NULL
        WHERE uscc = erased_uscc AND case_type IN ('repair', 'objection') AND case_id = ANY (cases) RETURNING id
    ) SELECT coalesce(array_agg(id), '{}') INTO notices FROM emptied;
    UPDATE notification_delivery SET next_attempt_at = NULL, detail = CASE WHEN channel = 'paper' THEN
            json_build_object('means', detail -> 'means', 'served_on', detail -> 'served_on', 'evidence', '')
        ELSE '{}'::json END
    WHERE uscc = erased_uscc AND notification_id = ANY (notices);
    WITH removed AS (
        DELETE FROM attachment
        WHERE uscc = erased_uscc AND subject_type IN ('repair', 'objection') AND subject_id = ANY (cases)
        RETURNING id::text
    ) SELECT coalesce(array_agg(id), '{}') INTO files FROM removed;
    UPDATE audit_event SET reason = NULL, reason_salt = NULL
    WHERE uscc = erased_uscc AND reason IS NOT NULL AND (
        (subject_type IN ('repair', 'objection') AND subject_id = ANY (cases::text[]))
        OR (subject_type = 'notification' AND subject_id = ANY (notices::text[]))
        OR (subject_type = 'attachment' AND subject_id = ANY (files))
        OR (subject_type = 'deadline' AND subject_id IN (
            SELECT d.id::text FROM stage_deadline d
            WHERE d.uscc = erased_uscc AND d.case_type IN ('repair', 'objection') AND d.case_id = ANY (cases)))
    );
    RETURN cardinality(cases);
END
$$;
REVOKE ALL ON FUNCTION forget_cases FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_cases TO credit_service;
"""


def upgrade() -> None:
    execute_script(FORGET)


def downgrade() -> None:
    execute_script("DROP FUNCTION forget_cases")
