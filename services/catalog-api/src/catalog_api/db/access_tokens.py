"""The access tokens: made, shown and revoked in the caller's transaction; looked up and marked as used in their own."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog_api.db.database import Database
from catalog_api.domain.access import AccessToken, Credential, TokenScope

_FIRST_ADMIN_LOCK: Final = 0x61646D696E
"""The advisory lock, within its database, of the one copy that makes the first admin token; the letters of `admin`."""
_SHOWN: Final = """
    id, name, scopes, created_at, expires_at, last_used_at, revoked_at,
    CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'live' END AS state
"""
_INSERT: Final = sa.text(
    f"""
    INSERT INTO access_tokens (id, secret_hash, name, scopes, expires_at)
    VALUES (:id, :secret_hash, :name, :scopes, :expires_at) RETURNING {_SHOWN}
    """  # noqa: S608 - constants
)
_ALL: Final = sa.text(f"SELECT {_SHOWN} FROM access_tokens ORDER BY created_at, id")  # noqa: S608 - constants
_REVOKE: Final = sa.text("UPDATE access_tokens SET revoked_at = now() WHERE id = :id AND revoked_at IS NULL")
_LOCK: Final = sa.text("SELECT pg_advisory_xact_lock(:key)")
_ANY_ADMIN: Final = sa.text("SELECT EXISTS (SELECT FROM access_tokens WHERE 'admin' = ANY(scopes))")
# By its primary key, 0.02 ms.
_GOOD: Final = """
    SELECT secret_hash, scopes, extract(epoch FROM expires_at - now())::float8 FROM access_tokens
    WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""
# Whatever copies of the process say so, a row is written once a minute.
_MARK_USED: Final = sa.text(
    """
    UPDATE access_tokens SET last_used_at = now()
    WHERE id = ANY(:ids) AND (last_used_at IS NULL OR last_used_at < now() - interval '55 seconds')
    """
)


class GoodToken(msgspec.Struct, frozen=True):
    """A token that is neither revoked nor expired; `seconds_left` is None when it never expires."""

    secret_hash: bytes
    scopes: list[TokenScope]
    seconds_left: float | None


async def insert(
    connection: AsyncConnection,
    credential: Credential,
    name: str,
    scopes: Collection[TokenScope],
    expires_at: datetime | None,
) -> AccessToken:
    """Keep a new token."""
    values = {
        "id": credential.token_id,
        "secret_hash": credential.secret_hash,
        "name": name,
        "scopes": [scope.value for scope in TokenScope if scope in scopes],
        "expires_at": expires_at,
    }
    return _token((await connection.execute(_INSERT, values)).mappings().one())


async def everyone(connection: AsyncConnection) -> list[AccessToken]:
    """All tokens there ever were, oldest first."""
    return [_token(row) for row in (await connection.execute(_ALL)).mappings()]


async def revoke(connection: AsyncConnection, token_id: str) -> bool:
    """Whether there was such a token, not revoked before."""
    return (await connection.execute(_REVOKE, {"id": token_id})).rowcount == 1


async def lacks_admin(connection: AsyncConnection) -> bool:
    """Whether no admin token was ever made; nobody else is told so before this transaction ends."""
    await connection.execute(_LOCK, {"key": _FIRST_ADMIN_LOCK})
    return not (await connection.execute(_ANY_ADMIN)).scalar_one()


async def find_good(database: Database, token_id: str) -> GoodToken | None:
    """The token of this id, if it is good now."""
    async with database.reading() as connection:
        row = await connection.fetchrow(_GOOD, token_id)
    if row is None:
        return None
    secret_hash, scopes, seconds_left = row
    return GoodToken(secret_hash, [TokenScope(scope) for scope in scopes], seconds_left)


async def mark_used(database: Database, token_ids: Collection[str]) -> None:
    """Note that these were used just now."""
    async with database.transaction() as connection:
        await connection.execute(_MARK_USED, {"ids": list(token_ids)})


def _token(row: sa.RowMapping) -> AccessToken:
    return AccessToken(**{**row, "scopes": [TokenScope(scope) for scope in row["scopes"]]})
