"""Write one file for every submission template as agencies send them: Chinese headers, 万元, dates as people type.

    python examples/record_files.py FOLDER

makes <template>.csv (GB18030), <template>.xlsx and <template>.ndjson (with field codes) for the first
agency of the demonstration data (needs openpyxl).
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import openpyxl

from credit_service.identity.uscc import compose
from credit_service.records.imports.templates import header_key, templates

AGENCY_NAME = "重庆市渝中区市场监督管理局"
AGENCY = compose("11", "500103", "00928654")
COURT_NAME = "重庆市渝中区人民法院"
COURT = compose("11", "500103", "00928777")
ROWS = 3


def company(number: int) -> str:
    return compose("91", "500103", f"MB{number:06}")


def _identity(number: int) -> tuple[str, str]:
    return f"重庆示例{number}有限公司", company(number)


def penalty(n: int) -> dict[str, str]:
    name, uscc = _identity(n)
    return {
        "行政相对人名称": name,
        "行政相对人类别": "法人及非法人组织",
        "行政相对人代码_1(统一社会信用代码)": uscc,
        "法定代表人": "张三",
        "行政处罚决定书文号": f"渝中市监处罚〔2026〕样{n}号",
        "违法行为类型": "经营超过保质期的食品",
        "违法事实": "当事人销售超过保质期的预包装食品, 货值金额1,280.50元。",
        "处罚依据": "《中华人民共和国食品安全法》第一百二十四条第一款第五项",
        "处罚类别": "罚款、没收违法所得",
        "处罚内容": "罚款一万二千元, 没收违法所得一百八十元五角",
        "罚款金额(万元)": "1.2",
        "没收违法所得、没收非法财物的金额(万元)": "0.01805",
        "处罚决定日期": "2026年4月20日",
        "处罚有效期": "2099/12/31",
        "处罚机关": AGENCY_NAME,
        "处罚机关统一社会信用代码": AGENCY,
        "数据来源单位": AGENCY_NAME,
        "数据来源单位统一社会信用代码": AGENCY,
    }


def licence(n: int) -> dict[str, str]:
    name, uscc = _identity(n)
    return {
        "行政相对人名称": name,
        "行政相对人类别": "法人及非法人组织",
        "行政相对人代码_1(统一社会信用代码)": uscc,
        "行政许可决定文书名称": "准予行政许可决定书",
        "行政许可决定文书号": "" if n == 2 else f"渝中市监许〔2026〕样{n}号",  # without one, 许可编号 stands in
        "许可类别": "普通",
        "许可证书名称": "食品经营许可证",
        "许可编号": f"JY1500103{n:07}",
        "许可内容": "预包装食品销售(含冷藏冷冻食品)",
        "许可决定日期": "2026.4.1",
        "有效期自": "20260401",
        "有效期至": "2031-03-31",
        "许可机关": AGENCY_NAME,
        "许可机关统一社会信用代码": AGENCY,
        "当前状态": "1",
    }


def commitment(n: int) -> dict[str, str]:
    name, uscc = _identity(n)
    breached = n == 2
    return {
        "承诺编码": f"50010320260415{n:06}",
        "承诺人名称": name,
        "承诺人类别": "法人及非法人组织",
        "承诺人代码": uscc,
        "承诺类型": ("主动型", "1", "信用修复型")[n % 3],
        "国标类型": "应用场景型",
        "承诺事由": "申请办理食品经营许可证",
        "承诺内容": "所提交材料真实有效, 符合许可条件。",
        "违诺责任": "自愿承担撤销许可并记入信用记录的责任。",
        "承诺作出日期": "2026-04-15",
        "承诺有效期": "2028-04-14",
        "承诺履行状态": "部分履行" if breached else "全部履行",
        "未履行的承诺内容": "未按承诺配备冷藏设施。" if breached else "",
        "违诺责任追究内容": "责令限期整改, 记入信用记录。" if breached else "",
        "履行状态认定日期": "2026-05-04",
        "承诺受理单位": AGENCY_NAME,
        "承诺受理单位代码": AGENCY,
        "公开类型": "特定范围内公开" if n == 1 else "可向社会公开",
    }


def contract(n: int) -> dict[str, str]:
    name, uscc = _identity(n)
    return {
        "主体名称": name,
        "统一社会信用代码": uscc,
        "主体在合同中的身份": "乙方",
        "合同编号": f"渝中采〔2026〕{n}号",
        "合同名称": "农贸市场检测设备采购合同",
        "合同类型": "行政合同",
        "合同相对方": AGENCY_NAME,
        "合同相对方统一社会信用代码": AGENCY,
        "合同金额(万元)": "88.88",
        "合同签订日期": "2026-03-02",
        "履约期限": "2026-12-31",
        "履约状态": "违约" if n == 2 else "履约中",
        "违约情形": "逾期交货三十日。" if n == 2 else "",
        "登记单位": AGENCY_NAME,
        "登记单位统一社会信用代码": AGENCY,
    }


def serious_list(n: int) -> dict[str, str]:
    name, uscc = _identity(n)
    lists = ("重大税收违法失信主体", "serious-dishonesty-work-safety", "拖欠农民工工资失信联合惩戒对象")
    return {
        "名单名称": lists[n % 3],
        "企业名称": name,
        "统一社会信用代码": uscc,
        "决定文号": f"渝失信〔2026〕样{n}号",
        "列入原因": "发生重大违法行为, 情节严重",
        "认定依据": "有关部门规章和列入决定书",
        "失信行为简况": "经查证属实。",
        "认定部门": AGENCY_NAME,
        "认定部门统一社会信用代码": AGENCY,
        "列入日期": "2026-04-10",
        "有效期限": "2029-04-09",
        "注册地址": "重庆市渝中区示例路1号",
        "案件性质": "虚开发票" if n % 3 == 0 else "",
        "数据类别": "失信惩戒",
    }


def judgment_debtor(n: int) -> dict[str, str]:
    name, uscc = _identity(n)
    return {
        "姓名/名称": name,
        "身份证号码/组织机构代码": uscc,
        "法定代表人或者负责人姓名": "李四",
        "执行法院": COURT_NAME,
        "执行法院统一社会信用代码": COURT,
        "省份": "重庆",
        "执行依据文号": f"(2025)渝0103民初{n}01号",
        "立案时间": "2026-02-03",
        "案号": f"(2026)渝0103执{n}02号",
        "做出执行依据单位": COURT_NAME,
        "生效法律文书确定的义务": "支付货款1,000,000元。",
        "履行情况": "全部未履行",
        "行为具体情形": "有履行能力而拒不履行生效法律文书确定义务",
        "发布时间": "2026-04-08",
    }


def abnormal(n: int) -> dict[str, str]:
    name, uscc = _identity(n)
    return {
        "企业名称": name,
        "统一社会信用代码": uscc,
        "列入决定文号": f"渝中市监列异〔2026〕{n}号",
        "列入原因类型名称": ("未按照规定期限公示年度报告", "通过登记的住所或者经营场所无法联系", "2")[n % 3],
        "列入原因": "未按规定履行公示义务",
        "列入日期": "2026-04-12",
        "列入决定机关名称": AGENCY_NAME,
        "列入决定机关统一社会信用代码": AGENCY,
    }


def red_list(n: int) -> dict[str, str]:
    name, uscc = _identity(n)
    customs = n % 2 == 1
    return {
        "名单名称": "海关高级认证企业" if customs else "纳税信用A级纳税人",
        "企业名称": name,
        "统一社会信用代码": uscc,
        "认定文号": f"渝红〔2026〕样{n}号",
        "认定依据": "有关规章和认定文件",
        "评价年度": "2025",
        "信用等级": "高级认证企业" if customs else "A",
        "海关注册编码": f"50019{n:05}" if customs else "",
        "认定时间": "2026-04-05",
        "有效期限": "2027-04-04",
        "认定单位": AGENCY_NAME,
        "认定单位统一社会信用代码": AGENCY,
    }


def honour(n: int) -> dict[str, str]:
    name, uscc = _identity(n)
    return {
        "荣誉类别": "诚信典型" if n % 2 else "诚实守信相关荣誉",
        "获奖单位名称": name,
        "统一社会信用代码": uscc,
        "荣誉名称": "渝中区诚信示范单位",
        "表彰文号": f"渝中府发〔2026〕{n}号",
        "授予依据": "区政府表彰决定",
        "授予日期": "2026-03-15",
        "有效期限": "2029-03-14",
        "授予单位": AGENCY_NAME,
        "授予单位统一社会信用代码": AGENCY,
    }


def comprehensive(n: int) -> dict[str, str]:
    name, uscc = _identity(n)
    return {
        "企业名称": name,
        "统一社会信用代码": uscc,
        "评价批次": "2026-1",
        "综合评价等级": "BAC"[n % 3],
        "评价标准": "GB/T 45255-2025",
        "评定时间": "2026-04-30",
        "有效期至": "2027-04-29",
        "评定单位": AGENCY_NAME,
        "评定单位统一社会信用代码": AGENCY,
    }


def industry(n: int) -> dict[str, str]:
    name, uscc = _identity(n)
    return {
        "企业名称": name,
        "统一社会信用代码": uscc,
        "评价批次": "食品-2026-1",
        "行业领域": "食品经营",
        "行业评价等级": "A",
        "评定时间": "2026-05-01",
        "评定单位": AGENCY_NAME,
        "评定单位统一社会信用代码": AGENCY,
    }


def government_integrity(n: int) -> dict[str, str]:
    return {
        "机关名称": f"重庆市渝中区示例{n}局",
        "机关统一社会信用代码": compose("11", "500103", f"MC{n:06}"),
        "认定文号": f"渝政诚〔2026〕{n}号",
        "失信类型": "拖欠中小企业账款",
        "失信事实": "逾期未支付工程款, 经督促未整改。",
        "认定依据": "《保障中小企业款项支付条例》",
        "涉及金额(万元)": "120",
        "认定日期": "2026-04-01",
        "认定部门": AGENCY_NAME,
        "认定部门统一社会信用代码": AGENCY,
    }


def self_discipline(n: int) -> dict[str, str]:
    name, uscc = _identity(n)
    return {
        "会员单位名称": name,
        "统一社会信用代码": uscc,
        "自律文号": f"渝食协〔2026〕{n}号",
        "记录类型": ("签署诚信公约", "自律奖励", "惩戒")[n % 3],
        "公约名称": "食品行业诚信公约",
        "行业协会": "重庆市食品行业协会",
        "行业协会统一社会信用代码": compose("51", "500000", "50280001"),
        "公约或自律记录内容": "诚信经营, 明码标价, 接受监督。",
        "签署日期": "2026-03-15",
        "有效期至": "2028-03-14",
        "归集单位": AGENCY_NAME,
        "归集单位统一社会信用代码": AGENCY,
    }


def disclosure(n: int) -> dict[str, str]:
    name, uscc = _identity(n)
    return {
        "披露单位名称": name,
        "统一社会信用代码": uscc,
        "披露编号": f"CSR-2025-{n}",
        "披露标题": "2025年度企业社会责任报告",
        "披露年度": "2025",
        "披露内容": "节能减排、员工权益和社区公益情况。",
        "披露日期": "2026-04-22",
        "归集单位": AGENCY_NAME,
        "归集单位统一社会信用代码": AGENCY,
    }


def judgment(n: int) -> dict[str, str]:
    name, uscc = _identity(n)
    return {
        "当事人名称": name,
        "统一社会信用代码": uscc,
        "案号": f"(2026)渝0103民初{n}03号",
        "文书类型": "民事判决书",
        "案由": "买卖合同纠纷",
        "裁判结果": "判决支付货款50,000元及利息。",
        "裁判日期": "2026-03-20",
        "审理法院": COURT_NAME,
        "审理法院统一社会信用代码": COURT,
    }


def inspection(n: int) -> dict[str, str]:
    name, uscc = _identity(n)
    return {
        "检查对象名称": name,
        "统一社会信用代码": uscc,
        "抽查任务编号": f"渝中抽〔2026〕{n}号",
        "检查事项": "食品标签标识检查",
        "检查结果": "未发现问题",
        "检查日期": "2026-04-18",
        "检查机关": AGENCY_NAME,
        "检查机关统一社会信用代码": AGENCY,
    }


TEMPLATES = {
    "administrative-penalty": penalty,
    "administrative-licence": licence,
    "commitment": commitment,
    "contract-performance": contract,
    "serious-dishonesty-list": serious_list,
    "judgment-debtor": judgment_debtor,
    "abnormal-operation-list": abnormal,
    "red-list": red_list,
    "honour": honour,
    "comprehensive-evaluation": comprehensive,
    "industry-evaluation": industry,
    "government-integrity": government_integrity,
    "self-discipline-pledge": self_discipline,
    "social-responsibility-disclosure": disclosure,
    "judgment": judgment,
    "inspection-result": inspection,
}


def rows(template: str, count: int = ROWS) -> list[dict[str, str]]:
    """Good rows of a template by Chinese header."""
    return [TEMPLATES[template](number) for number in range(count)]


def coded(template: str, row: dict[str, str]) -> dict[str, str]:
    """The row by field code, where the template has one."""
    codes = {
        header_key(label): column.codes[0]
        for column in templates()[template].columns
        if column.codes
        for label in column.labels
    }
    return {codes.get(header_key(label), label): value for label, value in row.items()}


def main(folder: Path) -> None:
    for template in TEMPLATES:
        found = rows(template)
        with (folder / f"{template}.csv").open("w", encoding="gb18030", newline="") as file:
            writer = csv.DictWriter(file, found[0])
            writer.writeheader()
            writer.writerows(found)
        book = openpyxl.Workbook()
        sheet = book.active
        sheet.append([templates()[template].name_zh])
        for cells in (list(found[0]), *(list(row.values()) for row in found)):
            sheet.append(cells)
        book.save(folder / f"{template}.xlsx")
        lines = (json.dumps(coded(template, row), ensure_ascii=False) for row in found)
        (folder / f"{template}.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{folder}: {len(TEMPLATES)} templates, {ROWS} rows each, as CSV, XLSX and NDJSON")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
