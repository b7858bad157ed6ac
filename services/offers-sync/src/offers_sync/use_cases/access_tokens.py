"""Where access tokens come from: two generations of the Offers microservice, two classes, one interface."""

import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol, TypeGuard

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offers_sync.db.access_tokens import SomeoneElseAsksError, StoredTokens, UnreadableTokenError, asking_lock
from offers_sync.db.engine import transaction
from offers_sync.domain.access_token import AccessToken, expiry_claim
from offers_sync.domain.answers import Granted, StillValid
from offers_sync.offers_ms.client import OffersClient

PERMANENT_ACCOUNT = "permanent"

_log = structlog.get_logger()


class NoTokenError(Exception):
    """There is no token to be had now; the text says why."""


class TokenSource(Protocol):
    """Gives the token that every copy of the worker uses."""

    async def obtain(self, useless: str | None) -> AccessToken:
        """The stored token, or a new one once it is stored; `useless` is one that was refused or has expired.

        Raises:
            NoTokenError: ask again later.
            UnreadableTokenError: so does this, once the operator has given the key back.
            DatabaseUnavailableError: so does this.
        """


@dataclass(frozen=True, slots=True)
class PermanentToken:
    """Generation 1: one token is asked for in the life of the database, and never again.

    All products are tied to it, so not even its rejection is a reason to ask for another one: that would orphan every
    product. An operator decides, with `offers-sync token set` or `offers-sync rekey`.
    """

    engine: AsyncEngine
    sessions: AsyncEngine
    stored: StoredTokens
    client: OffersClient

    async def obtain(self, useless: str | None) -> AccessToken:  # noqa: ARG002 - see above
        """See `TokenSource`."""
        async with transaction(self.engine) as connection:
            stored = await self.stored.read(connection, PERMANENT_ACCOUNT)
        return stored or await self._ask()

    async def _ask(self) -> AccessToken:
        try:
            async with asking_lock(self.sessions) as session:
                stored = await self.stored.read(session, PERMANENT_ACCOUNT)
                await session.commit()
                if stored is not None:
                    return stored
                token = await ask_and_store(self.client, self.stored, session)
        except SomeoneElseAsksError:
            raise NoTokenError("another process is asking for it") from None
        _log.info("access_token_stored")
        return token


@dataclass(frozen=True, slots=True)
class RenewableToken:
    """Generation 2: access tokens live for minutes and are renewed, by one process for all, with a refresh token."""

    engine: AsyncEngine
    sessions: AsyncEngine
    stored: StoredTokens
    client: OffersClient
    refresh_token: str

    async def obtain(self, useless: str | None) -> AccessToken:
        """See `TokenSource`."""
        account = renewable_account(self.refresh_token)
        async with transaction(self.engine) as connection:
            stored = await self._read(connection, account)
        if _usable(stored, useless):
            return stored
        try:
            async with asking_lock(self.sessions) as session:
                stored = await self._read(session, account)
                await session.commit()
                return stored if _usable(stored, useless) else await self._renew(session, account, stored)
        except SomeoneElseAsksError:
            raise NoTokenError("another process is renewing it") from None

    async def _read(self, connection: AsyncConnection, account: str) -> AccessToken | None:
        # It lives for minutes, and another one is to be had.
        with suppress(UnreadableTokenError):
            return await self.stored.read(connection, account)
        return None

    async def _renew(self, session: AsyncConnection, account: str, stored: AccessToken | None) -> AccessToken:
        asked_at = time.monotonic()
        answer = await self.client.authenticate(self.refresh_token)
        if isinstance(answer, Granted):
            lifetime = answer.lifetime_seconds
            if lifetime is not None:
                # It may have begun as soon as we asked.
                lifetime = max(lifetime - (time.monotonic() - asked_at), 0.0)
            await self.stored.write(session, account, answer.token, lifetime)
            await session.commit()
            _log.info("access_token_renewed", lifetime_seconds=lifetime)
            return AccessToken(answer.token, lifetime)
        if isinstance(answer, StillValid) and stored is not None:
            # Not for us to use any more: it may expire at any moment, and each call after that is a poll lost.
            return AccessToken(stored.value, 0.0)
        raise NoTokenError(f"the Offers microservice answered {answer.KIND}")


async def ask_and_store(client: OffersClient, stored: StoredTokens, session: AsyncConnection) -> AccessToken:
    """Ask for a permanent token and store it, in a session that holds the asking lock.

    Raises:
        NoTokenError: the Offers microservice gave none.
    """
    answer = await client.authenticate(None)
    if not isinstance(answer, Granted):
        raise NoTokenError(f"the Offers microservice answered {answer.KIND}")
    await stored.write(session, PERMANENT_ACCOUNT, answer.token, None)
    await session.commit()
    return AccessToken(answer.token)


def account_of(refresh_token: str | None) -> str:
    """Under which name tokens are stored; that of another refresh token starts afresh."""
    return PERMANENT_ACCOUNT if refresh_token is None else renewable_account(refresh_token)


def renewable_account(refresh_token: str) -> str:
    """The account of a refresh token, which its name does not reveal."""
    return f"refresh-token-{sha256(refresh_token.encode()).hexdigest()[:16]}"


async def store_given_token(engine: AsyncEngine, stored: StoredTokens, account: str, value: str) -> None:
    """Use this token from now on; every worker notices within seconds."""
    async with transaction(engine) as connection:
        before = None
        with suppress(UnreadableTokenError):
            before = await stored.read(connection, account)
        if before is None or before.value != value:
            await stored.write(connection, account, value, _lifetime(account, value))


def _lifetime(account: str, value: str) -> float | None:
    expires = None if account == PERMANENT_ACCOUNT else expiry_claim(value)
    return None if expires is None else max(expires - time.time(), 0.0)


def _usable(stored: AccessToken | None, useless: str | None) -> TypeGuard[AccessToken]:
    if stored is None or stored.value == useless:
        return False
    return stored.usable_seconds is None or stored.usable_seconds > 0
