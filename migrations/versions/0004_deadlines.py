"""Time-limits of stages, and the notices that the working-day calendar consists of."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE calendar_notice (
    number integer NOT NULL PRIMARY KEY,
    id uuid NOT NULL,
    document text NOT NULL,
    announces integer,
    rest date[] NOT NULL,
    worked date[] NOT NULL,
    entered_by text NOT NULL,
    entered_at timestamptz NOT NULL
);
GRANT SELECT, INSERT ON calendar_notice TO credit_service;
CREATE TABLE stage_deadline (
    uscc varchar(18) COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    case_type text COLLATE "C" NOT NULL,
    case_id uuid NOT NULL,
    stage text COLLATE "C" NOT NULL,
    reference text NOT NULL,
    agency_uscc varchar(18) COLLATE "C" NOT NULL,
    rule_version text COLLATE "C" NOT NULL,
    legal_basis text NOT NULL,
    status text COLLATE "C" NOT NULL,
    rule_unit text COLLATE "C" NOT NULL,
    extension integer,
    cut_off time,
    warn_before integer[] NOT NULL,
    started_at timestamptz NOT NULL,
    counts_since timestamptz NOT NULL,
    amount integer NOT NULL CHECK (amount >= 0),
    unit text COLLATE "C" NOT NULL CHECK (unit IN ('working-days', 'calendar-days', 'months', 'years')),
    due_at timestamptz,
    provisional boolean NOT NULL,
    calendar integer NOT NULL,
    paused_at timestamptz,
    remaining integer,
    extended_by integer,
    extended_at timestamptz,
    attention_at timestamptz,
    warned integer,
    escalated_at timestamptz,
    closed_as text COLLATE "C" CHECK (closed_as IN ('met', 'cancelled')),
    closed_at timestamptz,
    version integer NOT NULL,
    PRIMARY KEY (uscc, id),
    CHECK ((closed_as IS NULL) = (closed_at IS NULL)),
    CHECK ((due_at IS NULL) = (paused_at IS NOT NULL)),
    CHECK ((remaining IS NULL) = (paused_at IS NULL)),
    CHECK (attention_at IS NULL OR closed_as IS NULL AND paused_at IS NULL)
);
CREATE UNIQUE INDEX stage_deadline_open ON stage_deadline (uscc, case_type, case_id, stage) WHERE closed_as IS NULL;
CREATE INDEX stage_deadline_case ON stage_deadline (uscc, case_type, case_id);
CREATE INDEX stage_deadline_attention ON stage_deadline (attention_at) WHERE attention_at IS NOT NULL;
CREATE INDEX stage_deadline_calendar ON stage_deadline (calendar) WHERE closed_as IS NULL;
CREATE INDEX stage_deadline_met ON stage_deadline (closed_at) WHERE closed_as = 'met';
CREATE INDEX stage_deadline_overdue ON stage_deadline (due_at) WHERE closed_as IS NULL;
GRANT SELECT, INSERT, UPDATE ON stage_deadline TO credit_service;
"""


def upgrade() -> None:
    execute_script(TABLES)


def downgrade() -> None:
    execute_script("DROP TABLE stage_deadline, calendar_notice;")
