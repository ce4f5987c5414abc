"""Indexes by which every page of a tier query begins where it stands, whatever lies before it."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

# Of one class: by date, and by industry. Without the first a page of a rare class by date passes over all the others;
# without the second one of an industry passes over every place that has none of it.
UP = """
CREATE INDEX entity_class_of_since ON entity_class (risk_class, since, uscc) INCLUDE (division, industry);
CREATE INDEX entity_class_industry ON entity_class (risk_class, industry, division, uscc);
"""
DOWN = "DROP INDEX entity_class_of_since, entity_class_industry"


def upgrade() -> None:
    execute_script(UP)


def downgrade() -> None:
    execute_script(DOWN)
