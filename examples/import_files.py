"""Write penalty files as agencies send them: 10,000 rows, 500 of them bad in 12 different ways.

    python examples/import_files.py FOLDER

makes penalties-gb18030.csv and penalties.xlsx for the first agency of the demonstration data (needs openpyxl).
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import openpyxl

from credit_service.identity.uscc import compose

ROWS = 10_000
EVERY = 20
AGENCY = compose("11", "500103", "00928654")
ELSEWHERE = compose("11", "310115", "00245931")

LABELS = {
    "name": "行政相对人名称",
    "category": "行政相对人类别",
    "uscc": "行政相对人代码_1(统一社会信用代码)",
    "representative": "法定代表人",
    "document": "行政处罚决定书文号",
    "violation": "违法行为类型",
    "facts": "违法事实",
    "basis": "处罚依据",
    "categories": "处罚类别",
    "content": "处罚内容",
    "fine": "罚款金额(万元)",
    "decided": "处罚决定日期",
    "valid": "处罚有效期",
    "authority": "处罚机关",
    "authority_code": "处罚机关统一社会信用代码",
    "source": "数据来源单位",
    "source_code": "数据来源单位统一社会信用代码",
}

BAD = (
    {"uscc": "91110000600037341A"},  # position 18
    {"uscc": "91110000600037342P"},  # position 17
    {"uscc": "11010519491231002X", "name": "某人"},  # a natural person
    {"uscc": "0" * 17 + "X"},  # the placeholder for none
    {"name": ""},
    {"document": "-"},
    {"basis": ""},
    {"decided": "2026-02-30"},
    {"decided": "2031-01-01"},
    {"categories": "批评一下"},
    {"fine": ""},
    {"authority_code": ELSEWHERE},
)


def row(number: int) -> dict[str, str]:
    """Row ``number``; each twentieth is bad, the twelve ways in turn."""
    good = {
        "name": f"重庆示例{number}有限公司",
        "category": "法人及非法人组织",
        "uscc": compose("91", "500103", f"MA{number:06}"),
        "representative": "张三",
        "document": f"渝中市监处罚〔2026〕示{number}号",
        "violation": "经营超过保质期的食品",
        "facts": "当事人销售超过保质期的预包装食品，已整改。",
        "basis": "《中华人民共和国食品安全法》第一百二十四条第一款第五项",
        "categories": "罚款",
        "content": "罚款一万二千元",
        "fine": "1.2",
        "decided": ("2026-04-20", "2026/4/20", "20260420", "2026年4月20日")[number % 4],
        "valid": "2099-12-31",
        "authority": "重庆市渝中区市场监督管理局",
        "authority_code": AGENCY,
        "source": "重庆市渝中区市场监督管理局",
        "source_code": AGENCY,
    }
    return good | (BAD[number // EVERY % len(BAD)] if number % EVERY == 0 else {})


def main(folder: Path) -> None:
    rows = [row(number) for number in range(ROWS)]
    with (folder / "penalties-gb18030.csv").open("w", encoding="gb18030", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(LABELS.values())
        writer.writerows(entry.values() for entry in rows)
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("行政处罚")
    sheet.append(list(LABELS.values()))
    for entry in rows:
        sheet.append([value.replace("示", "表") if value.endswith("号") else value for value in entry.values()])
    book.save(folder / "penalties.xlsx")
    print(f"{folder}: {ROWS} rows each, {ROWS // EVERY} of them bad in {len(BAD)} ways")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
