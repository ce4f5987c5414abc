"""The language of an owner's notices; what the registry served about an erased record is forgotten with it."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

LANGUAGE = """
ALTER TABLE contact ADD COLUMN language text COLLATE "C" NOT NULL DEFAULT 'zh';
ALTER TABLE contact ALTER COLUMN language DROP DEFAULT;
"""
# Bound to an erased record, as forget_cases is. The notices of its cases are told in migration 0023.
FORGET = """
CREATE FUNCTION forget_notices(erased_uscc varchar, erased_id uuid) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    notices uuid[];
BEGIN
    PERFORM FROM record WHERE uscc = erased_uscc AND id = erased_id AND state = 'archived' AND entity_name = '';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'record % has not been erased', erased_id USING ERRCODE = 'check_violation';
    END IF;
    WITH emptied AS (
        UPDATE notification SET subject = '', announcement = '', body = '', salt = '', next_attempt_at = NULL
        WHERE uscc = erased_uscc AND (
            (case_type = 'record' AND case_id = erased_id)
            OR (case_type = 'proceeding' AND case_id IN (
                SELECT id FROM proceeding WHERE uscc = erased_uscc AND record_id = erased_id))
        ) RETURNING id
    ) SELECT coalesce(array_agg(id), '{}') INTO notices FROM emptied;
    UPDATE notification_delivery SET next_attempt_at = NULL, detail = CASE WHEN channel = 'paper' THEN
            json_build_object('means', detail -> 'means', 'served_on', detail -> 'served_on', 'evidence', '')
        ELSE '{}'::json END
    WHERE uscc = erased_uscc AND notification_id = ANY (notices);
    UPDATE audit_event SET reason = NULL, reason_salt = NULL
    WHERE uscc = erased_uscc AND subject_type = 'notification' AND subject_id = ANY (notices::text[])
        AND reason IS NOT NULL;
    RETURN cardinality(notices);
END
$$;
REVOKE ALL ON FUNCTION forget_notices FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_notices TO credit_service;
"""


def upgrade() -> None:
    execute_script(LANGUAGE + FORGET)


def downgrade() -> None:
    execute_script("DROP FUNCTION forget_notices; ALTER TABLE contact DROP COLUMN language")
