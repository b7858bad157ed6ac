"""Starts afresh with the Offers microservice: a new token, every product registered again."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from offers_sync.db.access_tokens import StoredTokens, asking_lock
from offers_sync.db.products import register_all_again
from offers_sync.offers_ms.client import OffersClient
from offers_sync.use_cases.access_tokens import ask_and_store


@dataclass(frozen=True, slots=True)
class Rekey:
    """An operator's decision; nothing does this by itself."""

    sessions: AsyncEngine
    stored: StoredTokens
    client: OffersClient
    refresh_token: str | None

    async def __call__(self) -> int:
        """Returns how many products will be registered again.

        In generation 2 products belong to the refresh token's account and access tokens are renewed anyway, so there
        only the registrations are repeated.

        Raises:
            NoTokenError: the Offers microservice gave no token; nothing has changed.
            SomeoneElseAsksError: a worker is asking for one right now.
            DatabaseUnavailableError: the token may be stored and products not yet pending; run it again.
        """
        async with asking_lock(self.sessions) as session:
            if self.refresh_token is None:
                await ask_and_store(self.client, self.stored, session)
            count = await register_all_again(session)
            await session.commit()
        return count
