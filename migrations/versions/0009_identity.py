"""Clients that sign assertions or present certificates; assertions used, tokens revoked."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE client
    ADD COLUMN jwks json,
    ADD COLUMN certificate_thumbprint text COLLATE "C",
    ALTER COLUMN secret_hash DROP NOT NULL;
CREATE TABLE used_assertion (
    client_id text COLLATE "C" NOT NULL,
    assertion_id text COLLATE "C" NOT NULL,
    kept_until timestamptz NOT NULL,
    PRIMARY KEY (client_id, assertion_id)
);
CREATE TABLE revoked_token (
    token_id text COLLATE "C" PRIMARY KEY,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz NOT NULL
);
CREATE TABLE blocked_principal (
    principal text COLLATE "C" PRIMARY KEY,
    reason text NOT NULL,
    blocked_by text NOT NULL,
    blocked_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON blocked_principal TO credit_service;
GRANT SELECT, INSERT, DELETE ON used_assertion, revoked_token TO credit_service;
"""


def upgrade() -> None:
    execute_script(TABLES)


def downgrade() -> None:
    execute_script(
        "DROP TABLE blocked_principal, revoked_token, used_assertion;"
        "DELETE FROM client WHERE secret_hash IS NULL;"
        "ALTER TABLE client DROP COLUMN jwks, DROP COLUMN certificate_thumbprint,"
        " ALTER COLUMN secret_hash SET NOT NULL;"
    )
