"""Stored access tokens, encrypted where there are keys, and the lock of the one process that may ask for another."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offers_sync.db.engine import database_errors, transaction
from offers_sync.domain.access_token import AccessToken
from sealing import Sealed, Seals, UnreadableError

LOCK_KEY: Final = 0x746F6B656E
"""The letters of `token`."""

_READ: Final = sa.text(
    """
    SELECT value, encrypted, CAST(extract(epoch FROM expires_at - clock_timestamp()) AS float8) AS usable_seconds
    FROM access_tokens WHERE account = :account
    """
)
_WRITE: Final = sa.text(
    """
    INSERT INTO access_tokens (account, value, encrypted, expires_at)
    VALUES (:account, :value, :encrypted, clock_timestamp() + make_interval(secs => CAST(:lifetime AS float8)))
    ON CONFLICT (account) DO UPDATE
    SET value = excluded.value, encrypted = excluded.encrypted, expires_at = excluded.expires_at, stored_at = now()
    """
)
_READ_ALL: Final = sa.text("SELECT account, value, encrypted FROM access_tokens ORDER BY account FOR UPDATE")
_REPLACE: Final = sa.text("UPDATE access_tokens SET value = :value, encrypted = true WHERE account = :account")


class SomeoneElseAsksError(Exception):
    """Another process is asking for a token right now."""


class UnreadableTokenError(Exception):
    """The stored token is encrypted, and no key at hand opens it."""

    def __init__(self) -> None:
        super().__init__("the stored access token is encrypted, and OFFERS_TOKEN_KEYS has no key that opens it")


class StoredTokens:
    """What is stored of access tokens; `keys` are those of `Seals`."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._seals = Seals(keys)

    async def read(self, connection: AsyncConnection, account: str) -> AccessToken | None:
        """The stored token of an account, which may have expired.

        Raises:
            UnreadableTokenError: see there.
        """
        row = (await connection.execute(_READ, {"account": account})).one_or_none()
        if row is None:
            return None
        try:
            value = self._seals.open(Sealed(row.value, row.encrypted))
        except UnreadableError:
            raise UnreadableTokenError from None
        return AccessToken(value, row.usable_seconds)

    async def write(
        self, connection: AsyncConnection, account: str, value: str, lifetime_seconds: float | None
    ) -> None:
        """Store a token in place of the one before."""
        sealed = self._seals.seal(value)
        await connection.execute(
            _WRITE,
            {
                "account": account,
                "value": sealed.value,
                "encrypted": sealed.encrypted,
                "lifetime": lifetime_seconds,
            },
        )

    async def seal(self, engine: AsyncEngine) -> None:
        """Encrypt with the first key what was stored without one, or with another one that is still at hand.

        Without keys the database is not asked.
        """
        if not self._seals.encrypting:
            return
        async with transaction(engine) as connection:
            for account, value, encrypted in (await connection.execute(_READ_ALL)).all():
                if (renewed := self._seals.renewed(Sealed(value, encrypted))) is not None:
                    await connection.execute(_REPLACE, {"account": account, "value": renewed.value})


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
