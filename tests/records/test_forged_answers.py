"""Answers with proofs that somebody changed on the way: what they say then is not what the log holds."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest

from credit_service.audit.answers import OF_EVERY_RECORD, read_answer
from credit_service.audit.openings import SALT, committed_by
from credit_service.audit.verification import Report
from credit_service.platform.context import Actor
from credit_service.records import life, store
from credit_service.records.views import public_members
from tests.api import COMPANY, OTHER_COMPANY, Api
from tests.records.test_proofs import Signer, answered, faults, proved, signer

__all__ = ["signer"]

Answer = dict[str, Any]
Change = Callable[[Answer], object]


def opened(answer: Answer, name: str) -> dict[str, str]:
    """The opening of a field of an answer's only version."""
    (found,) = (field for field in answer["proofs"][0]["opening"] if field["name"] == name)
    return found  # type: ignore[no-any-return]


def beside_its_digest(answer: Answer) -> None:
    """The true digest of a field, and another value beside it."""
    field = opened(answer, "severity")
    field["digest"] = sha256(bytes.fromhex(field["salt"]) + f"severity={field['value']}".encode()).hexdigest()
    field["value"] = '"minor"'
    answer["severity"] = "minor"


def hidden(answer: Answer, name: str, shown: str = "") -> None:
    """A field is turned into a digest under another name, and the answer says null or nothing."""
    field = opened(answer, name)
    digest = sha256(bytes.fromhex(field.pop("salt")) + f"{name}={field.pop('value')}".encode()).hexdigest()
    field |= {"digest": digest, "name": shown or name}


def renamed(answer: Answer) -> None:
    """The salt swallows the beginning of a field's name."""
    field = opened(answer, "entity_name")
    field["salt"] += b"entity_".hex()
    field["name"] = "name"
    answer["name"] = answer.pop("entity_name")


RECORD: dict[str, tuple[Change, set[str]]] = {
    "a value beside its digest": (beside_its_digest, {"proof-invalid", "answer-unproved"}),
    "a name cut off by its salt": (renamed, {"proof-invalid", "answer-unproved", "answer-altered"}),
    "a dispute left out": (lambda a: (hidden(a, "disputed_since"), a.pop("disputed_since")), {"answer-altered"}),
    "a dispute denied": (
        lambda a: (hidden(a, "disputed_since", "notices"), a.update(disputed_since=None)),
        {"answer-unproved"},
    ),
    "what is proved left out": (lambda a: a.pop("severity"), {"answer-altered"}),
    "another version": (lambda a: a.update(version=7), {"answer-altered"}),
    "a version that is none": (lambda a: a.update(version=[1]), {"answer-altered"}),
    "a proof twice": (lambda a: a.update(proofs=a["proofs"] * 2), {"answer-altered"}),
    "a number for a text": (lambda a: a["facts"].update(fine_amount=12000.0), {"answer-altered"}),
    "a day for the same digits": (lambda a: a.update(decided_on="2026-W19-3"), {"answer-altered"}),
    "an index with a nought before it": (
        lambda a: a["proofs"][0].update(tlog_proof=a["proofs"][0]["tlog_proof"].replace("index ", "index 0")),
        {"proof-invalid", "answer-unproved"},
    ),
    "another entity": (lambda a: a.update(uscc=OTHER_COMPANY), {"answer-altered", "answer-unproved"}),
}


async def test_a_record_says_what_its_proofs_say_and_all_of_it(api: Api, signer: Signer) -> None:
    record_id = (await api.submit()).json()["id"]
    async with api.database.transaction() as session:
        row, now = await store.by_id_locked(session, UUID(record_id)), api.clock.now()
        assert row is not None
        await life.dispute(session, Actor("officer", "request"), now, row, since=now, reason="受理异议")
    await signer.sign()
    answer = await answered(api, record_id)
    assert signer.verify(answer).holds
    assert answer["disputed_since"] is not None
    for name, (change, expected) in RECORD.items():
        forged = copy.deepcopy(answer)
        change(forged)
        report = signer.verify(forged)
        assert (faults(report), report.holds) == (expected, False), name


async def test_a_profile_is_proved_whatever_it_calls_itself(api: Api, signer: Signer) -> None:
    """Nothing is believed of an entity because the member that would have asked for its proof is gone."""
    await api.submit()
    other = (await api.submit(uscc=OTHER_COMPANY, entity_name="重庆另一有限公司")).json()["id"]
    await signer.sign()
    profile = await proved(api, f"/v1/entities/{COMPANY}?proof=true")
    page = await proved(api, f"/v1/entities/{COMPANY}/records?proof=true")
    theirs = await answered(api, other)
    assert signer.verify(profile).holds
    assert signer.verify(page).holds

    def altered(answer: Answer, change: Change) -> Report:
        forged = copy.deepcopy(answer)
        change(forged)
        report = signer.verify(forged)
        assert not report.holds
        return report

    assert faults(altered(profile, lambda a: (a.pop("audience"), a.update(name="重庆假冒有限公司")))) == {
        "answer-altered"
    }
    assert "answer-altered" in faults(altered(profile, lambda a: (a.pop("audience"), a.update(uscc=OTHER_COMPANY))))
    assert faults(altered(profile, lambda a: a.pop("registration_status"))) == {"answer-altered"}
    assert "answer-altered" in faults(altered(profile, lambda a: a["records"].append(theirs)))
    assert "answer-altered" in faults(altered(page, lambda a: a["records"].append(theirs)))
    assert faults(altered(page, lambda a: a["records"].append(a["records"][0]))) == {"answer-altered"}
    assert faults(altered(page, lambda a: a.update(verdict="clean"))) >= {"answer-unproved"}
    assert "answer-unproved" in faults(altered(page, lambda a: a.update(records={"0": a["records"][0]})))
    for nonsense in (None, 5, "x", [], {"proofs": 5}, {"proofs": "x"}, {"proofs": [None, 5]}):
        altered(page, lambda a, what=nonsense: a["records"].append(what))  # type: ignore[misc]
        altered(page, lambda a, what=nonsense: a.update(records=[what]))  # type: ignore[misc]
    told = signer.verify(profile).unproved
    assert {"summary", "distrust_punishment_subject", "polarity"} <= told, "what rests on no proof is named"
    assert not told & {"name", "severity", "facts"}


async def test_what_everybody_is_shown_of_a_record_is_known_to_the_verifier() -> None:
    assert {*public_members, "facts"} - {"id", "uscc"} == OF_EVERY_RECORD


@pytest.mark.parametrize(
    "content",
    [
        b'{"severity":"minor","severity":"serious"}',
        b'{"records":[{"id":"1","id":"2"}]}',
        b'{"fine":NaN}',
        b'{"fine":-Infinity}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'["records"]',
        b"null",
        b"\xff\xfe",
    ],
)
def test_what_can_be_read_in_two_ways_is_no_answer(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_answer(content)
    assert read_answer(b'{"records":[]}') == {"records": []}


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "00" * 32},
        {"digest": None},
        {"salt": "00" * (SALT - 1)},
        {"salt": "00" * (SALT + 1)},
        {"name": "a=b"},
    ],
)
def test_a_field_is_shown_with_its_salt_or_hidden(change: dict[str, Any]) -> None:
    field = {"name": "severity", "salt": "00" * SALT, "value": json.dumps("minor")}
    assert len(committed_by([field])) == 32
    with pytest.raises((ValueError, TypeError)):
        committed_by([field | change])
