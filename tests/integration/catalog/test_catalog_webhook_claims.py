"""Which of the messages that are due are taken to be sent."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog_api.db import webhook_claims, webhooks
from catalog_api.db.database import Database
from catalog_api.db.webhook_claims import Claim, Places
from catalog_api.db.webhook_deliveries import enqueue
from catalog_api.domain.signatures import new_secret
from catalog_api.domain.webhooks import message, new_id
from sealing import Sealed


async def webhook(database: Database, messages: int, minutes_ago: int = 0) -> UUID:
    """One with so many messages that have been due for so long."""
    made = new_id()
    async with database.transaction() as connection:
        await webhooks.insert(connection, made, "https://example.com/", "")
        await webhooks.add_secret(connection, made, Sealed(new_secret(), encrypted=False))
        await enqueue(
            connection, [message(uuid4(), made, "alert.fired", datetime.now(UTC), {}) for _ in range(messages)]
        )
        await connection.execute(
            sa.text(
                "UPDATE webhook_deliveries SET due_at = due_at - make_interval(mins => :minutes) "
                "WHERE webhook_id = :webhook_id"
            ),
            {"webhook_id": made, "minutes": minutes_ago},
        )
    return made


async def claim(
    connection: AsyncConnection,
    healthy: int,
    apart: int = 0,
    in_hand: Mapping[UUID, int] | None = None,
    slow: Collection[UUID] = (),
) -> list[Claim]:
    return await webhook_claims.claim(connection, Places(healthy, apart, 4), in_hand or {}, slow, 30)


async def claimed(database: Database, healthy: int, **others: Any) -> list[UUID]:
    """The webhooks of what is claimed, for good."""
    async with database.transaction() as connection:
        return sorted(claim.webhook_id for claim in await claim(connection, healthy, **others))


async def test_the_first_of_each_webhook_comes_before_the_second_of_any(database: Database) -> None:
    one, other = await webhook(database, 10, minutes_ago=60), await webhook(database, 10, minutes_ago=50)
    fresh = await webhook(database, 2)
    assert await claimed(database, 3) == sorted([one, other, fresh])
    assert await claimed(database, 2, in_hand={one: 1}) == sorted([other, fresh])
    assert await claimed(database, 9, in_hand={one: 3, other: 4}) == [one], "four of each"


async def test_however_many_have_older_messages_a_fresh_one_is_taken(database: Database) -> None:
    for _ in range(6):
        await webhook(database, 60, minutes_ago=60)
    fresh = await webhook(database, 1)
    # One place comes free after the other. By lots it is taken among 200 but for one time in 10^13, by age after 360.
    taken = [await claimed(database, 1) for _ in range(200)]
    assert [fresh] in taken


async def test_who_is_slow_has_only_the_places_that_are_set_apart(database: Database) -> None:
    slow, quick = await webhook(database, 10), await webhook(database, 10)
    async with database.transaction() as connection:
        claims = await claim(connection, 3, apart=2, slow=[slow])
    assert sorted((claim.webhook_id, claim.apart) for claim in claims) == sorted(
        [(slow, True)] * 2 + [(quick, False)] * 3
    )
    assert await claimed(database, 4, slow=[slow]) == [quick] * 4


async def test_only_what_is_taken_is_locked_and_nobody_waits_for_it(database: Database) -> None:
    only = await webhook(database, 1)
    async with database.transaction() as first:
        await claim(first, 1)
        assert await claimed(database, 1) == []
        await first.rollback()
    assert await claimed(database, 1) == [only]
    for _ in range(5):
        await webhook(database, 8)
    async with database.transaction() as first, database.transaction() as second:
        assert len(await claim(first, 2)) == 2
        free = await second.execute(
            sa.text("SELECT id FROM webhook_deliveries WHERE due_at <= now() FOR UPDATE SKIP LOCKED")
        )
        assert len(free.all()) == 5 * 8 - 2


async def test_what_could_not_be_signed_is_not_sent(database: Database, sql: Any) -> None:
    await webhook(database, 1)
    signed = await webhook(database, 1)
    # As when a webhook is deleted between the two statements of a claim.
    await sql.execute("DELETE FROM webhook_secrets WHERE webhook_id <> $1", signed)
    assert await claimed(database, 4) == [signed]
