"""The answers that were given under an Idempotency-Key, in the transactions that made them."""

from datetime import timedelta
from hashlib import blake2b
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from connection_pool import Connection

LIFETIME: Final = timedelta(hours=24)

_FIND: Final = """
    SELECT fingerprint, status, headers, body FROM idempotency_keys WHERE key = $1 AND created_at > now() - $2::interval
"""
_STORE: Final = """
    INSERT INTO idempotency_keys (key, fingerprint, status, headers, body, created_at)
    VALUES ($1, $2, $3, $4, $5, now())
    ON CONFLICT (key) DO UPDATE SET
        fingerprint = excluded.fingerprint, status = excluded.status, headers = excluded.headers,
        body = excluded.body, created_at = excluded.created_at
"""
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


async def try_lock(connection: Connection, key: str) -> bool:
    """Whether no other transaction works under this key; none can before this one ends, even by a crash.

    A statement of its own: the next one then sees what the last holder committed.
    """
    number = int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), signed=True)
    return bool(await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", number))


async def find(connection: Connection, key: str) -> StoredAnswer | None:
    """The answer under a key that has not expired."""
    row = await connection.fetchrow(_FIND, key, LIFETIME)
    if row is None:
        return None
    fingerprint, status, headers, body = row
    return StoredAnswer(fingerprint, status, msgspec.json.decode(headers, type=dict[str, str]), body)


async def store(connection: Connection, key: str, answer: StoredAnswer) -> None:
    """Keep an answer; one that has expired under the same key is replaced."""
    headers = msgspec.json.encode(answer.headers).decode()
    await connection.execute(_STORE, key, answer.fingerprint, answer.status, headers, answer.body)


async def purge(connection: AsyncConnection, batch: int) -> int:
    """Delete at most `batch` expired keys; how many there were."""
    return (await connection.execute(_PURGE, {"lifetime": LIFETIME, "batch": batch})).rowcount
