"""Evidence: the attachments of cases."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# DELETE: a removed file's name may be personal data and goes with its row; the audit event keeps the commitment.
TABLES = """
CREATE TABLE attachment (
    uscc varchar(18) COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    subject_type text COLLATE "C" NOT NULL,
    subject_id uuid NOT NULL,
    digest bytea NOT NULL,
    key_id text COLLATE "C",
    size bigint NOT NULL,
    media_type text COLLATE "C" NOT NULL,
    file_name text NOT NULL,
    uploaded_by text NOT NULL,
    uploaded_at timestamptz NOT NULL,
    salt bytea NOT NULL,
    PRIMARY KEY (uscc, id),
    CONSTRAINT attachment_content UNIQUE (uscc, subject_type, subject_id, digest)
);
CREATE INDEX attachment_digest ON attachment (digest);
GRANT SELECT, INSERT, DELETE ON attachment TO credit_service;
"""


def upgrade() -> None:
    execute_script(TABLES)


def downgrade() -> None:
    execute_script("DROP TABLE attachment;")
