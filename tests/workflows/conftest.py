"""The house in which the tests of the workflows live."""

from __future__ import annotations

import pytest

from tests.api import Api
from tests.workflows.support import House, furnished


@pytest.fixture
async def house(api: Api) -> House:
    return await furnished(api)
