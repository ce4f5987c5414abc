"""A division's rule set is taken out of force by two people, and the wider one judges there again."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

RETIREMENT = """
ALTER TABLE rule_set ADD COLUMN retirement_proposed_by text, ADD COLUMN retirement_proposed_at timestamptz,
    ADD COLUMN retired_by text,
    ADD CONSTRAINT rule_set_retired_by_two CHECK (retired_by IS NULL OR (state = 'retired' AND division <> ''
        AND retirement_proposed_by IS NOT NULL AND retired_by <> retirement_proposed_by));
"""


def upgrade() -> None:
    execute_script(RETIREMENT)


def downgrade() -> None:
    execute_script(
        "ALTER TABLE rule_set DROP CONSTRAINT rule_set_retired_by_two, DROP COLUMN retired_by,"
        " DROP COLUMN retirement_proposed_at, DROP COLUMN retirement_proposed_by;"
    )
