"""Cursors that no list gave: refused with their name, or answered, never a failure."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from credit_service.platform import paging
from credit_service.platform.errors import Problem
from credit_service.platform.paging import encode_cursor
from credit_service.supervision.classes.tier_routes import PLACES
from tests.api import Api
from tests.hardening.reads import reads
from tests.test_app import UNKNOWN_ID

LAST = "9999-12-31T23:59:59-14:00"
"""An instant beyond the last day in UTC."""
FIRST = "0001-01-01T00:00:00+14:00"
FORGED = (
    "", "%", "é", "bnVsbA", "e30", "WzFl",
    *(encode_cursor(place) for place in (None, -1, 2**63, "a\x00b", "\U0001f600" * 3000, [])),
    *(encode_cursor(moment, UNKNOWN_ID) for moment in (FIRST, LAST, "2026-05-06T00:00:00", "9999-12-31", 2**63)),
    encode_cursor("2026-05-06T00:00:00Z", "a\x00b"),
)  # fmt: skip
KINDS = (paging.BY_MOMENT, paging.BY_DAY, paging.BY_ID, paging.BY_TEXT, paging.BY_NUMBER, *PLACES.values())


@given(
    st.one_of(
        st.text(max_size=40),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5)
            | st.sampled_from([FIRST, LAST, UNKNOWN_ID, "risk"]),
            lambda inner: st.lists(inner, max_size=4), max_leaves=6,
        ).map(encode_cursor),
    )
)  # fmt: skip
def test_a_place_is_of_the_lists_own_type_or_refused(cursor: str) -> None:
    for kind in KINDS:
        try:
            place = paging.place_of(cursor, kind)
        except Problem as problem:
            assert problem.type is paging.CURSOR_INVALID
            continue
        assert place is not None
        assert paging.place_of(encode_cursor(*place), kind) == place


def test_places_come_back() -> None:
    moment, identifier = datetime(2026, 5, 6, 7, 8, 9, 123456, tzinfo=UTC), UUID(UNKNOWN_ID)
    assert paging.place_of(encode_cursor(moment, identifier), paging.BY_MOMENT) == (moment, identifier)
    assert paging.place_of(encode_cursor(moment.date(), identifier), paging.BY_DAY) == (moment.date(), identifier)
    assert paging.place_of(encode_cursor(7), paging.BY_NUMBER) == (7,)
    assert paging.place_of(None, paging.BY_ID) is None


async def test_no_cursor_makes_a_list_fail(api: Api) -> None:
    assert (await api.submit()).status_code == 201
    answered: Counter[int] = Counter()
    wrong = []
    for path, role, parameters in reads(api):
        names = {str(each["name"]) for each in parameters if each["in"] == "query"}
        for name, forged in itertools.product(names & {"cursor", "after"}, FORGED):
            answer = await api.get(path, role, params={name: forged})
            answered[answer.status_code] += 1
            if answer.status_code >= 500:
                wrong.append(f"{role} {path} {name}={forged[:60]}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)
    assert answered[400] > 300, answered
