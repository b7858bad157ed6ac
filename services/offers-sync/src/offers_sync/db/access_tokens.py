"""Stored access tokens, and the lock of the one process that may ask for another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offers_sync.db.engine import database_errors
from offers_sync.domain.access_token import AccessToken

LOCK_KEY: Final = 0x746F6B656E
"""The letters of `token`."""

_READ: Final = sa.text(
    """
    SELECT value, CAST(extract(epoch FROM expires_at - clock_timestamp()) AS float8) AS usable_seconds
    FROM access_tokens WHERE account = :account
    """
)
_WRITE: Final = sa.text(
    """
    INSERT INTO access_tokens (account, value, expires_at)
    VALUES (:account, :value, clock_timestamp() + make_interval(secs => CAST(:lifetime AS float8)))
    ON CONFLICT (account) DO UPDATE
    SET value = excluded.value, expires_at = excluded.expires_at, stored_at = now()
    """
)


class SomeoneElseAsksError(Exception):
    """Another process is asking for a token right now."""


async def read_token(connection: AsyncConnection, account: str) -> AccessToken | None:
    """The stored token of an account, which may have expired."""
    row = (await connection.execute(_READ, {"account": account})).one_or_none()
    return None if row is None else AccessToken(row.value, row.usable_seconds)


async def write_token(connection: AsyncConnection, account: str, value: str, lifetime_seconds: float | None) -> None:
    """Store a token in place of the one before."""
    await connection.execute(_WRITE, {"account": account, "value": value, "lifetime": lifetime_seconds})


@asynccontextmanager
async def asking_lock(sessions: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Be the one that asks, for as long as the connection lives, which is outside any transaction.

    Whoever lost the lock, because it was frozen and the database ended its session, finds the connection unusable, so
    what it got can't be stored through it.

    Raises:
        SomeoneElseAsksError: the lock is taken.
        DatabaseUnavailableError: the session could not be opened, or ended.
    """
    async with database_errors(), sessions.connect() as connection:
        locked = await connection.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK_KEY})
        await connection.commit()
        if not locked:
            raise SomeoneElseAsksError
        yield connection
