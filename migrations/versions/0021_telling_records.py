"""One index of the records a screening looks at: those that are few, and penalties whose facts may tell something."""

from __future__ import annotations

import json
import re

from credit_service.platform.migration import execute_script

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_WORDS = (
    "不履行与招标人订立的合同",
    "不正当手段取得",
    "中标人不履行",
    "串标",
    "串通投标",
    "以他人名义投标",
    "刑事",
    "吊销许可证件",
    "围标",
    "恶意投诉",
    "投标弄虚作假",
    "欺骗",
    "虚假投诉",
    "虚假材料",
    "行贿谋取中标",
    "责令停产停业",
    "贿赂",
    "隐瞒有关情况",
    "骗取中标",
)
_ESCAPED = "|".join(sorted(re.escape(json.dumps(word)[1:-1]) for word in _WORDS))
_TEXT = "(public_facts::text || shared_facts::text)"
# The same condition stands in records.bulk, word for word, so that its queries may use the index.
INDEX = rf"""
CREATE INDEX record_telling ON record (uscc)
    WHERE (item_code <> ALL ('{{administrative-licence,administrative-penalty}}'::text[])
    OR {_TEXT} ~ '{"|".join(_WORDS)}' OR ({_TEXT} ~ '\d{{7}}' AND {_TEXT} ~ '"fine_amount"\s*:\s*"?\d{{7,}}')
    OR (strpos({_TEXT}, '\u') > 0 AND {_TEXT} ~ '{_ESCAPED}'));
DROP INDEX record_rare;
"""
BEFORE = """
CREATE INDEX record_rare ON record (uscc, item_code)
    WHERE item_code <> ALL ('{administrative-licence,administrative-penalty}'::text[]);
DROP INDEX record_telling;
"""


def upgrade() -> None:
    execute_script(INDEX)


def downgrade() -> None:
    execute_script(BEFORE)
