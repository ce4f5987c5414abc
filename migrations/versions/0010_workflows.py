"""Cases of repair and objection."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE workflow_case (
    uscc varchar(18) COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    application_id uuid NOT NULL,
    type text COLLATE "C" NOT NULL CHECK (type IN ('repair', 'objection')),
    record_id uuid NOT NULL,
    item_code text COLLATE "C" NOT NULL,
    handler_uscc varchar(18) COLLATE "C" NOT NULL,
    source_uscc varchar(18) COLLATE "C" NOT NULL,
    division text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    returns_to text COLLATE "C",
    applicant text COLLATE "C" NOT NULL,
    applicant_uscc varchar(18) COLLATE "C" NOT NULL,
    agent_uscc varchar(18) COLLATE "C",
    content json NOT NULL,
    findings json NOT NULL,
    events json NOT NULL,
    officers json NOT NULL,
    assignee text COLLATE "C",
    supplement_until date,
    barred_until date,
    salt bytea NOT NULL,
    version integer NOT NULL,
    opened_at timestamptz NOT NULL,
    submitted_at timestamptz,
    changed_at timestamptz NOT NULL,
    closed_at timestamptz,
    on_time boolean,
    PRIMARY KEY (uscc, id),
    CHECK ((closed_at IS NULL) = (on_time IS NULL))
);
CREATE INDEX workflow_case_id ON workflow_case (id);
CREATE UNIQUE INDEX workflow_case_one_repair ON workflow_case (uscc, record_id)
    WHERE type = 'repair' AND submitted_at IS NOT NULL AND closed_at IS NULL;
CREATE INDEX workflow_case_open ON workflow_case (handler_uscc, type, opened_at, id)
    WHERE submitted_at IS NOT NULL AND closed_at IS NULL;
CREATE INDEX workflow_case_assignee ON workflow_case (assignee, type, opened_at, id) WHERE closed_at IS NULL;
CREATE INDEX workflow_case_handler ON workflow_case (handler_uscc, type, opened_at, id);
CREATE INDEX workflow_case_source ON workflow_case (source_uscc, type, opened_at, id);
CREATE INDEX workflow_case_applicant ON workflow_case (applicant_uscc, type, opened_at, id);
CREATE INDEX workflow_case_agent ON workflow_case (agent_uscc, type, opened_at, id) WHERE agent_uscc IS NOT NULL;
CREATE INDEX workflow_case_submitted ON workflow_case (submitted_at) WHERE submitted_at IS NOT NULL;
GRANT SELECT, INSERT, UPDATE ON workflow_case TO credit_service;
"""


def upgrade() -> None:
    execute_script(TABLES)


def downgrade() -> None:
    execute_script("DROP TABLE workflow_case;")
