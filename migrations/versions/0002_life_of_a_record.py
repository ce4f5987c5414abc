"""The life of a record: where it stands and why, proof of notice, history in two times, disclosure limit, erasure."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

RECORD = """
ALTER TABLE record
    ADD COLUMN state_from timestamptz,
    ADD COLUMN state_reason text,
    ADD COLUMN state_basis json,
    ADD COLUMN notices json NOT NULL DEFAULT '[]',
    ADD COLUMN consent json,
    ADD COLUMN publicity_grounds json,
    ADD COLUMN disclosure_until timestamptz,
    ADD COLUMN disputed_since timestamptz;
UPDATE record SET state_from = coalesce(publicity_from, recorded_at);
ALTER TABLE record ALTER COLUMN state_from SET NOT NULL, ALTER COLUMN notices DROP DEFAULT;
CREATE INDEX record_disclosure_until ON record (disclosure_until)
    WHERE disclosure_until IS NOT NULL AND state <> 'archived';
ALTER TABLE record_version
    ADD COLUMN standing text,
    ALTER COLUMN salt DROP NOT NULL,
    ALTER COLUMN content DROP NOT NULL;
ALTER TABLE import ADD COLUMN notice_attestation text;
"""

ENTITY_VERSION = """
CREATE TABLE entity_version (
    uscc varchar(18) COLLATE "C" NOT NULL,
    version integer NOT NULL,
    recorded_at timestamptz NOT NULL,
    change text NOT NULL,
    actor text NOT NULL,
    request_id text NOT NULL,
    content text NOT NULL,
    PRIMARY KEY (uscc, version)
);
GRANT SELECT, INSERT ON entity_version TO credit_service;
"""

# The service may not change history, but the law may ask it to forget. This function is the only way: it belongs to
# the owner, empties the versions of one archived record whose disclosure limit has passed, and nothing else.
ERASURE = """
CREATE FUNCTION erase_record(erased_uscc varchar, erased_id uuid, erased_at timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    emptied integer;
BEGIN
    UPDATE record SET legal_basis = '', entity_name = '', public_facts = '{}', shared_facts = '{}',
        restricted_facts = '{}', explanation = '[]', notices = '[]', consent = NULL, state_basis = NULL,
        publicity_grounds = NULL
    WHERE uscc = erased_uscc AND id = erased_id AND state = 'archived' AND disclosure_until <= erased_at;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'record % is not archived or its disclosure limit has not passed', erased_id
            USING ERRCODE = 'check_violation';
    END IF;
    UPDATE record_version SET salt = NULL, content = NULL, standing = NULL
    WHERE uscc = erased_uscc AND record_id = erased_id AND content IS NOT NULL;
    GET DIAGNOSTICS emptied = ROW_COUNT;
    RETURN emptied;
END
$$;
REVOKE ALL ON FUNCTION erase_record FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erase_record TO credit_service;
"""

PROCEEDINGS = """
CREATE TABLE proceeding (
    uscc varchar(18) COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    item_code text COLLATE "C" NOT NULL,
    agency_uscc varchar(18) COLLATE "C" NOT NULL,
    opened_by text NOT NULL,
    state text COLLATE "C" NOT NULL,
    content json NOT NULL,
    notice json,
    statement_until date,
    statement json,
    response text,
    record_id uuid,
    reason text,
    salt bytea NOT NULL,
    version integer NOT NULL,
    opened_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (uscc, id)
);
CREATE INDEX proceeding_id ON proceeding (id);
CREATE INDEX proceeding_agency ON proceeding (agency_uscc, state, changed_at DESC);
GRANT SELECT, INSERT, UPDATE ON proceeding TO credit_service;
"""


def upgrade() -> None:
    for script in (RECORD, ENTITY_VERSION, ERASURE, PROCEEDINGS):
        execute_script(script)


def downgrade() -> None:
    execute_script(
        "DROP TABLE proceeding; DROP FUNCTION erase_record; DROP TABLE entity_version;"
        "DROP INDEX record_disclosure_until;"
        "ALTER TABLE import DROP COLUMN notice_attestation;"
        "DELETE FROM record_version WHERE content IS NULL;"
        "ALTER TABLE record_version DROP COLUMN standing, ALTER COLUMN salt SET NOT NULL,"
        " ALTER COLUMN content SET NOT NULL;"
        "ALTER TABLE record DROP COLUMN state_from, DROP COLUMN state_reason, DROP COLUMN state_basis,"
        " DROP COLUMN notices, DROP COLUMN consent, DROP COLUMN publicity_grounds, DROP COLUMN disclosure_until,"
        " DROP COLUMN disputed_since;"
    )
