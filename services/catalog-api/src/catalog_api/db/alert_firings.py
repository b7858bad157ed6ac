"""The log of what fired: each firing once, counted at its alert."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog_api.db.database import Database
from catalog_api.domain.alerts import LoggedFiring
from catalog_api.domain.webhooks import Position

_INSERT: Final = sa.text(
    """
    WITH fired AS (
        INSERT INTO alert_firings (id, alert_id, product_id, at, price, reference)
        SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:alert_ids AS uuid[]), CAST(:product_ids AS uuid[]),
            CAST(:moments AS timestamptz[]), CAST(:prices AS bigint[]), CAST(:compared_with AS bigint[]))
        ON CONFLICT (id) DO NOTHING RETURNING id, alert_id, at
    ), counted AS (
        UPDATE alerts SET firings_count = firings_count + new.number, last_fired_at = greatest(last_fired_at, new.at)
        FROM (SELECT alert_id, count(*) AS number, max(at) AS at FROM fired GROUP BY alert_id) AS new
        WHERE alerts.id = new.alert_id
    )
    SELECT id FROM fired
    """
)
_SHOWN: Final = "id, alert_id, product_id, at, price, reference"
# By alert_firings_by_alert, one step for each.
_NEWEST: Final = f"SELECT {_SHOWN} FROM alert_firings WHERE alert_id = $1 ORDER BY at DESC, id DESC LIMIT $2"  # noqa: S608
_NEXT: Final = (
    f"SELECT {_SHOWN} FROM alert_firings WHERE alert_id = $1 AND (at, id) < ($3, $4) "  # noqa: S608
    "ORDER BY at DESC, id DESC LIMIT $2"
)
_PRUNE: Final = sa.text(
    """
    DELETE FROM alert_firings WHERE id IN (
        SELECT id FROM alert_firings WHERE created_at < now() - make_interval(days => :days) LIMIT :batch
    )
    """
)


async def insert(connection: AsyncConnection, firings: Sequence[LoggedFiring]) -> set[UUID]:
    """Log these and count them; the ids of those that were not logged before."""
    rows = await connection.execute(
        _INSERT,
        {
            "ids": [firing.id for firing in firings],
            "alert_ids": [firing.alert_id for firing in firings],
            "product_ids": [firing.product_id for firing in firings],
            "moments": [firing.at for firing in firings],
            "prices": [firing.price for firing in firings],
            "compared_with": [firing.reference for firing in firings],
        },
    )
    return set(rows.scalars())


async def page(database: Database, alert_id: UUID, after: Position | None, limit: int) -> list[LoggedFiring]:
    """At most `limit` firings of an alert, newest first; a position is of the time that they are dated at."""
    async with database.reading() as connection:
        if after is None:
            rows = await connection.fetch(_NEWEST, alert_id, limit)
        else:
            rows = await connection.fetch(_NEXT, alert_id, limit, after.created_at, after.id)
    return [LoggedFiring(*row) for row in rows]


async def prune(connection: AsyncConnection, days: int, batch: int) -> int:
    """Delete up to `batch` that were logged longer ago than so many days; how many."""
    return (await connection.execute(_PRUNE, {"days": days, "batch": batch})).rowcount
