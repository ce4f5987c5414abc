"""Which records came in a period: a block range index costs an import next to nothing."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute_script("CREATE INDEX record_recorded_at ON record USING brin (recorded_at);")


def downgrade() -> None:
    execute_script("DROP INDEX record_recorded_at;")
