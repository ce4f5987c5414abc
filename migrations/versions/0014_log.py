"""The transparency log: who acted beside the event, the order of all events, their Merkle tree and its checkpoints."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# Events of schema audit-event/1 say who acted in their bytes and keep those: nothing is ever re-derived.
EVENTS = """
ALTER TABLE audit_event
    ADD COLUMN attribution bytea,
    ADD COLUMN salt bytea,
    ADD COLUMN reason text,
    ADD COLUMN reason_salt bytea,
    ADD COLUMN txid xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX audit_event_txid ON audit_event (txid);
"""

LOG = """
CREATE TABLE log_shard (
    number smallint PRIMARY KEY,
    origin text NOT NULL UNIQUE,
    first_sequence bigint NOT NULL UNIQUE,
    opened_at timestamptz NOT NULL
);
CREATE TABLE log_entry (
    sequence bigint PRIMARY KEY CHECK (sequence >= 0),
    uscc varchar(18) COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    leaf_hash bytea NOT NULL,
    CONSTRAINT log_entry_event UNIQUE (uscc, id)
);
CREATE TABLE log_tile (
    shard smallint NOT NULL,
    level smallint NOT NULL,
    number bigint NOT NULL,
    hashes bytea NOT NULL CHECK (length(hashes) = 8192),
    root bytea NOT NULL,
    PRIMARY KEY (shard, level, number)
);
ALTER TABLE log_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;
CREATE TABLE log_checkpoint (
    shard smallint NOT NULL,
    size bigint NOT NULL,
    root bytea NOT NULL,
    note text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (shard, size)
);
CREATE TABLE log_cosignature (
    shard smallint NOT NULL,
    size bigint NOT NULL,
    witness text COLLATE "C" NOT NULL,
    line text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (shard, size, witness)
);
CREATE TABLE log_key (
    vkey text COLLATE "C" PRIMARY KEY,
    created_at timestamptz NOT NULL
);
CREATE TABLE log_progress (
    single boolean PRIMARY KEY CHECK (single),
    txid xid8 NOT NULL,
    cluster bigint NOT NULL
);
GRANT SELECT, INSERT ON log_shard, log_entry, log_tile, log_checkpoint, log_cosignature, log_key TO credit_service;
GRANT SELECT, INSERT, UPDATE ON log_progress TO credit_service;
"""

# As migration 0002 made it, and now the reasons given for what happened to the record go too.
ERASURE = """
CREATE OR REPLACE FUNCTION erase_record(erased_uscc varchar, erased_id uuid, erased_at timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    emptied integer;
BEGIN
    UPDATE record SET legal_basis = '', entity_name = '', public_facts = '{}', shared_facts = '{}',
        restricted_facts = '{}', explanation = '[]', notices = '[]', consent = NULL, state_basis = NULL,
        publicity_grounds = NULL {more}
    WHERE uscc = erased_uscc AND id = erased_id AND state = 'archived' AND disclosure_until <= erased_at;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'record % is not archived or its disclosure limit has not passed', erased_id
            USING ERRCODE = 'check_violation';
    END IF;
    UPDATE record_version SET salt = NULL, content = NULL, standing = NULL {more_version}
    WHERE uscc = erased_uscc AND record_id = erased_id AND content IS NOT NULL;
    GET DIAGNOSTICS emptied = ROW_COUNT;
    {events}
    RETURN emptied;
END
$$;
"""
FORGET_REASONS = """
    UPDATE audit_event SET reason = NULL, reason_salt = NULL
    WHERE uscc = erased_uscc AND subject_type = 'record' AND subject_id = erased_id::text AND reason IS NOT NULL;
"""


def _erasure(more: str, more_version: str, events: str) -> str:
    return ERASURE.replace("{more}", more).replace("{more_version}", more_version).replace("{events}", events)


def upgrade() -> None:
    for script in (EVENTS, LOG, _erasure(", state_reason = NULL", ", reason = NULL", FORGET_REASONS)):
        execute_script(script)


def downgrade() -> None:
    execute_script(_erasure("", "", ""))
    execute_script(
        "DROP TABLE log_progress, log_key, log_cosignature, log_checkpoint, log_tile, log_entry, log_shard;"
        "ALTER TABLE audit_event DROP COLUMN txid, DROP COLUMN attribution, DROP COLUMN salt, DROP COLUMN reason,"
        " DROP COLUMN reason_salt;"
    )
