"""An index of the records that are few: lists are looked through without touching the many penalties and licences."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# The same condition stands in records.bulk, word for word, so that its queries may use the index.
INDEX = """
CREATE INDEX record_rare ON record (uscc, item_code)
    WHERE item_code <> ALL ('{administrative-licence,administrative-penalty}'::text[]);
"""


def upgrade() -> None:
    execute_script(INDEX)


def downgrade() -> None:
    execute_script("DROP INDEX record_rare;")
