"""Files as agencies send them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import openpyxl

from credit_service.identity.uscc import compose

AGENCY = compose("11", "500103", "00928654")
AGENCY_NAME = "重庆市渝中区市场监督管理局"
OTHER_AUTHORITY = compose("11", "310115", "00245931")
IDENTITY_NUMBER = "11010519491231002X"
BAD_CHECK_DIGIT = "91350203M0001QKT19"

LABELS = {
    "name": "行政相对人名称",
    "category": "行政相对人类别",
    "uscc": "行政相对人代码_1(统一社会信用代码)",
    "representative": "法定代表人",
    "representative_number": "法定代表人证件号码",
    "certificate": "证件号码",
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
    "remarks": "备注",
}


def company(number: int) -> str:
    """A valid code of an invented enterprise."""
    return compose("91", "500103", f"MA{number:06}")


def penalty(number: int, **changes: str) -> dict[str, str]:
    """A good penalty row."""
    row = {
        "name": f"重庆测试{number}有限公司",
        "category": "法人及非法人组织",
        "uscc": company(number),
        "representative": "张三",
        "representative_number": IDENTITY_NUMBER,
        "certificate": "",
        "document": f"渝中市监处罚〔2026〕{number}号",
        "violation": "经营超过保质期的食品",
        "facts": '当事人销售"超过保质期"的食品\n若干，已整改。',
        "basis": "《中华人民共和国食品安全法》第一百二十四条",
        "categories": "罚款",
        "content": "罚款一万二千元",
        "fine": "1.2",
        "decided": "2026年4月20日",
        "valid": "2099/12/31",
        "authority": AGENCY_NAME,
        "authority_code": AGENCY,
        "source": AGENCY_NAME,
        "source_code": AGENCY,
        "remarks": "",
    }
    return row | changes


# Twelve ways to be wrong: what is changed, the column a receipt points at, words of the rule it names.
BAD: dict[str, tuple[dict[str, str], str, str]] = {
    "check digit": ({"uscc": "91110000600037341A"}, "uscc", "position 18"),
    "admitted by nobody": ({"uscc": BAD_CHECK_DIGIT}, "uscc", "position 18"),
    "placeholder": ({"uscc": "0" * 17 + "X"}, "uscc", "placeholder"),
    "no name": ({"name": ""}, "name", "required"),
    "no document number": ({"document": "-"}, "document", "required"),
    "no legal basis": ({"basis": ""}, "basis", "required"),
    "impossible date": ({"decided": "2026-02-30"}, "decided", "date"),
    "future decision": ({"decided": "2031-01-01"}, "decided", "future"),
    "unknown penalty": ({"categories": "批评一下"}, "categories", "one of"),
    "fine without amount": ({"fine": ""}, "fine", "required"),
    "amount too precise": ({"fine": "1.0000001"}, "fine", "six decimals"),
    "authority elsewhere": ({"authority_code": OTHER_AUTHORITY}, "authority_code", "agency-grant"),
}


def csv_file(rows: list[dict[str, str]], encoding: str = "utf-8", headers: dict[str, str] | None = None) -> bytes:
    """Rows as spreadsheet programs write CSV."""
    labels = headers or LABELS
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(labels.values())
    writer.writerows([row[name] for name in labels] for row in rows)
    return out.getvalue().encode(encoding)


def xlsx_file(rows: list[dict[str, Any]], path: Path) -> bytes:
    """Rows as a workbook, with a title line above the header as the official templates have."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["行政处罚信息(法人)"])
    sheet.append([f"*{label}（必填）" for label in LABELS.values()])
    for row in rows:
        sheet.append([row[name] for name in LABELS])
    book.save(path)
    return path.read_bytes()
