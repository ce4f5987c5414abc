"""An index of classes fewer: entities by place are read from the one that begins with the class, four at a time."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

UP = "DROP INDEX entity_class_division"
DOWN = "CREATE INDEX entity_class_division ON entity_class (division, uscc) INCLUDE (industry, risk_class)"


def upgrade() -> None:
    execute_script(UP)


def downgrade() -> None:
    execute_script(DOWN)
