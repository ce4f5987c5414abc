"""Watchlists of agencies."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE watchlist (
    id uuid PRIMARY KEY,
    agency_uscc varchar(18) COLLATE "C" NOT NULL,
    name text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    closed_at timestamptz
);
CREATE INDEX watchlist_agency ON watchlist (agency_uscc) WHERE closed_at IS NULL;
CREATE TABLE watchlist_entry (
    uscc varchar(18) COLLATE "C" NOT NULL,
    watchlist_id uuid NOT NULL,
    since_sequence bigint NOT NULL,
    added_at timestamptz NOT NULL,
    PRIMARY KEY (uscc, watchlist_id)
);
CREATE INDEX watchlist_entry_list ON watchlist_entry (watchlist_id, uscc);
CREATE TABLE watchlist_review (
    uscc varchar(18) COLLATE "C" NOT NULL,
    watchlist_id uuid NOT NULL,
    record_id uuid NOT NULL,
    version integer NOT NULL,
    note text,
    reviewed_by text NOT NULL,
    reviewed_at timestamptz NOT NULL,
    PRIMARY KEY (uscc, watchlist_id, record_id)
);
GRANT SELECT, INSERT, UPDATE ON watchlist, watchlist_review TO credit_service;
GRANT SELECT, INSERT, DELETE ON watchlist_entry TO credit_service;
"""


def upgrade() -> None:
    execute_script(TABLES)


def downgrade() -> None:
    execute_script("DROP TABLE watchlist_review, watchlist_entry, watchlist;")
