"""The registry: accounts, entities, records with their versions, profiles, imports, audit events, jobs."""

from __future__ import annotations

from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment

from credit_service.platform.migration import execute_script

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The role is the cluster's, not the database's: another registry on the same server may already have made it.
ROLE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'credit_service') THEN
        CREATE ROLE credit_service NOLOGIN;
    END IF;
END
$$;
"""

ACCOUNTS = """
CREATE TABLE agency (
    uscc varchar(18) COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    division varchar(6) COLLATE "C" NOT NULL,
    level text NOT NULL CHECK (level IN ('national', 'province', 'city', 'district')),
    parent_uscc varchar(18) COLLATE "C",
    successor_uscc varchar(18) COLLATE "C",
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL
);
CREATE TABLE agency_grant (
    agency_uscc varchar(18) COLLATE "C" NOT NULL REFERENCES agency (uscc),
    item_code text COLLATE "C" NOT NULL,
    division_prefix varchar(6) COLLATE "C" NOT NULL,
    PRIMARY KEY (agency_uscc, item_code, division_prefix)
);
CREATE TABLE client (
    client_id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    role text NOT NULL,
    agency_uscc varchar(18) COLLATE "C" REFERENCES agency (uscc),
    entity_uscc varchar(18) COLLATE "C",
    secret_hash text NOT NULL,
    created_at timestamptz NOT NULL,
    disabled_at timestamptz
);
"""

ENTITIES = """
CREATE TABLE entity (
    uscc varchar(18) COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    category varchar(2) COLLATE "C" NOT NULL,
    division varchar(6) COLLATE "C" NOT NULL,
    industry varchar(5) COLLATE "C",
    registration_status text NOT NULL,
    established_on date,
    deregistered_on date,
    archived_at timestamptz,
    quality_flags text[] NOT NULL DEFAULT '{}',
    quality_reason text,
    source text NOT NULL CHECK (source IN ('registrar', 'record')),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE TABLE entity_name (
    uscc varchar(18) COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    used_from date,
    used_until date,
    PRIMARY KEY (uscc, id)
);
CREATE TABLE profile (
    uscc varchar(18) COLLATE "C" NOT NULL,
    audience text COLLATE "C" NOT NULL CHECK (audience IN ('public', 'agency', 'regulator', 'subject')),
    status smallint NOT NULL,
    etag text COLLATE "C" NOT NULL,
    fresh_until timestamptz NOT NULL,
    rendered_at timestamptz NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (uscc, audience)
) WITH (fillfactor = 85);
CREATE INDEX profile_fresh_until ON profile (fresh_until) WHERE fresh_until <> 'infinity';
"""

RECORDS = """
CREATE TABLE catalogue_item (
    code text COLLATE "C" PRIMARY KEY,
    name_zh text NOT NULL,
    name_en text NOT NULL,
    kind text NOT NULL,
    polarity text NOT NULL,
    list_colour text,
    section text NOT NULL,
    edition text NOT NULL
);
CREATE TABLE record (
    uscc varchar(18) COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    item_code text COLLATE "C" NOT NULL,
    document_number text COLLATE "C" NOT NULL,
    authority_uscc varchar(18) COLLATE "C" NOT NULL,
    authority_name text NOT NULL,
    source_uscc varchar(18) COLLATE "C" NOT NULL,
    source_name text NOT NULL,
    entity_name text NOT NULL,
    decided_on date NOT NULL,
    valid_until date,
    legal_basis text NOT NULL,
    public_facts json NOT NULL,
    shared_facts json NOT NULL,
    restricted_facts json NOT NULL,
    severity text,
    explanation json NOT NULL,
    rule_version text NOT NULL,
    state text COLLATE "C" NOT NULL,
    publicity_from timestamptz,
    publicity_until timestamptz,
    publicity_earliest_stop date,
    publicity_latest_stop date,
    repair_eligible_from date,
    version integer NOT NULL,
    content_digest bytea NOT NULL,
    recorded_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (uscc, id),
    CONSTRAINT record_natural_key UNIQUE (uscc, item_code, document_number, authority_uscc)
);
CREATE INDEX record_id ON record (id);
CREATE INDEX record_item ON record (item_code, decided_on DESC, id);
CREATE TABLE record_version (
    uscc varchar(18) COLLATE "C" NOT NULL,
    record_id uuid NOT NULL,
    version integer NOT NULL,
    recorded_at timestamptz NOT NULL,
    change text NOT NULL,
    reason text,
    actor text NOT NULL,
    request_id text NOT NULL,
    salt bytea NOT NULL,
    commitment bytea NOT NULL,
    content text NOT NULL,
    PRIMARY KEY (uscc, record_id, version)
);
"""

AUDIT = """
CREATE TABLE audit_event (
    uscc varchar(18) COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    action text COLLATE "C" NOT NULL,
    subject_type text COLLATE "C" NOT NULL,
    subject_id text COLLATE "C" NOT NULL,
    actor text NOT NULL,
    canonical bytea NOT NULL,
    PRIMARY KEY (uscc, id)
);
"""

REQUESTS = """
CREATE TABLE idempotency_key (
    principal text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    request_digest bytea NOT NULL,
    status smallint NOT NULL,
    headers json NOT NULL,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_key_created_at ON idempotency_key (created_at);
CREATE TABLE import (
    id uuid PRIMARY KEY,
    agency_uscc varchar(18) COLLATE "C" NOT NULL,
    actor text NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    template text NOT NULL,
    atomicity text NOT NULL CHECK (atomicity IN ('row', 'file')),
    file_name text NOT NULL,
    state text NOT NULL CHECK (state IN ('receiving', 'interrupted', 'completed', 'refused')),
    rows_done bigint NOT NULL DEFAULT 0,
    stored bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    corrected bigint NOT NULL DEFAULT 0,
    refused bigint NOT NULL DEFAULT 0,
    natural_person bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT import_request UNIQUE (agency_uscc, idempotency_key)
);
CREATE TABLE import_receipt (
    import_id uuid NOT NULL,
    row_number bigint NOT NULL,
    outcome text NOT NULL,
    uscc varchar(18) COLLATE "C",
    record_id uuid,
    errors json,
    warnings json,
    PRIMARY KEY (import_id, row_number)
);
"""

# History is append-only by privilege: no UPDATE, DELETE or TRUNCATE on record_version and audit_event, for anybody
# but the owner, whom the service never is.
GRANTS = """
GRANT USAGE ON SCHEMA public TO credit_service;
GRANT SELECT, INSERT ON audit_event, record_version TO credit_service;
GRANT SELECT, INSERT, UPDATE ON agency, client, entity, entity_name, profile, record, import TO credit_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON agency_grant, idempotency_key, import_receipt TO credit_service;
GRANT DELETE ON profile TO credit_service;
GRANT SELECT ON catalogue_item, alembic_version TO credit_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON pgqueuer, pgqueuer_log, pgqueuer_schedules, pgqueuer_statistics
    TO credit_service;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO credit_service;
"""


def upgrade() -> None:
    for script in (ROLE, ACCOUNTS, ENTITIES, RECORDS, AUDIT, REQUESTS):
        execute_script(script)
    execute_script(QueryBuilderEnvironment().build_install_query())
    execute_script(GRANTS)


def downgrade() -> None:
    execute_script(QueryBuilderEnvironment().build_uninstall_query())
    execute_script(
        "DROP TABLE import_receipt, import, idempotency_key, audit_event, record_version, record, catalogue_item,"
        " profile, entity_name, entity, client, agency_grant, agency;"
    )
    # Privileges on what other registries of the cluster own stay, and so does the role.
    execute_script(
        "REVOKE USAGE ON SCHEMA public FROM credit_service; REVOKE SELECT ON alembic_version FROM credit_service;"
    )
