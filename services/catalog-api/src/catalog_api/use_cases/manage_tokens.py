"""Access tokens are made, listed and revoked by administrators."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

import msgspec

from catalog_api.db import access_tokens
from catalog_api.db.database import Database
from catalog_api.domain.access import AccessToken, TokenScope, new_token
from catalog_api.domain.errors import TokenNotFoundError

FIRST_ADMIN = "first admin"


class CreatedToken(msgspec.Struct, frozen=True):
    """A token with its text, which is shown this once."""

    text: str
    token: AccessToken


@dataclass(frozen=True, slots=True)
class ManageTokens:
    """Whoever holds one of these may do anything with tokens."""

    database: Database

    async def create(self, name: str, scopes: Collection[TokenScope], expires_at: datetime | None) -> CreatedToken:
        """A new token; None never expires."""
        new = new_token()
        async with self.database.transaction() as connection:
            token = await access_tokens.insert(connection, new.credential, name, scopes, expires_at)
        return CreatedToken(new.text, token)

    async def everyone(self) -> list[AccessToken]:
        """All there ever were, oldest first."""
        async with self.database.transaction() as connection:
            return await access_tokens.everyone(connection)

    async def revoke(self, token_id: str) -> None:
        """End a token for good.

        Raises:
            TokenNotFoundError: there is none with this id that is not revoked.
        """
        async with self.database.transaction() as connection:
            if not await access_tokens.revoke(connection, token_id):
                raise TokenNotFoundError(token_id)

    async def create_first_admin(self, show: Callable[[str], None]) -> None:
        """Show a first admin token, where there never was one; of several copies that try, one does.

        It is shown before it is stored for good: a crash in between leaves a token that is good for nothing, and the
        next try shows another. The other way round nobody would ever see the only one.
        """
        async with self.database.transaction() as connection:
            if await access_tokens.lacks_admin(connection):
                new = new_token()
                await access_tokens.insert(connection, new.credential, FIRST_ADMIN, {TokenScope.ADMIN}, None)
                show(new.text)
