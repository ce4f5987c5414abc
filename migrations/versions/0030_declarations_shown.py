"""Files with shielded records are rendered anew when they are next read: they bear the court's declaration now."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

STALE = """
UPDATE profile SET fresh_until = '-infinity'
WHERE uscc IN (SELECT uscc FROM record WHERE state = 'shielded')
"""


def upgrade() -> None:
    execute_script(STALE)


def downgrade() -> None:
    execute_script(STALE)
