"""Personal information in free text: what must go, what must stay, and no identity number survives anywhere."""

from __future__ import annotations

import re
from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from credit_service.identity.personal import PROVINCES, holds_identity_number, is_luhn, scrub
from credit_service.identity.uscc import Uscc, compose, is_resident_identity_number
from credit_service.platform.errors import Problem

IDENTITY_NUMBER = "11010519491231002X"

# What is masked: text, what must be gone, the kinds found.
MASKED = [
    ("身份证号110105194912 31002X", "31002X", {"identity-number"}),
    ("１１０１０５１９４９１２３１００２Ｘ", "１１０１０５", {"identity-number"}),
    ("1101 0519 4912 3100 2x。", "0519", {"identity-number"}),
    ("11010519491231-002X", "002X", {"identity-number"}),
    ("11010519491231\u200b002×", "11010519491231", {"identity-number"}),
    ("(身份证号：110105491231002)", "110105491231002", {"identity-number"}),
    ("税号11010519491231002X01", IDENTITY_NUMBER, {"identity-number"}),
    ("ID11010519491231002X", IDENTITY_NUMBER, {"identity-number"}),
    ("电话13812345678", "13812345678", {"phone-number"}),
    ("手机:138 1234 5678", "1234 5678", {"phone-number"}),
    ("＋86－138－1234－5678".replace("＋", "+"), "5678", {"phone-number"}),
    ("请致电１３８１２３４５６７８", "１３８１２３４５６７８", {"phone-number"}),
    ("tel13812345678", "13812345678", {"phone-number"}),
    ("座机023-63812345", "63812345", {"phone-number"}),
    ("(010)6381 2345转806", "2345", {"phone-number"}),
    ("联系电话：63812345", "63812345", {"phone-number"}),
    ("汇入6222021234567890128", "6222021234567890128", {"bank-card"}),
    ("卡号 6222 0212 3456 7890 128", "7890", {"bank-card"}),
    ("4111111111111111", "4111111111111111", {"bank-card"}),
    ("持护照E12345678入境", "E12345678", {"travel-document"}),
    ("港澳居民来往内地通行证号码：H12345678", "H12345678", {"travel-document"}),
    ("当事人张三在现场", "张三", {"personal-name"}),
    ("法定代表人：李四，男", "李四", {"personal-name"}),
    ("法定代表人为赵小明的公司", "小明", {"personal-name"}),
    ("法定代表人（负责人）：钱多多", "多多", {"personal-name"}),
    ("联系人：欧阳娜娜、王五和赵六", "娜娜", {"personal-name"}),
    ("联系人：欧阳娜娜、王五和赵六", "王五", {"personal-name"}),
    ("联系人：欧阳娜娜、王五和赵六", "赵六", {"personal-name"}),
    ("驾驶员买买提·艾力驾驶车辆", "艾力", {"personal-name"}),
    ("员工：张伟，未戴口罩", "张伟", {"personal-name"}),
    ("经营者孙建和，男，汉族", "建和", {"personal-name"}),
    ("负责人应小天（身份证号见附件）", "小天", {"personal-name"}),
    ("举报人姓名：陈可欣", "可欣", {"personal-name"}),
    (
        "当事人张三(110105194912310 02X,电话13812345678)",
        "张三",
        {"identity-number", "phone-number", "personal-name"},
    ),
]

# What must survive untouched, however much it looks like the above.
SURVIVORS = [
    "91110000600037341L",
    "统一社会信用代码91500103MA5UAAAA1X",
    "京市监处罚〔2026〕123号",
    "渝中市监处罚〔2026〕110105号",
    "(2026)渝0103执13812号",
    "罚款12000.00元，没收违法所得1,280.50元",
    "货值金额13812345678元",
    "货值13812345678.00元",
    "合计13800000000余元",
    "订单号13812345678",
    "运单号：13912345678",
    "订单编号4111111111111111",
    "支付宝交易号2026042022001412345678901234",
    "微信支付单号4200001234202604201234567890",
    "食品经营许可证JY15001030001234",
    "许可证编号SC11050010300123",
    "工商注册号500103000012345",
    "注册号：110105600101234",
    "承诺编码32010020230217000011",
    "承诺编码50010320260415000012，已公示",
    "2026年4月20日至2026-05-06 10:00:00",
    "有效期至20991231",
    "生产批号20260420，批次1234567",
    "商品条码6901234567892",
    "身份证件已核验",
    "当事人销售超过保质期的预包装食品，已整改。",
    "当事人陈述，其不知情",
    "当事人张贴的广告",
    "当事人于近日，到案",
    "当事人应当在收到之日起",
    "当事人成立于2020年，从事餐饮",
    "当事人许可证到期，",
    "当事人和平饭店有限公司",
    "当事人：重庆安恒商贸有限公司",
    "当事人金山食品经营部，",
    "负责人应当及时整改",
    "法定代表人变更，未登记",
    "经营者周转资金，",
    "会计方法，不符合准则",
    "股东大会决议、员工宿舍、职工代表",
    "当事人张某在现场",
    "法定代表人：李某某，",
    "联系人：无",
    "第1条至第12345条",
    "13812345",
    "23-4567-8901",
    "容量1380 1234 ml",
]


@pytest.mark.parametrize(("text", "gone", "kinds"), MASKED)
def test_masked(text: str, gone: str, kinds: set[str]) -> None:
    result = scrub(text)
    assert gone not in result.text
    assert set(result.found) == kinds
    assert scrub(result.text) == (result.__class__(result.text, ()))


@pytest.mark.parametrize("text", SURVIVORS)
def test_survives(text: str) -> None:
    assert scrub(text).text == text


def test_all_else_stays() -> None:
    text = "当事人张三(身份证号11010519491231002X，电话13812345678)，订单号13812345678，卡号 6222021234567890128。"
    masked = text.replace("张三", "张某").replace("11010519491231002X", "〔身份证号码已隐去〕")
    masked = masked.replace("电话13812345678", "电话〔电话号码已隐去〕").replace(
        "6222021234567890128", "〔银行卡号已隐去〕"
    )
    assert scrub(text).text == masked


def test_the_surname_stays() -> None:
    assert scrub("当事人张三、法定代表人：欧阳娜娜").text == "当事人张某、法定代表人：欧阳某"


def test_the_representative_is_named_where_the_item_publishes_him() -> None:
    text = "法定代表人：李四，联系人：王五"
    assert scrub(text, names_representative=True).text == "法定代表人：李四，联系人：王某"
    assert scrub(text).text == "法定代表人：李某，联系人：王某"


def test_a_code_of_an_organisation_that_is_also_a_number_of_a_person_is_a_code() -> None:
    """About one in 31 x 11 identity numbers of some provinces meets GB 32100 too; ``Uscc.parse`` decides alike."""
    codes = [compose("11", f"01{place:02}19", f"491231{serial:02}") for place in range(100) for serial in range(100)]
    both = [code for code in codes if code.isdigit() and is_resident_identity_number(code)]
    assert both
    for code in both:
        assert scrub(f"代码{code}。").text == f"代码{code}。"


def number(province: str, district: int, born: date, serial: int) -> str:
    first17 = f"{province}{district:04}{born:%Y%m%d}{serial:03}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return first17 + "10X98765432"[sum(int(d) * w for d, w in zip(first17, weights, strict=True)) % 11]


def numbers(latest: date) -> st.SearchStrategy[str]:
    return st.builds(
        number,
        st.sampled_from(sorted(PROVINCES)),
        st.integers(0, 9999),
        st.dates(date(1900, 1, 1), latest),
        st.integers(0, 999),
    )


def is_code(text: str) -> bool:
    try:
        return not Uscc.parse(text).quality_flags
    except Problem:
        return False


surroundings = st.text(st.characters(exclude_categories=("Cs", "Nd")), max_size=12)
FULL_WIDTH = str.maketrans("0123456789X", "０１２３４５６７８９Ｘ")
HALF_WIDTH = str.maketrans("０１２３４５６７８９Ｘ", "0123456789X")
CHARSET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


@st.composite
def spelled(draw: st.DrawFn, chosen: str) -> str:
    """An identity number as people write it: gaps, full width, a small x."""
    gaps = draw(st.lists(st.sampled_from(["", "", "", " ", "-", "  ", "　", "\u200b"]), min_size=17, max_size=17))
    text = "".join(digit + gap for digit, gap in zip(chosen, [*gaps, ""], strict=True))
    if draw(st.booleans()):
        text = text.translate(FULL_WIDTH)
    return text.lower() if draw(st.booleans()) else text


def digits_of(text: str) -> str:
    """Every digit and check character of a text in one row: a number left anywhere in it would show."""
    half = text.translate(
        {ord(full): ord(plain) for plain, full in zip("0123456789X", "０１２３４５６７８９Ｘ", strict=True)}
    )
    return re.sub(r"[^0-9X]", "", half.upper())


@given(st.data(), numbers(date(2026, 5, 6)), surroundings, surroundings)
def test_no_identity_number_survives_in_any_text(data: st.DataObject, chosen: str, before: str, after: str) -> None:
    assume(not is_code(chosen))
    assume(not before.endswith(tuple("xXＸｘⅩⅹ×╳Χχ")) and not re.match(r"[A-Za-z]", after))
    text = before + data.draw(spelled(chosen)) + after
    result = scrub(text)
    assert holds_identity_number(text)
    assert not holds_identity_number(result.text)
    assert chosen not in digits_of(result.text)
    assert "identity-number" in result.found
    if set(result.found) == {"identity-number"}:
        assert result.text.startswith(before[:-1])
        assert result.text.endswith(after)
    assert scrub(result.text).text == result.text


@given(numbers(date(2011, 12, 31)), st.text("0123456789", max_size=20), st.text("0123456789", max_size=20))
def test_no_adults_number_survives_inside_a_longer_number(chosen: str, before: str, after: str) -> None:
    assume((before or after) and not is_code(chosen))
    assume(len(before + after) != 2 or (before + chosen + after)[6:8] != "20")  # a commitment code has 20 digits
    result = scrub(f"号码{before}{chosen}{after}。")
    assert chosen not in result.text
    assert scrub(result.text).text == result.text


@given(st.text(max_size=60))
def test_masking_twice_is_masking_once(text: str) -> None:
    once = scrub(text)
    assert scrub(once.text).text == once.text
    assert scrub(once.text).found == ()


@given(st.text("0123456789", min_size=1, max_size=25))
def test_luhn_knows_its_check_digit(digits: str) -> None:
    valid = [check for check in "0123456789" if is_luhn(digits + check)]
    assert len(valid) == 1


@given(
    st.sampled_from(["91", "92", "12", "51", "N2"]), st.text("0123456789ABCDEFGHJKLMNPQRTUWXY", min_size=6, max_size=6)
)
def test_every_code_of_an_organisation_survives(category: str, body: str) -> None:
    code = compose(category, "500103", "MA" + body)
    for text in (code, f"当事人(统一社会信用代码{code})销售食品", f"代码:{code},"):
        assert scrub(text).text == text
