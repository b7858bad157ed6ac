"""Stored access tokens, encrypted where there are keys, and the lock of the one process that may ask for another."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import sqlalchemy as sa
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offers_sync.db.engine import database_errors, transaction
from offers_sync.domain.access_token import AccessToken

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
    """What is stored of access tokens.

    Args:
        keys: Fernet keys (32 bytes in URL-safe base64); the first one encrypts, each of them opens. With none, tokens
            are stored as they are.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._newest = Fernet(keys[0]) if keys else None
        self._all = MultiFernet([Fernet(key) for key in keys]) if keys else None

    async def read(self, connection: AsyncConnection, account: str) -> AccessToken | None:
        """The stored token of an account, which may have expired.

        Raises:
            UnreadableTokenError: see there.
        """
        row = (await connection.execute(_READ, {"account": account})).one_or_none()
        if row is None:
            return None
        return AccessToken(self._opened(row.value) if row.encrypted else row.value, row.usable_seconds)

    async def write(
        self, connection: AsyncConnection, account: str, value: str, lifetime_seconds: float | None
    ) -> None:
        """Store a token in place of the one before."""
        sealed = value if self._newest is None else _sealed(self._newest, value)
        await connection.execute(
            _WRITE,
            {
                "account": account,
                "value": sealed,
                "encrypted": self._newest is not None,
                "lifetime": lifetime_seconds,
            },
        )

    async def seal(self, engine: AsyncEngine) -> None:
        """Encrypt with the first key what was stored without one, or with another one that is still at hand.

        Without keys the database is not asked.
        """
        if self._newest is None:
            return
        async with transaction(engine) as connection:
            for account, value, encrypted in (await connection.execute(_READ_ALL)).all():
                with suppress(UnreadableTokenError):
                    plain = self._opened(value) if encrypted else value
                    await connection.execute(_REPLACE, {"account": account, "value": _sealed(self._newest, plain)})

    def _opened(self, sealed: str) -> str:
        if self._all is None:
            raise UnreadableTokenError
        try:
            return self._all.decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise UnreadableTokenError from None


def _sealed(key: Fernet, value: str) -> str:
    return key.encrypt(value.encode()).decode()


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
