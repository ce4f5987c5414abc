"""Where records from before document numbers had one form are found by the number they would have now."""

from __future__ import annotations

from credit_service.platform.migration import execute_script

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

# identity.document_number as of this revision, in SQL: any bracket first, then the cases, which begin with the year.
# Records keep the number their versions and the log hold. Of several that would share one, the oldest is found.
EARLIER = r"""
CREATE TABLE record_earlier_number (
    uscc varchar(18) COLLATE "C" NOT NULL,
    item_code text COLLATE "C" NOT NULL,
    document_number text COLLATE "C" NOT NULL,
    authority_uscc varchar(18) COLLATE "C" NOT NULL,
    record_id uuid NOT NULL,
    PRIMARY KEY (uscc, item_code, document_number, authority_uscc)
);
GRANT SELECT ON record_earlier_number TO credit_service;
INSERT INTO record_earlier_number
SELECT DISTINCT ON (r.uscc, r.item_code, n.number, r.authority_uscc)
    r.uscc, r.item_code, n.number, r.authority_uscc, r.id
FROM record r CROSS JOIN LATERAL (
    SELECT regexp_replace(
        regexp_replace(
            r.document_number, '[(（\[［{｛〔【〖〘﹝﹙❲]([12][0-9]{3})[)）\]］}｝〕】〗〙﹞﹚❳]', '〔\1〕', 'g'
        ), '^〔([0-9]{4})〕(?![第年])(?=[一-鿿])', '（\1）') AS number
) n
WHERE n.number <> r.document_number AND NOT EXISTS (
    SELECT FROM record e WHERE e.uscc = r.uscc AND e.item_code = r.item_code AND e.document_number = n.number
        AND e.authority_uscc = r.authority_uscc)
ORDER BY r.uscc, r.item_code, n.number, r.authority_uscc, r.recorded_at, r.id;
"""


def upgrade() -> None:
    execute_script(EARLIER)


def downgrade() -> None:
    execute_script("DROP TABLE record_earlier_number;")
