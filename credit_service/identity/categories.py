"""Characters 1 and 2 of the code: registering authority and category (GB 32100-2015 with amendment No. 1 of 2016)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Category:
    """A registering authority 登记管理部门 and a category 机构类别 below it."""

    code: str
    authority_zh: str
    authority_en: str
    name_zh: str
    name_en: str


_AUTHORITIES = {
    "1": ("机构编制", "Staffing commission"),
    "2": ("外交", "Foreign affairs"),
    "3": ("司法行政", "Judicial administration"),
    "4": ("文化", "Culture"),
    "5": ("民政", "Civil affairs"),
    "6": ("旅游", "Tourism"),
    "7": ("宗教", "Religious affairs"),
    "8": ("工会", "Trade unions"),
    "9": ("工商(市场监管)", "Market regulation"),
    "A": ("中央军委改革和编制办公室", "Central Military Commission office for reform and staffing"),
    "N": ("农业", "Agriculture"),
    "Y": ("其他", "Other"),
}

_CATEGORIES = {
    "11": ("机关", "State organ"),
    "12": ("事业单位", "Public institution"),
    "13": ("中央编办直接管理机构编制的群众团体", "Mass organisation managed by the central staffing commission"),
    "19": ("其他", "Other"),
    "21": ("外国常驻新闻机构", "Resident foreign news organisation"),
    "29": ("其他", "Other"),
    "31": ("律师执业机构", "Law practice"),
    "32": ("公证处", "Notary office"),
    "33": ("基层法律服务所", "Grass-roots legal service"),
    "34": ("司法鉴定机构", "Forensic institution"),
    "35": ("仲裁委员会", "Arbitration commission"),
    "39": ("其他", "Other"),
    "41": ("外国在华文化中心", "Foreign cultural centre"),
    "49": ("其他", "Other"),
    "51": ("社会团体", "Social organisation"),
    "52": ("民办非企业单位", "Private non-enterprise unit"),
    "53": ("基金会", "Foundation"),
    "59": ("其他", "Other"),
    "61": ("外国旅游部门常驻代表机构", "Office of a foreign tourism authority"),
    "62": ("港澳台地区旅游部门常驻内地(大陆)代表机构", "Office of a Hong Kong, Macao or Taiwan tourism authority"),
    "69": ("其他", "Other"),
    "71": ("宗教活动场所", "Place of religious activity"),
    "72": ("宗教院校", "Religious school"),
    "79": ("其他", "Other"),
    "81": ("基层工会", "Grass-roots trade union"),
    "89": ("其他", "Other"),
    "91": ("企业", "Enterprise"),
    "92": ("个体工商户", "Individual business"),
    "93": ("农民专业合作社", "Farmers' cooperative"),
    "99": ("其他", "Other"),
    "A1": ("军队事业单位", "Military institution"),
    "A9": ("其他", "Other"),
    "N1": ("组级集体经济组织", "Group-level collective economic organisation"),
    "N2": ("村级集体经济组织", "Village-level collective economic organisation"),
    "N3": ("乡镇级集体经济组织", "Township-level collective economic organisation"),
    "N9": ("其他", "Other"),
    "Y1": ("其他", "Other"),
}

CATEGORIES: dict[str, Category] = {
    code: Category(code, *_AUTHORITIES[code[0]], *names) for code, names in _CATEGORIES.items()
}
"""Every first-and-second-character pair. 99 is carried from memory ([M] in the sources): admitted, never required."""
