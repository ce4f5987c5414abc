"""Time-limits of a period are found by when they were closed, however they were."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute_script(
        "DROP INDEX stage_deadline_met;"
        "CREATE INDEX stage_deadline_closed ON stage_deadline (closed_at) WHERE closed_as IS NOT NULL;"
    )


def downgrade() -> None:
    execute_script(
        "DROP INDEX stage_deadline_closed;"
        "CREATE INDEX stage_deadline_met ON stage_deadline (closed_at) WHERE closed_as = 'met';"
    )
