"""A rule set in force for each authority's divisions, and full runs over a division beside one another."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

# Those in force until now were everybody's.
SCOPE = """
ALTER TABLE rule_set ADD COLUMN division text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE rule_set ALTER COLUMN division DROP DEFAULT;
ALTER TABLE rule_set DROP CONSTRAINT rule_set_edition;
ALTER TABLE rule_set ADD CONSTRAINT rule_set_edition UNIQUE (agency_uscc, name, edition);
DROP INDEX rule_set_active;
CREATE UNIQUE INDEX rule_set_active ON rule_set (division) WHERE state = 'active';
DROP INDEX class_run_open;
CREATE UNIQUE INDEX class_run_open ON class_run (division) WHERE kind = 'full' AND state = 'open';
"""


def upgrade() -> None:
    execute_script(SCOPE)


def downgrade() -> None:
    execute_script(
        "DROP INDEX class_run_open;"
        " CREATE UNIQUE INDEX class_run_open ON class_run (kind) WHERE kind = 'full' AND state = 'open';"
        " DROP INDEX rule_set_active;"
        " CREATE UNIQUE INDEX rule_set_active ON rule_set (state) WHERE state = 'active';"
        " ALTER TABLE rule_set DROP CONSTRAINT rule_set_edition, DROP COLUMN division;"
        " ALTER TABLE rule_set ADD CONSTRAINT rule_set_edition UNIQUE (name, edition);"
    )
