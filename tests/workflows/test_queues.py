"""What officers work from: queues and their counts, filters, and what may be done until when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from credit_service.accounts.rules import Role
from credit_service.identity.uscc import compose
from tests.workflows.support import (
    COLLEAGUE,
    LISTING,
    OFFICER,
    SUBJECT,
    SUPERVISOR,
    House,
    Person,
)
from tests.workflows.test_repairs import GRANT, under_review

QUEUES = ("mine", "agency", "unassigned", "overdue", "due-today", "supervised")


async def queues(house: House, person: Person, more: str = "") -> dict[str, set[str]]:
    """The cases in each queue, whose counts are the same."""
    found = {
        name: {
            f"/v1/repairs/{case['id']}"
            for case in (await house.get(f"/v1/repairs?queue={name}{more}", person))["cases"]
        }
        for name in QUEUES
    }
    counts = await house.get(f"/v1/repairs/counts?{more.removeprefix('&')}", person)
    assert {name.replace("-", "_"): len(cases) for name, cases in found.items()} == counts
    return found


async def actions(house: House, path: str, person: Person) -> dict[str, Any]:
    answer = await house.get(f"{path}/actions", person)
    return {action["action"]: action["until"] for action in answer["actions"]}


async def test_a_case_is_in_the_queues_where_somebody_looks_for_it(house: House) -> None:
    waiting = await house.repair(await house.record())
    taken = await house.repair(await house.record(document_number="渝中市监处罚〔2026〕2号"))
    await house.done(taken, "accept", OFFICER)
    draft = await house.repair(await house.record(document_number="渝中市监处罚〔2026〕3号"), submit=False)
    both, none = {waiting, taken}, set[str]()
    asked = {"overdue": none, "due-today": none, "supervised": none}
    assert await queues(house, OFFICER) == asked | {"mine": {taken}, "agency": both, "unassigned": {waiting}}
    assert await queues(house, COLLEAGUE) == asked | {"mine": none, "agency": both, "unassigned": {waiting}}
    theirs = dict.fromkeys(QUEUES, none) | {"supervised": both}
    assert await queues(house, SUPERVISOR) == theirs, "whoever supervises decides nothing"
    assert draft not in {case for cases in (await queues(house, OFFICER)).values() for case in cases}
    only = await queues(house, OFFICER, "&state=accepted")
    assert (only["agency"], only["unassigned"]) == ({taken}, none)
    house.api.clock.instant += timedelta(days=3)  # Saturday 9 May 2026 is a working day, the last of three
    found = await queues(house, OFFICER)
    assert (found["due-today"], found["overdue"]) == ({waiting}, none)
    house.api.clock.instant += timedelta(days=1)
    found = await queues(house, OFFICER)
    assert (found["due-today"], found["overdue"]) == (none, {waiting})
    await house.done(waiting, "withdraw", SUBJECT)
    assert await queues(house, OFFICER) == asked | {"mine": {taken}, "agency": {taken}, "unassigned": none}


async def test_what_is_left_of_a_decided_case_is_in_the_queues_by_time(house: House) -> None:
    elsewhere = compose("91", "310115", "MA000003")
    abroad = Person("abroad", Role.SUBJECT, entity=elsewhere)
    path = await house.repair(await house.record(uscc=elsewhere, **LISTING), abroad)
    await under_review(house, path)
    await house.done(path, "propose", OFFICER)
    await house.done(path, "grant", COLLEAGUE, GRANT)
    assert (await queues(house, OFFICER))["due-today"] == set()
    house.api.clock.instant += timedelta(days=3)
    assert (await queues(house, OFFICER))["due-today"] == {path}
    house.api.clock.instant += timedelta(days=1)
    found = await queues(house, OFFICER)
    assert (found["overdue"], found["agency"]) == ({path}, set())
    assert (await actions(house, path, OFFICER))["confirm-push"] == "2026-05-09T16:00:00Z"
    await house.done(path, "confirm-push", OFFICER, {"reason": "已推送上海市"})
    assert (await queues(house, OFFICER))["overdue"] == set()


async def test_everybody_is_told_what_it_may_do_and_until_when(house: House) -> None:
    path = await house.repair(await house.record())
    assert await actions(house, path, SUBJECT) == {"withdraw": None}
    assert await actions(house, path, SUPERVISOR) == {}
    assert await actions(house, path, OFFICER) == {
        "accept": "2026-05-09T16:00:00Z",
        "claim": None,
        "refuse": "2026-05-09T16:00:00Z",
        "request-supplement": None,
    }
    await under_review(house, path)
    found = await actions(house, path, OFFICER)
    assert (found["grant"], found["reject"], found["extend"]) == (
        "2026-05-14T16:00:00Z",
    ) * 3  # seven working days, the Saturday among them
    await house.done(path, "request-supplement", OFFICER, {"reason": "请补充凭证", "supplement_by": "2026-05-20"})
    waiting = await house.get(f"{path}/actions", SUBJECT)
    assert {action["action"]: action["needs_reason"] for action in waiting["actions"]} == {
        "supplement": False,
        "withdraw": False,
    }
