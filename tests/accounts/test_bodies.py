"""An id in a body reaches what the same id reaches in a path: one's own, and another's is as one that never was."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from credit_service.accounts.rules import Role
from tests.accounts.objects import UNKNOWN_ID, World
from tests.accounts.test_matrix import world
from tests.api import OTHER_AGENCY, OTHER_COMPANY
from tests.workflows.support import COMMITMENT, PROOF

__all__ = ["world"]

OTHERS = {"agency": OTHER_AGENCY, "entity": OTHER_COMPANY}


def with_file(attachment_id: str) -> dict[str, Any]:
    return PROOF | {"attachment_ids": [attachment_id]}


async def bodies(world: World) -> dict[str, tuple[str, dict[str, Any], str]]:
    """Path, body and the id in it that is COMPANY's."""
    record = await world.record()
    quiet = {"facts": {"penalty_categories": ["警告"], "fine_amount": None}, "document_number": "渝中罚警告号"}
    unpublished = (await world.api.submit(**quiet)).json()["id"]
    assert (await world.api.get(f"/v1/records/{unpublished}")).status_code == 404
    files = await world.path("/v1/repairs/{case_id}/attachments/{attachment_id}", Role.SUBJECT)
    file = files.rsplit("/", 1)[1]
    objection = {"record_id": record, "ground": "content-wrong", "reason": "罚款金额登记有误", "interest": "影响投标"}
    return {
        "a record to be repaired": (
            "/v1/repairs",
            {"record_ids": [unpublished], "materials": [PROOF], "commitment": COMMITMENT},
            unpublished,
        ),
        "a record objected to": ("/v1/objections", objection | {"record_id": unpublished}, unpublished),
        "a file as proof": ("/v1/objections", objection | {"materials": [with_file(file)]}, file),
    }


@pytest.mark.parametrize("name", ["a record to be repaired", "a record objected to", "a file as proof"])
async def test_an_id_in_a_body_names_ones_own_or_nothing(world: World, name: str) -> None:
    path, body, own = (await bodies(world))[name]
    unknown = json.loads(json.dumps(body).replace(own, UNKNOWN_ID))
    answers = []
    for sent in (body, unknown):
        answer = await world.api.call("POST", path, Role.SUBJECT, json=copy.deepcopy(sent), **OTHERS)
        problem = {key: value for key, value in answer.json().items() if key not in ("request_id", "instance")}
        answers.append((answer.status_code, json.loads(json.dumps(problem).replace(own, UNKNOWN_ID))))
    assert answers[0] == answers[1]
    assert answers[0][0] in (404, 422), answers[0]
    mine = await world.api.call("POST", path, Role.SUBJECT, json=body)
    assert mine.status_code != 404, mine.text


async def test_what_an_agency_inspects_by_is_its_own(world: World) -> None:
    item = {"code": "food-safety", "name": "食品销售抽查", "legal_basis": "食品安全法第一百一十条"}
    made = await world.api.call("POST", "/v1/inspections/items", Role.REGULATOR, json=item)
    assert made.status_code in (200, 201), made.text
    own = await world.api.get("/v1/inspections/items", Role.REGULATOR)
    theirs = await world.api.get("/v1/inspections/items", Role.REGULATOR, agency=OTHER_AGENCY)
    assert ("food-safety" in own.text, theirs.status_code, "food-safety" in theirs.text) == (True, 200, False)
