"""The catalogue's names as a reference table, for rendering in SQL; the catalogue itself is data in schemas/."""

from __future__ import annotations

import asyncpg

from credit_service.catalogue.models import Catalogue
from credit_service.platform.database import connect_arguments

_UPSERT = """
INSERT INTO catalogue_item (code, name_zh, name_en, kind, polarity, list_colour, section, edition)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (code) DO UPDATE SET name_zh = excluded.name_zh, name_en = excluded.name_en, kind = excluded.kind,
    polarity = excluded.polarity, list_colour = excluded.list_colour, section = excluded.section,
    edition = excluded.edition
WHERE (catalogue_item.name_zh, catalogue_item.name_en, catalogue_item.kind, catalogue_item.polarity,
       catalogue_item.list_colour, catalogue_item.section, catalogue_item.edition)
    IS DISTINCT FROM (excluded.name_zh, excluded.name_en, excluded.kind, excluded.polarity, excluded.list_colour,
       excluded.section, excluded.edition)
RETURNING code
"""


async def synchronise(owner_url: str, catalogue: Catalogue) -> int:
    """Bring the reference table to this edition, as the owner; gives how many items are new or changed.

    A changed name changes what every profile says, so those profiles are made stale in the same transaction.
    """
    connection = await asyncpg.connect(**connect_arguments(owner_url))
    try:
        async with connection.transaction():
            changed = 0
            for item in catalogue.latest_items():
                values = (item.code, item.name_zh, item.name_en, item.kind, item.polarity, item.list_colour)
                changed += bool(await connection.fetch(_UPSERT, *values, item.section, item.edition))
            if changed:
                await connection.execute("UPDATE profile SET fresh_until = '-infinity'")
            return changed
    finally:
        await connection.close()
