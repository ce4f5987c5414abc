"""Propagation is watched as other time-limits are: computed anew after a notice of holidays, escalated when overdue."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

# Every row so far had three working days; calendar 0 is older than any, so each is computed once more.
WATCH = """
ALTER TABLE propagation
    ADD COLUMN amount integer NOT NULL DEFAULT 3,
    ADD COLUMN unit text COLLATE "C" NOT NULL DEFAULT 'working-days',
    ADD COLUMN calendar integer NOT NULL DEFAULT 0,
    ADD COLUMN escalated_at timestamptz;
ALTER TABLE propagation ALTER COLUMN amount DROP DEFAULT, ALTER COLUMN unit DROP DEFAULT,
    ALTER COLUMN calendar DROP DEFAULT;
CREATE INDEX propagation_watched ON propagation (due_at)
    WHERE acknowledged_at IS NULL AND superseded_at IS NULL AND escalated_at IS NULL;
CREATE INDEX propagation_computed ON propagation (calendar) WHERE acknowledged_at IS NULL AND superseded_at IS NULL;
"""


def upgrade() -> None:
    execute_script(WATCH)


def downgrade() -> None:
    execute_script("""
        DROP INDEX propagation_watched, propagation_computed;
        ALTER TABLE propagation DROP COLUMN amount, DROP COLUMN unit, DROP COLUMN calendar, DROP COLUMN escalated_at;
    """)
