"""The outbox table, and putting events into it."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from aggregator_contracts import Event

CHANNEL: Final = "outbox"
"""The PostgreSQL notification channel that wakes the relay."""


def outbox_table(metadata: sa.MetaData) -> sa.Table:
    """The table that a service keeps in its own database; rows leave it when the broker has confirmed them."""
    return sa.Table(
        "outbox",
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )


# One statement whatever the number of events: the notification is delivered at commit, once for each transaction.
_ENQUEUE: Final = sa.text(
    """
    WITH stored AS (
        INSERT INTO outbox (event_id, type, body)
        SELECT event_id, type, body
        FROM unnest(CAST(:ids AS text[]), CAST(:types AS text[]), CAST(:bodies AS text[]))
            WITH ORDINALITY AS event (event_id, type, body, position)
        ORDER BY position
    )
    SELECT pg_notify(:channel, '')
    """
)


async def enqueue(connection: AsyncConnection, events: Sequence[Event]) -> None:
    """Store events in the caller's transaction; they are published after its commit. Never commits by itself."""
    if not events:
        return
    await connection.execute(
        _ENQUEUE,
        {
            "ids": [event.id for event in events],
            "types": [event.type for event in events],
            "bodies": [event.to_json().decode() for event in events],
            "channel": CHANNEL,
        },
    )
