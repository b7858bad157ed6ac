"""Messages for webhooks, stored in the transaction of whoever has something to tell."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import sqlalchemy as sa

from catalog_api.db.database import Database
from catalog_api.db.webhook_deliveries import CHANNEL, enqueue
from catalog_api.domain.webhooks import Message, message

from .conftest import make_webhook

AT = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


def told(webhook_id: UUID, message_id: UUID | None = None) -> Message:
    return message(message_id or uuid4(), webhook_id, "alert.fired", AT, {"price": 995})


async def stored(database: Database) -> list[tuple[UUID, UUID]]:
    async with database.transaction() as connection:
        rows = await connection.execute(sa.text("SELECT webhook_id, id FROM webhook_deliveries ORDER BY 1, 2"))
        return [(row.webhook_id, row.id) for row in rows]


async def test_a_message_stored_again_is_not_given_again(database: Database) -> None:
    one, other = sorted([await make_webhook(database), await make_webhook(database)])
    shared = uuid4()
    for expected in (2, 0):
        async with database.transaction() as connection:
            assert await enqueue(connection, [told(one, shared), told(other, shared), told(one, shared)]) == expected
    assert await stored(database) == [(one, shared), (other, shared)]


async def test_webhooks_that_are_disabled_or_deleted_are_given_nothing(database: Database) -> None:
    live = await make_webhook(database)
    dead = [await make_webhook(database, "switched_off"), await make_webhook(database, "gone"), uuid4()]
    async with database.transaction() as connection:
        assert await enqueue(connection, [told(id_) for id_ in [*dead, live]]) == 1
        assert await enqueue(connection, []) == 0
    assert [webhook_id for webhook_id, _ in await stored(database)] == [live]


async def test_a_message_is_there_when_its_transaction_commits_and_wakes_the_senders_then(
    database: Database, catalog_dsn: str
) -> None:
    one = await make_webhook(database)
    session = await asyncpg.connect(catalog_dsn)
    woken = asyncio.Queue[str]()
    await session.add_listener(CHANNEL, lambda *called: woken.put_nowait(called[-1]))
    async with database.transaction() as connection:
        await enqueue(connection, [told(one)])
        await connection.rollback()
    async with database.transaction() as connection:
        await enqueue(connection, [told(one, repeated := uuid4())])
    async with database.transaction() as connection:
        await enqueue(connection, [told(one, repeated)])
    await session.execute("SELECT pg_notify($1, 'last')", CHANNEL)
    assert [await asyncio.wait_for(woken.get(), 10), await asyncio.wait_for(woken.get(), 10)] == ["", "last"]
    await session.close()
    assert await stored(database) == [(one, repeated)]
