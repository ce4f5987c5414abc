"""What led to an erased record goes with it: its proceeding, the reasons given there, the digest of its content."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# Bound to a record that erase_record has emptied, as erase_record is to one that is archived and past its limit. Events
# and commitments stay; an unsalted digest would let whoever guesses the content find the guess confirmed.
FORGET = """
CREATE FUNCTION forget_proceedings(erased_uscc varchar, erased_id uuid) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    forgotten text[];
BEGIN
    UPDATE record SET content_digest = ''
    WHERE uscc = erased_uscc AND id = erased_id AND state = 'archived' AND entity_name = '';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'record % has not been erased', erased_id USING ERRCODE = 'check_violation';
    END IF;
    WITH emptied AS (
        UPDATE proceeding SET content = '{}', notice = NULL, statement = NULL, response = NULL, reason = NULL, salt = ''
        WHERE uscc = erased_uscc AND record_id = erased_id RETURNING id::text
    ) SELECT coalesce(array_agg(id), '{}') INTO forgotten FROM emptied;
    UPDATE audit_event SET reason = NULL, reason_salt = NULL
    WHERE uscc = erased_uscc AND subject_type = 'proceeding' AND subject_id = ANY(forgotten)
        AND reason IS NOT NULL;
    RETURN cardinality(forgotten);
END
$$;
REVOKE ALL ON FUNCTION forget_proceedings FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_proceedings TO credit_service;
"""


def upgrade() -> None:
    execute_script(FORGET)


def downgrade() -> None:
    execute_script("DROP FUNCTION forget_proceedings")
