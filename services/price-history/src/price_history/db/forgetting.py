"""Forgetting all of history, to be made anew; and how far back it reaches."""

from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

_OLDEST: Final = sa.text("""
SELECT least(
  (SELECT min(head_begins) FROM products),
  (SELECT min(begins) FROM chunks JOIN products USING (product_no) WHERE deleted_at IS NULL),
  (SELECT min(begins) FROM rollups)
)
""")
# Not TRUNCATE, for which the role that runs this has no right.
_FORGET: Final = [
    sa.text(f"DELETE FROM {table}")  # noqa: S608 - constants
    for table in ("rollup_queue", "rollups", "chunks", "offers", "products", "retention")
]


async def oldest_change(connection: AsyncConnection) -> datetime | None:
    """When history begins, of products that were not deleted; None if there is none."""
    oldest: datetime | None = await connection.scalar(_OLDEST)
    return oldest


async def forget_everything(connection: AsyncConnection) -> None:
    """Delete every product, deleted ones too, with all that is known of it."""
    for statement in _FORGET:
        await connection.execute(statement)
