"""Public halves of the keys that sign documents: they stay published when the keys are gone."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE published_key (
    kid text COLLATE "C" PRIMARY KEY,
    jwk json NOT NULL,
    made_at timestamptz NOT NULL,
    replaced_at timestamptz,
    revoked_at timestamptz
);
GRANT SELECT, INSERT, UPDATE (replaced_at, revoked_at) ON published_key TO credit_service;
"""


def upgrade() -> None:
    execute_script(TABLE)


def downgrade() -> None:
    execute_script("DROP TABLE published_key")
