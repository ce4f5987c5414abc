"""Propagation: what the receivers of a changed record are owed, and their word that they carried it out."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE propagation (
    uscc varchar(18) COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    record_id uuid NOT NULL,
    record_version integer NOT NULL,
    change text COLLATE "C" NOT NULL,
    instruction text COLLATE "C" NOT NULL CHECK (instruction IN ('stop', 'correct', 'restore')),
    receiver_type text COLLATE "C" NOT NULL
        CHECK (receiver_type IN ('credit-china', 'enterprise-publicity-system', 'registration-place', 'agency')),
    receiver text COLLATE "C" NOT NULL,
    item_code text COLLATE "C" NOT NULL,
    document_number text NOT NULL,
    source_uscc varchar(18) COLLATE "C" NOT NULL,
    authority_uscc varchar(18) COLLATE "C" NOT NULL,
    caused_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    provisional boolean NOT NULL,
    rule_version text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    superseded_at timestamptz,
    acknowledged_at timestamptz,
    acknowledged_by text,
    carried_out_on date,
    receipt text,
    PRIMARY KEY (uscc, id),
    CONSTRAINT propagation_receiver UNIQUE (uscc, record_id, record_version, receiver_type, receiver)
);
CREATE INDEX propagation_id ON propagation (id);
CREATE INDEX propagation_open ON propagation (due_at, id) WHERE acknowledged_at IS NULL AND superseded_at IS NULL;
CREATE INDEX propagation_received ON propagation (receiver_type, receiver, due_at, id);
CREATE INDEX propagation_source ON propagation (source_uscc, due_at, id);
CREATE INDEX propagation_authority ON propagation (authority_uscc, due_at, id);
GRANT SELECT, INSERT, UPDATE ON propagation TO credit_service;
"""


def upgrade() -> None:
    execute_script(TABLES)


def downgrade() -> None:
    execute_script("DROP TABLE propagation;")
