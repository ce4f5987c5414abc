"""Names of persons after role words, and how they are masked: the surname stays, 张三 becomes 张某."""

from __future__ import annotations

import re
from collections.abc import Iterator

from credit_service.identity.surnames import DOUBLE, PLAIN, SINGLE, WORDS

_REPRESENTATIVE = ("法定代表人", "法人代表", "主要负责人", "负责人")
_ROLES = (
    *_REPRESENTATIVE,
    "实际控制人",
    "实际经营者",
    "经营者",
    "经营人",
    "当事人",
    "联系人",
    "经办人",
    "委托代理人",
    "代理人",
    "业主",
    "店主",
    "店长",
    "驾驶员",
    "驾驶人",
    "司机",
    "举报人",
    "投诉人",
    "申请人",
    "被执行人",
    "责任人",
    "受害人",
    "被害人",
    "死者",
    "伤者",
    "证人",
    "患者",
)
# These begin other words too (会计准则, 股东大会): a name follows them only after a mark.
_MARKED_ROLES = ("法人", "投资人", "股东", "合伙人", "员工", "职工", "工人", "雇员", "会计", "出纳", "消费者", "姓名")
_EVERY_ROLE = frozenset((*_ROLES, *_MARKED_ROLES))
_ROLE_LENGTHS = sorted({len(role) for role in _EVERY_ROLE}, reverse=True)
# How role words end: two sets of characters, because that is searched for ten times as fast as the words themselves.
_TAIL = re.compile(
    f"[{''.join(sorted({role[-1] for role in _EVERY_ROLE}))}](?<=[{''.join(sorted({r[-2] for r in _EVERY_ROLE}))}].)"
)
_AFTER = re.compile(
    r"(?P<label>(?:的)?(?:姓名|名字)|[(（][^()（）]{1,8}[)）])?(?P<mark>\s*(?:[:：]|为|系|是|叫)\s*|\s*[(（]\s*|\s+)?"
)
_HAN = re.compile(r"[\u3400-\u9fff]{2,4}")
_MASKED = re.compile(r"[某*＊×XxＸ]")
_BREAK = re.compile(r"$|[\s,，.。;；:：、/!！?？()（）\[\]【】〔〕《》<>\"'“”‘’|\d０-９A-Za-z+\-—*]")
_FOLLOWS = re.compile(
    r"的|在|于|因|系|为|是|等|与|和|及|并|对|将|向|以|未|不|已|曾|驾驶|负责|身份证|公民|男|女|电话|手机|联系|住|称|陈述|表示|承认|签|"
    r"出具|到场|现场|涉嫌|违反|实施|构成|销售|经营|提供|使用|擅自|私自|承诺|行为|按|经|从|自|至|到|应|需|须|可|有|无|名下|本人|先生|女士|"
    r"小姐|同志|犯|拒|逃|被|进行|雇|委托|报"
)
_DOT = re.compile(r"[·•・]")
_LONGEST_ETHNIC = 12
_ETHNIC = re.compile(
    rf"[\u4e00-\u9fff]{{2,8}}(?:[·•・][\u4e00-\u9fff]{{1,8}}?){{1,2}}(?={_BREAK.pattern}|{_FOLLOWS.pattern})"
)
_PARTICLES = frozenset("的在于是系被将未不已曾因及与")
"""They follow a name and hardly end one."""
_PERSON = re.compile(
    r"[\s,，、(（]{0,2}(?:男|女|身份证|公民身份|[\u4e00-\u9fff]{1,4}族|\d{4}年\d{1,2}月.{0,4}出?生|系|住)"
)
_AND = re.compile(r"\s*[、/和及与]\s*")

Name = tuple[int, int, str]


def names_in(text: str, *, names_representative: bool) -> Iterator[Name]:
    """Names after role words as (start, end, what stands there instead), from left to right."""
    for tail in _TAIL.finditer(text):
        role = _role_before(text, tail.end())
        if role is None or (names_representative and role in _REPRESENTATIVE):
            continue
        after = _AFTER.match(text, tail.end())
        assert after is not None, "every part of it is optional"
        marked = bool((after["mark"] or "").strip()) or after["label"] is not None
        if role in _MARKED_ROLES and not marked:
            continue
        position = after.end()
        while found := _name_at(text, position, marked=marked):
            yield found
            more = _AND.match(text, found[1]) if marked else None
            if more is None:
                break
            position = more.end()


def _role_before(text: str, end: int) -> str | None:
    """The longest role word that ends here."""
    for length in _ROLE_LENGTHS:
        if text[max(0, end - length) : end] in _EVERY_ROLE:
            return text[max(0, end - length) : end]
    return None


def _name_at(text: str, start: int, *, marked: bool) -> Name | None:
    """The name that begins here, if one does."""
    if _DOT.search(text, start, start + _LONGEST_ETHNIC) and (ethnic := _ETHNIC.match(text, start)):
        return start, ethnic.end(), text[start] + "某"
    run = _HAN.match(text, start)
    if run is None:
        return None
    surname = text[start : start + 2] if text[start : start + 2] in DOUBLE else text[start]
    if surname not in DOUBLE and surname not in SINGLE:
        return None
    longest = start + len(surname) + 1
    for given in (1, 2) if text[longest : longest + 1] in _PARTICLES else (2, 1):
        end = start + len(surname) + given
        if end <= run.end() and _is_name(text, start, end, surname, marked=marked):
            return start, end, surname + "某"
    return None


def _is_name(text: str, start: int, end: int, surname: str, *, marked: bool) -> bool:
    if _MASKED.search(text, start, end):
        return False
    if _PERSON.match(text, end):
        return True
    if surname not in DOUBLE and text[start : start + 2] in WORDS:
        return False
    if _BREAK.match(text, end):
        return True
    return (marked or surname in PLAIN or surname in DOUBLE) and bool(_FOLLOWS.match(text, end))
