"""Time-limits that were over are found, closed since or not: figures count them while it lasted."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute_script(
        "DROP INDEX stage_deadline_overdue;"
        "CREATE INDEX stage_deadline_overdue ON stage_deadline (due_at) WHERE closed_at IS NULL OR due_at <= closed_at;"
    )


def downgrade() -> None:
    execute_script(
        "DROP INDEX stage_deadline_overdue;"
        "CREATE INDEX stage_deadline_overdue ON stage_deadline (due_at) WHERE closed_as IS NULL;"
    )
