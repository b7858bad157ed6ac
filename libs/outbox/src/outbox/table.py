"""The outbox table, and putting events into it."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from aggregator_contracts import Event
from event_bus import OutgoingEvent

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


WAKE_RELAY: Final = f"pg_notify('{CHANNEL}', '')"
"""To be selected by whatever statement stores events: the notification goes out when it commits."""


def storing_events(ids: str, types: str, bodies: str) -> str:
    """The INSERT of events, for a statement that makes the change that they tell of as well.

    Its arguments are the names of that statement's parameters; `event_columns` gives their values.
    """
    return f"""
        INSERT INTO outbox (event_id, type, body)
        SELECT event_id, type, body
        FROM unnest(CAST({ids} AS text[]), CAST({types} AS text[]), CAST({bodies} AS text[]))
            WITH ORDINALITY AS event (event_id, type, body, position)
        ORDER BY position
    """  # noqa: S608 - names of parameters


def event_columns(events: Sequence[OutgoingEvent]) -> tuple[list[str], list[str], list[str]]:
    """The ids, types and bodies of events."""
    return (
        [event.id for event in events],
        [event.type for event in events],
        [event.body.decode() for event in events],
    )


# One statement whatever the number of events.
_ENQUEUE: Final = sa.text(f"WITH stored AS ({storing_events(':ids', ':types', ':bodies')}) SELECT {WAKE_RELAY}")


async def enqueue(connection: AsyncConnection, events: Sequence[Event]) -> None:
    """Store events in the caller's transaction; they are published after its commit. Never commits by itself."""
    if not events:
        return
    ids, types, bodies = event_columns([OutgoingEvent.of(event) for event in events])
    await connection.execute(_ENQUEUE, {"ids": ids, "types": types, "bodies": bodies})
