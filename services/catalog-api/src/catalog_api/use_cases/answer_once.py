"""Idempotency-Key: work that is asked for twice under one key is done once, and answered alike."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from catalog_api.db import idempotency
from catalog_api.db.database import Database
from catalog_api.db.idempotency import StoredAnswer
from catalog_api.domain.errors import IdempotencyKeyInFlightError, IdempotencyKeyReusedError
from connection_pool import Connection


class KeyedRequest(msgspec.Struct, frozen=True):
    """A request's key, and the fingerprint by which another request under the same key is told from it."""

    key: str
    fingerprint: bytes


class Answer(msgspec.Struct, frozen=True):
    """What is sent back, and whether it was made for an earlier request."""

    status: int
    headers: dict[str, str]
    body: bytes
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class AnswerOnce:
    """Does work in one transaction with the memory of its answer, so that a crash leaves neither or both."""

    database: Database

    async def __call__(self, request: KeyedRequest | None, work: Callable[[Connection], Awaitable[Answer]]) -> Answer:
        """The answer of `work`, or the one that it gave to the same request within the key's lifetime.

        Without a request there is no key: the work, which is a single statement, is done each time, and its own
        transaction.

        Raises:
            IdempotencyKeyInFlightError: the first request with this key has not finished.
            IdempotencyKeyReusedError: the key belongs to another request.
        """
        if request is None:
            async with self.database.writing() as connection:
                return await work(connection)
        async with self.database.writing() as connection, connection.transaction():
            if not await idempotency.try_lock(connection, request.key):
                raise IdempotencyKeyInFlightError
            if (stored := await idempotency.find(connection, request.key)) is not None:
                if stored.fingerprint != request.fingerprint:
                    raise IdempotencyKeyReusedError
                return Answer(stored.status, stored.headers, stored.body, replayed=True)
            answer = await work(connection)
            await idempotency.store(
                connection,
                request.key,
                StoredAnswer(request.fingerprint, answer.status, answer.headers, answer.body),
            )
            return answer


@dataclass(frozen=True, slots=True)
class ForgetExpiredKeys:
    """Deletes the answers whose keys have expired."""

    database: Database

    async def __call__(self, batch: int = 1000) -> int:
        """How many were deleted: `batch` at most, so that no transaction is long."""
        async with self.database.transaction() as connection:
            return await idempotency.purge(connection, batch)
