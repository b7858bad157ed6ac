"""The answers that were given under an Idempotency-Key, in the transactions that made them."""

from datetime import timedelta
from hashlib import blake2b
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog_api.db.models import idempotency_keys as keys

LIFETIME: Final = timedelta(hours=24)

_LOCK: Final = sa.text("SELECT pg_try_advisory_xact_lock(:number)")
_PURGE: Final = sa.text(
    """
    DELETE FROM idempotency_keys WHERE key IN (
        SELECT key FROM idempotency_keys WHERE created_at <= now() - CAST(:lifetime AS interval)
        ORDER BY created_at LIMIT :batch FOR UPDATE SKIP LOCKED
    )
    """
)


class StoredAnswer(msgspec.Struct, frozen=True):
    """An answer with the fingerprint of the request that it was given to."""

    fingerprint: bytes
    status: int
    headers: dict[str, str]
    body: bytes


async def try_lock(connection: AsyncConnection, key: str) -> bool:
    """Whether no other transaction works under this key; none can before this one ends, even by a crash.

    A statement of its own: the next one then sees what the last holder committed.
    """
    number = int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), signed=True)
    return bool((await connection.execute(_LOCK, {"number": number})).scalar_one())


async def find(connection: AsyncConnection, key: str) -> StoredAnswer | None:
    """The answer under a key that has not expired."""
    row = (
        await connection.execute(
            sa.select(keys.c.fingerprint, keys.c.status, keys.c.headers, keys.c.body).where(
                keys.c.key == key, keys.c.created_at > sa.func.now() - LIFETIME
            )
        )
    ).one_or_none()
    return None if row is None else StoredAnswer(*row)


async def store(connection: AsyncConnection, key: str, answer: StoredAnswer) -> None:
    """Keep an answer; one that has expired under the same key is replaced."""
    values = {
        "fingerprint": answer.fingerprint,
        "status": answer.status,
        "headers": answer.headers,
        "body": answer.body,
        "created_at": sa.func.now(),
    }
    statement = pg.insert(keys).values(key=key, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=[keys.c.key], set_=values))


async def purge(connection: AsyncConnection, batch: int) -> int:
    """Delete at most `batch` expired keys; how many there were."""
    return (await connection.execute(_PURGE, {"lifetime": LIFETIME, "batch": batch})).rowcount
