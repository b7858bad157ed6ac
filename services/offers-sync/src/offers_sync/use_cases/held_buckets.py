"""The buckets that this worker holds, and the renewal of their leases."""

import asyncio
import time
from collections.abc import Iterable

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from offers_sync import metrics
from offers_sync.db.buckets import renew_leases
from offers_sync.db.engine import DatabaseUnavailableError, single_statement
from offers_sync.domain.polling import HeldBucket

_log = structlog.get_logger()


class HeldBuckets:
    """From their claim until their release is committed."""

    def __init__(self, engine: AsyncEngine, lease_seconds: float) -> None:
        self._engine = engine
        self._lease_seconds = lease_seconds
        self._held: set[HeldBucket] = set()

    def add(self, buckets: Iterable[HeldBucket]) -> None:
        """They were claimed."""
        self._held.update(buckets)

    def released(self, bucket: HeldBucket) -> None:
        """Its release was committed."""
        self._held.discard(bucket)

    def let_go(self, bucket: HeldBucket) -> None:
        """Its lease is lost, or left to end by itself: no more calls are begun for it."""
        if bucket in self._held:
            metrics.lost_leases.inc()
            self._held.remove(bucket)
        bucket.held_until = 0.0

    async def renew_for_ever(self) -> None:
        """Renew all leases, three times in the life of each."""
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            if self._held:
                await self._renew(list(self._held))

    async def _renew(self, held: list[HeldBucket]) -> None:
        asked_at = time.monotonic()
        try:
            async with single_statement(self._engine) as connection:
                renewed = await renew_leases(connection, held, self._lease_seconds)
        except DatabaseUnavailableError as error:
            _log.warning("leases_not_renewed", buckets=len(held), error=str(error))
            return
        for bucket in held:
            if (bucket.bucket, bucket.fence) in renewed:
                bucket.held_until = asked_at + self._lease_seconds
            elif bucket.unfinished:
                # A finished one may have been released meanwhile; if not, its settlement will find that it is lost.
                self.let_go(bucket)
