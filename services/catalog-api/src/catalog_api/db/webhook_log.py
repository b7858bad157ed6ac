"""The log of deliveries: read, asked to be delivered again, and forgotten after a while."""

from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog_api.db.webhook_deliveries import CHANNEL
from catalog_api.domain.delivery import DeliveryState
from catalog_api.domain.webhooks import Attempt, Delivery, Position

SHOWN_ATTEMPTS: Final = 20
"""Of each delivery; one that is delivered again and again by hand has more."""

_DELIVERY: Final = f"""
    SELECT d.id, d.type, d.state, d.created_at, CASE WHEN d.state = 'pending' THEN d.due_at END AS next_attempt_at,
        d.ended_at, d.body AS payload,
        (
            SELECT coalesce(
                json_agg(
                    json_build_object(
                        'at', a.at, 'seconds', a.seconds, 'status', a.status, 'error', a.error, 'answer', a.answer
                    ) ORDER BY a.id DESC
                ), '[]'
            )::text
            FROM (
                SELECT * FROM webhook_attempts WHERE webhook_id = d.webhook_id AND delivery_id = d.id
                ORDER BY id DESC LIMIT {SHOWN_ATTEMPTS}
            ) a
        ) AS attempts
    FROM webhook_deliveries d
"""  # noqa: S608 - a constant
_ONE: Final = sa.text(f"{_DELIVERY} WHERE d.webhook_id = :webhook_id AND d.id = :id")
_AFTER: Final = "AND (d.created_at, d.id) < (:created_at, CAST(:id AS uuid))"
_IN_STATE: Final = "AND d.state = :state"
# An attempt that is under way is one of those before: it says no more what becomes of the message.
_REDELIVER: Final = sa.text(
    """
    UPDATE webhook_deliveries
    SET state = 'pending', failures = 0, claims = claims + 1, due_at = now(), ended_at = NULL
    WHERE webhook_id = :webhook_id AND id = :id
    """
)
_WAKE: Final = sa.text(f"SELECT pg_notify('{CHANNEL}', '')")
_PRUNE: Final = sa.text(
    """
    DELETE FROM webhook_deliveries WHERE (webhook_id, id) IN (
        SELECT webhook_id, id FROM webhook_deliveries WHERE created_at <= now() - CAST(:kept AS interval)
        ORDER BY created_at LIMIT :batch FOR UPDATE SKIP LOCKED
    )
    """
)
# A hash anti join over the whole table: 40 ms for 300,000 deliveries.
_PRUNE_ORPHANS: Final = sa.text(
    """
    DELETE FROM webhook_deliveries WHERE (webhook_id, id) IN (
        SELECT d.webhook_id, d.id FROM webhook_deliveries d
        WHERE NOT EXISTS (SELECT FROM webhooks w WHERE w.id = d.webhook_id) LIMIT :batch FOR UPDATE SKIP LOCKED
    )
    """
)
_attempts: Final = msgspec.json.Decoder(list[Attempt])


async def find(connection: AsyncConnection, webhook_id: UUID, delivery_id: UUID) -> Delivery | None:
    """One delivery of a webhook."""
    values = {"webhook_id": webhook_id, "id": delivery_id}
    row = (await connection.execute(_ONE, values)).mappings().one_or_none()
    return None if row is None else _delivery(row)


async def page(
    connection: AsyncConnection, webhook_id: UUID, state: DeliveryState | None, after: Position | None, limit: int
) -> list[Delivery]:
    """Deliveries of a webhook before a position in time, newest first; each state has its own index."""
    statement = f"{_DELIVERY} WHERE d.webhook_id = :webhook_id"
    values: dict[str, object] = {"webhook_id": webhook_id, "limit": limit}
    if state is not None:
        statement += f" {_IN_STATE}"
        values |= {"state": state}
    if after is not None:
        statement += f" {_AFTER}"
        values |= {"created_at": after.created_at, "id": after.id}
    statement += " ORDER BY d.created_at DESC, d.id DESC LIMIT :limit"
    return [_delivery(row) for row in (await connection.execute(sa.text(statement), values)).mappings()]


async def redeliver(connection: AsyncConnection, webhook_id: UUID, delivery_id: UUID) -> bool:
    """Have a message sent again, at once and as often as a new one, under its old id; whether there is one."""
    values = {"webhook_id": webhook_id, "id": delivery_id}
    found = (await connection.execute(_REDELIVER, values)).rowcount == 1
    if found:
        await connection.execute(_WAKE)
    return found


async def prune(connection: AsyncConnection, kept: timedelta, batch: int) -> int:
    """Delete at most so many deliveries that are older, in whatever state, or whose webhook is gone; how many."""
    old = (await connection.execute(_PRUNE, {"kept": kept, "batch": batch})).rowcount
    return old or (await connection.execute(_PRUNE_ORPHANS, {"batch": batch})).rowcount


def _delivery(row: sa.RowMapping) -> Delivery:
    payload = msgspec.Raw(row["payload"].encode())
    return Delivery(**{**row, "payload": payload, "attempts": _attempts.decode(row["attempts"])})
