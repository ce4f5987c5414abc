"""The mark of an objection on every surface, for each audience that is shown the record there."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import orjson
import pytest

from credit_service.accounts.rules import Role
from tests.api import COMPANY, penalty
from tests.audit.support import ledger
from tests.supervision.screening.listings import listing
from tests.workflows.support import ANYBODY, CLERK, COLLEAGUE, OFFICER, REGULATOR, SUBJECT, House

AUDIENCES = {"public": ANYBODY, "agency": COLLEAGUE, "regulator": REGULATOR, "subject": SUBJECT}
MARK = "2026-05-06"
ENTITY, LIST = f"/v1/entities/{COMPANY}", "/v1/lists/serious-dishonesty-government-procurement"
BARRED = {
    "uscc": COMPANY,
    "scenario": "procurement",
    "measure": "procurement-bar",
    "content": "两年内禁止参加政府采购活动",
    "department": "重庆市渝中区财政局",
    "ends_on": "2028-04-20",
}


def _of(record_id: str, rows: list[dict[str, Any]]) -> Any:
    (mark,) = {row["disputed_since"] for row in rows if record_id in (row.get("id"), row.get("record_id"))}
    return mark


async def _read(house: House, record_id: str, watchlist: str, name: str) -> dict[str, Any]:
    """What each surface says of the record to an audience."""
    person = AUDIENCES[name]
    record = f"/v1/records/{record_id}"
    past = f"as_of={house.api.clock.now():%Y-%m-%d}&known_at={quote(house.api.clock.now().isoformat())}"
    said = {
        "profile": _of(record_id, (await house.get(ENTITY, person))["records"]),
        "records": _of(record_id, (await house.get(f"{ENTITY}/records", person))["records"]),
        "record": (await house.get(record, person))["disputed_since"],
        "record in the past": (await house.get(f"{record}?{past}", person))["disputed_since"],
        "profile in the past": _of(record_id, (await house.get(f"{ENTITY}?{past}", person))["records"]),
        "list": _of(record_id, (await house.get(f"{LIST}/entries", person))["records"]),
        "list in the past": _of(record_id, (await house.get(f"{LIST}/entries?{past}", person))["records"]),
    }
    report = (await house.get(f"{ENTITY}/report", person))["report"]
    said["report"] = _of(record_id, [record for section in report["sections"] for record in section["records"]])
    (marks,) = [r["marks"] for section in report["sections"] for r in section["records"] if r["id"] == record_id]
    said["mark in the report"] = marks[0]["since"] if marks else None
    changes = (await house.get("/v1/changes?limit=1000", person))["changes"]
    said["feed"] = [change["record"] for change in changes if change.get("subject_id") == record_id][-1][
        "disputed_since"
    ]
    screened = await house.call("POST", "/v1/screenings", person, json={"codes": [COMPANY]})
    said["screening"] = _of(record_id, screened.json()["result"]["subjects"][0]["hits"])
    streamed = await house.call("POST", "/v1/screenings/stream", person, content=orjson.dumps({"code": COMPANY}))
    said["screening stream"] = _of(record_id, orjson.loads(streamed.text.splitlines()[1])["hits"])
    if person.role is not Role.PUBLIC:
        check = {"uscc": COMPANY, "scenario": "procurement"}
        checked = await house.call("POST", "/v1/measure-checks", person, json=check)
        said["measure check"] = _of(record_id, checked.json()["measures"])
        taken = (await house.get("/v1/measures/applications", person))["applications"]
        said["measure taken"] = _of(record_id, taken)
        versions = (await house.get(f"{record}/versions", person))["versions"]
        said["versions"] = [
            each["after"] for each in versions[-1]["differences"] if each["field"].endswith("/disputed_since")
        ][-1]
    if name == "regulator":
        hits = (await house.get(f"/v1/watchlists/{watchlist}/hits", person))["entities"]
        said["watchlist hits"] = _of(record_id, hits[0]["hits"])
        hits = (await house.get(f"/v1/watchlists/{watchlist}/changes", person))["changes"]
        said["watchlist"] = [hit["record"] for hit in hits if hit["subject_id"] == record_id][-1]["disputed_since"]
    for kind in ("csv", "ndjson"):
        file = await house.call("GET", f"{LIST}/export?format={kind}", person)
        said[f"export {kind}"] = MARK if MARK in file.text else None
    return said


@pytest.mark.parametrize("name", AUDIENCES)
async def test_an_objection_is_marked_on_every_surface(
    house: House, owner: asyncpg.Connection[Any], tmp_path: Path, name: str
) -> None:
    record_id = await listing(house.api)
    watched = await house.call("POST", "/v1/watchlists", REGULATOR, json={"name": "重点企业"})
    watchlist = watched.json()["id"]
    await house.call("POST", f"/v1/watchlists/{watchlist}/entities", REGULATOR, json={"add": [COMPANY]})
    await house.call("POST", "/v1/measures/applications", COLLEAGUE, json=BARRED | {"record_id": record_id})
    async with ledger(house.api.database, house.api.clock, tmp_path / "log") as log:
        await log.sequence()
        path = await house.objection(record_id, ground="wrongly-listed")
        await house.done(path, "accept", OFFICER)
        await log.sequence()
        marked = await _read(house, record_id, watchlist, name)
        assert {surface: str(value)[:10] for surface, value in marked.items()} == dict.fromkeys(marked, MARK)
        await house.done(path, "uphold", OFFICER, {"reason": "与决定书一致"})
        await log.sequence()
        decided = await _read(house, record_id, watchlist, name)
        # The past is as it was at that instant: the decision and the mark's end are of the same one.
        assert decided == dict.fromkeys(marked)


async def test_the_mark_outlives_what_the_agency_changes_meanwhile(house: House) -> None:
    record_id = await house.record()
    path = await house.objection(record_id)
    await house.done(path, "accept", OFFICER)
    again = penalty(decided_on="2026-01-20", facts={"fine_amount": "1300.00", "penalty_content": "罚款一千三百元"})
    sent = await house.call("POST", "/v1/records", CLERK, json=again)
    assert (sent.status_code, sent.json()["outcome"]) == (200, "corrected"), sent.text
    public = await house.get(f"/v1/records/{record_id}")
    assert (public["facts"]["fine_amount"], public["disputed_since"][:10]) == ("1300.00", MARK)
    plan = {
        "reason": "法院裁定批准重整计划",
        "court_name": "重庆市第五中级人民法院",
        "ruling_number": "(2026)渝05破1号",
    }
    plan |= {"ruling_number": "破1号", "ruled_on": "2026-05-06", "declaration": "本企业正在执行重整计划"}
    await house.done(f"/v1/records/{record_id}", "shielding", OFFICER, plan)
    failed = {"reason": "重整计划未能执行", "outcome": "failed", "document_number": "(2026)渝05破1号之二"}
    await house.done(f"/v1/records/{record_id}", "unshielding", OFFICER, failed | {"decided_on": "2026-05-06"})
    assert (await house.get(f"/v1/records/{record_id}"))["disputed_since"][:10] == MARK
    await house.done(path, "uphold", OFFICER, {"reason": "与决定书一致"})
    assert (await house.get(f"/v1/records/{record_id}"))["disputed_since"] is None
