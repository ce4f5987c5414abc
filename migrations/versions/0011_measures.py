"""Measures taken, their feedback and batch statistics; all append-only by privilege."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE measure_application (
    uscc varchar(18) COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    record_id uuid NOT NULL,
    measure text COLLATE "C" NOT NULL,
    scenario text COLLATE "C" NOT NULL,
    agency_uscc varchar(18) COLLATE "C" NOT NULL,
    department text NOT NULL,
    content text NOT NULL,
    finding text,
    amount numeric(20, 2),
    begins_on date NOT NULL,
    ends_on date,
    ends_at timestamptz,
    follows_record boolean NOT NULL,
    law json NOT NULL,
    edition text NOT NULL,
    applied_by text NOT NULL,
    applied_at timestamptz NOT NULL,
    PRIMARY KEY (uscc, id)
);
CREATE INDEX measure_application_id ON measure_application (id);
CREATE INDEX measure_application_agency ON measure_application (agency_uscc, applied_at DESC, id DESC);
CREATE INDEX measure_application_newest ON measure_application (applied_at DESC, id DESC);
CREATE TABLE measure_feedback (
    uscc varchar(18) COLLATE "C" NOT NULL,
    application_id uuid NOT NULL,
    id uuid NOT NULL,
    content text NOT NULL,
    explanation text,
    amount numeric(20, 2),
    department text NOT NULL,
    publisher text,
    made_by text NOT NULL,
    made_at timestamptz NOT NULL,
    PRIMARY KEY (uscc, application_id, id)
);
CREATE TABLE measure_lifting (
    uscc varchar(18) COLLATE "C" NOT NULL,
    application_id uuid NOT NULL,
    reason text COLLATE "C" NOT NULL,
    announced_at timestamptz NOT NULL,
    PRIMARY KEY (uscc, application_id)
);
CREATE TABLE measure_statistics (
    agency_uscc varchar(18) COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    source text NOT NULL,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('incentive', 'punishment')),
    year integer NOT NULL,
    category text NOT NULL,
    batch text,
    received bigint NOT NULL,
    processed bigint NOT NULL CHECK (processed <= received),
    made_by text NOT NULL,
    made_at timestamptz NOT NULL,
    PRIMARY KEY (agency_uscc, id)
);
CREATE INDEX measure_statistics_newest ON measure_statistics (made_at DESC, id DESC);
GRANT SELECT, INSERT ON measure_application, measure_feedback, measure_lifting, measure_statistics TO credit_service;
"""


def upgrade() -> None:
    execute_script(TABLES)


def downgrade() -> None:
    execute_script("DROP TABLE measure_statistics, measure_lifting, measure_feedback, measure_application;")
