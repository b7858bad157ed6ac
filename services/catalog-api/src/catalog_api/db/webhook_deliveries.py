"""What webhooks are to be told: stored in the transaction that made it true, sent by `catalog-api work`."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog_api.domain.webhooks import Message

CHANNEL: Final = "webhooks"
"""The PostgreSQL notification channel that wakes the senders."""

# One statement whatever the number of messages; the notification goes out at the commit.
_ENQUEUE: Final = sa.text(
    f"""
    WITH stored AS (
        INSERT INTO webhook_deliveries (webhook_id, id, type, body)
        SELECT message.webhook_id, message.id, message.type, message.body
        FROM unnest(
            CAST(:webhook_ids AS uuid[]), CAST(:ids AS uuid[]), CAST(:types AS text[]), CAST(:bodies AS text[])
        ) AS message (webhook_id, id, type, body)
        JOIN webhooks ON webhooks.id = message.webhook_id AND webhooks.disabled_because IS NULL
        ORDER BY message.webhook_id, message.id
        ON CONFLICT (webhook_id, id) DO NOTHING
        RETURNING id
    ), counted AS (SELECT count(*) AS number FROM stored)
    SELECT number, CASE WHEN number > 0 THEN pg_notify('{CHANNEL}', '') END FROM counted
    """  # noqa: S608 - a constant
)


async def enqueue(connection: AsyncConnection, messages: Sequence[Message]) -> int:
    """Store messages in the caller's transaction; how many are new. They are sent after its commit.

    A message that its webhook was given before is not given again, and webhooks that are disabled or deleted are given
    none.
    """
    if not messages:
        return 0
    values = {
        "webhook_ids": [message.webhook_id for message in messages],
        "ids": [message.id for message in messages],
        "types": [message.type for message in messages],
        "bodies": [message.body for message in messages],
    }
    return int((await connection.execute(_ENQUEUE, values)).one().number)
