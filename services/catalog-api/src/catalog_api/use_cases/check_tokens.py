"""Which token is good, told from memory while what was looked up is fresh, and when each was last used."""

import asyncio
import contextlib
import hmac
import time
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from typing import Final

import msgspec
import structlog

from catalog_api.db import access_tokens
from catalog_api.db.database import Database
from catalog_api.domain.access import Credential, TokenScope, with_contained
from catalog_api.domain.errors import DatabaseUnavailableError
from http_api import CannotTellError

KNOWN_MAX: Final = 10_000
"""Good tokens in memory; some 500 bytes each."""
MARK_USED_SECONDS: Final = 60.0
LAST_MARK_SECONDS: Final = 2.0

_log = structlog.get_logger()


class Grant(msgspec.Struct, frozen=True):
    """What a good token gives; `holder` is its id."""

    holder: str
    scopes: frozenset[TokenScope]


class CheckTokens:
    """The gate's credentials.

    Only good tokens are remembered, `fresh_seconds` at most, and these go on while the database is away; so a
    revocation is effective after that time everywhere, and junk fills no memory.

    Args:
        database: where the tokens are.
        fresh_seconds: 0 looks every token up for each request.
        clock: seconds, growing.
    """

    def __init__(
        self, database: Database, *, fresh_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._fresh_seconds = fresh_seconds
        self._clock = clock
        # By the hash of the whole token, so that neither the token is kept nor how a lookup goes tells anything of it.
        self._known: dict[bytes, tuple[Grant, float]] = {}
        self._used: set[str] = set()

    def recall(self, token: str) -> Grant | None:
        """The grant of a token that was looked up a moment ago."""
        known = self._known.get(_key(token))
        if known is None:
            return None
        grant, until = known
        if until <= self._clock():
            return None
        self._used.add(grant.holder)
        return grant

    async def look_up(self, token: str) -> Grant | None:
        """The grant of a token that is good now.

        Raises:
            CannotTellError: the database does not answer.
        """
        credential = Credential.of(token)
        if credential is None:
            return None
        asked_at = self._clock()
        try:
            found = await access_tokens.find_good(self._database, credential.token_id)
        except DatabaseUnavailableError as error:
            raise CannotTellError(str(error)) from error
        key = _key(token)
        self._known.pop(key, None)
        if found is None or not hmac.compare_digest(found.secret_hash, credential.secret_hash):
            return None
        fresh = self._fresh_seconds if found.seconds_left is None else min(self._fresh_seconds, found.seconds_left)
        grant = Grant(credential.token_id, with_contained(found.scopes))
        if len(self._known) >= KNOWN_MAX:
            del self._known[next(iter(self._known))]
        self._known[key] = (grant, asked_at + fresh)
        self._used.add(grant.holder)
        return grant

    @contextlib.asynccontextmanager
    async def noting_use(self) -> AsyncIterator[None]:
        """Within it, the time of a token's last use is stored once a minute, and at the end."""
        noting = asyncio.create_task(self._note_use())
        try:
            yield
        finally:
            noting.cancel()
            await asyncio.wait([noting])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_MARK_SECONDS):
                    await self.mark_used()

    async def mark_used(self) -> None:
        """Store that the tokens which were used since the last time are used now."""
        used, self._used = self._used, set()
        if not used:
            return
        try:
            await access_tokens.mark_used(self._database, used)
        except DatabaseUnavailableError as error:
            self._used |= used
            _log.warning("token_use_not_stored", reason=str(error))

    async def _note_use(self) -> None:
        while True:
            await asyncio.sleep(MARK_USED_SECONDS)
            try:
                await self.mark_used()
            except Exception:  # noqa: BLE001 - the supervised edge: the next minute is another try
                _log.exception("token_use_not_stored")


def _key(token: str) -> bytes:
    return sha256(token.encode()).digest()
