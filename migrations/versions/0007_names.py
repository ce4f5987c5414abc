"""Names and the keys they are found by."""

from __future__ import annotations

from typing import Any, cast

from alembic import op

from credit_service.entities.names import keys_of
from credit_service.platform.migration import execute_script

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE entity_name
    ADD COLUMN core text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN initials text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN core_initials text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN tokens integer[] NOT NULL DEFAULT '{}';
"""
UNFILLED = "SELECT uscc, id, name FROM entity_name WHERE tokens = '{}' LIMIT $1"
FILL = """
UPDATE entity_name n SET core = k.core, initials = k.initials, core_initials = k.core_initials, tokens = k.tokens::int[]
FROM unnest($1::varchar[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[])
    AS k (uscc, id, core, initials, core_initials, tokens)
WHERE n.uscc = k.uscc AND n.id = k.id
"""
# The statistics of tokens are what a search chooses the rarest ones by.
INDEXES = """
ALTER TABLE entity_name
    ALTER COLUMN core DROP DEFAULT, ALTER COLUMN initials DROP DEFAULT, ALTER COLUMN core_initials DROP DEFAULT,
    ALTER COLUMN tokens DROP DEFAULT, ALTER COLUMN tokens SET STATISTICS 300;
CREATE INDEX entity_name_tokens ON entity_name USING gin (tokens);
CREATE INDEX entity_name_initials ON entity_name (initials);
CREATE INDEX entity_name_core_initials ON entity_name (core_initials);
"""
ROWS_AT_ONCE = 5000


async def _fill(connection: Any) -> None:
    """Names that are already there get their keys, in blocks."""
    while rows := await connection.fetch(UNFILLED, ROWS_AT_ONCE):
        keys = [keys_of(row["name"]) for row in rows]
        texts = [[key[part] for key in keys] for part in range(3)]
        tokens = ["{" + ",".join(map(str, key.tokens)) + "}" for key in keys]
        await connection.execute(FILL, [row["uscc"] for row in rows], [row["id"] for row in rows], *texts, tokens)


def upgrade() -> None:
    execute_script(COLUMNS)
    cast("Any", op.get_bind().connection.dbapi_connection).run_async(_fill)
    execute_script(INDEXES)


def downgrade() -> None:
    execute_script(
        "DROP INDEX entity_name_tokens, entity_name_initials, entity_name_core_initials;"
        "ALTER TABLE entity_name DROP COLUMN core, DROP COLUMN initials, DROP COLUMN core_initials, DROP COLUMN tokens;"
    )
