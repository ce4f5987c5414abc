"""The catalogue's names as a reference table, for rendering in SQL; the catalogue itself is data in schemas/."""

from __future__ import annotations

import asyncpg

from credit_service.catalogue.models import Catalogue, Item
from credit_service.platform.database import connect_arguments

_STORED = "SELECT code, name_zh, name_en, kind, polarity, list_colour, section, edition FROM catalogue_item"

_UPSERT = """
INSERT INTO catalogue_item (code, name_zh, name_en, kind, polarity, list_colour, section, edition)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (code) DO UPDATE SET name_zh = excluded.name_zh, name_en = excluded.name_en, kind = excluded.kind,
    polarity = excluded.polarity, list_colour = excluded.list_colour, section = excluded.section,
    edition = excluded.edition
"""


async def synchronise(owner_url: str, catalogue: Catalogue) -> int:
    """Bring the reference table to this edition, as the owner; gives how many items are new or changed.

    A changed name changes what every profile says, so those profiles are made stale in the same transaction.
    """
    connection = await asyncpg.connect(**connect_arguments(owner_url))
    try:
        async with connection.transaction():
            stored = {tuple(row) for row in await connection.fetch(_STORED)}
            shipped = [_row(item) for item in catalogue.latest_items()]
            changed = [row for row in shipped if row not in stored]
            # Written by the owner alone: a service that finds nothing to write needs no right to.
            if changed:
                await connection.executemany(_UPSERT, changed)
                await connection.execute("UPDATE profile SET fresh_until = '-infinity'")
            return len(changed)
    finally:
        await connection.close()


def _row(item: Item) -> tuple[str | None, ...]:
    names = (item.code, item.name_zh, item.name_en)
    return (*names, item.kind, item.polarity, item.list_colour, item.section, item.edition)
