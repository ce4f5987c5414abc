"""Digests of what the public was shown, by which a mirror checks itself."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE change_digest (
    day date PRIMARY KEY,
    taken_at timestamptz NOT NULL,
    through bigint NOT NULL,
    records bigint NOT NULL,
    parts json NOT NULL,
    unsettled json NOT NULL
);
GRANT SELECT, INSERT ON change_digest TO credit_service;
"""


def upgrade() -> None:
    execute_script(TABLES)


def downgrade() -> None:
    execute_script("DROP TABLE change_digest;")
