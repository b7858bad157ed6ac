"""Forgetting all of history, to be made anew; and from when to when it reaches."""

from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

_SPAN: Final = sa.text("""
SELECT EXISTS (SELECT FROM products) AS known,
  least(
    (SELECT min(head_begins) FROM products),
    (SELECT min(begins) FROM chunks JOIN products USING (product_no) WHERE deleted_at IS NULL),
    (SELECT min(begins) FROM rollups)
  ) AS oldest,
  (SELECT max(observed_at) FROM products) AS newest
""")
# Not TRUNCATE, for which the role that runs this has no right.
_FORGET: Final = [
    sa.text(f"DELETE FROM {table}")  # noqa: S608 - constants
    for table in ("rollup_queue", "rollups", "chunks", "offers", "products", "retention")
]


async def span(connection: AsyncConnection) -> tuple[datetime | None, datetime | None] | None:
    """When the history of what was not deleted begins, and when the last list of all was observed.

    None if there are no products; no times if there was no list.
    """
    row = (await connection.execute(_SPAN)).one()
    return (row.oldest, row.newest) if row.known else None


async def forget_everything(connection: AsyncConnection) -> None:
    """Delete every product, deleted ones too, with all that is known of it."""
    for statement in _FORGET:
        await connection.execute(statement)
