"""${message}"""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute_script("")


def downgrade() -> None:
    execute_script("")
