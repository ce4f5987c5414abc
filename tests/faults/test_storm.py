"""Whatever breaks under a mixed load: each acknowledged write is there once, with its events, and in the tree."""

from __future__ import annotations

import pytest

from tests.faults.storm import FAULTS, may_mount, place, storm

WRITES = 120


@pytest.mark.parametrize("fault", FAULTS)
async def test_nothing_acknowledged_is_lost_and_nothing_else_half_done(fault: str) -> None:
    if fault == "disk-full" and not may_mount():
        pytest.skip("a small disk can only be mounted by root")
    with place(fault, WRITES) as data:
        account = await storm(fault, data, WRITES)
    assert account.refusals == []
    assert account.strikes > 0, "the fault was to strike while the load ran"
    assert (account.lost, account.doubled, account.halves) == (0, 0, 0), account
    assert account.found == account.acknowledged
    assert account.acknowledged + account.abandoned == WRITES
    assert "all hold" in account.log
