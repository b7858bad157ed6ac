"""Publishes changed lists, then commits what was published: a poll can be repeated, so there is no outbox here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from event_bus import EventPublisher, PublishError
from offers_sync import metrics
from offers_sync.db.buckets import lock_held, release_buckets
from offers_sync.db.engine import single_statement, transaction
from offers_sync.db.polled_lists import register_again, store_doubt, store_published
from offers_sync.domain.polling import ChangedList, ReleasedBucket, UnknownProduct
from offers_sync.use_cases.offers_updated import in_messages, offers_updated

_log = structlog.get_logger()

PollResult = ChangedList | UnknownProduct | ReleasedBucket
R = TypeVar("R", ChangedList, UnknownProduct)


@dataclass(frozen=True, slots=True)
class SettlePolls:
    """Settles results of polls, any number at once."""

    engine: AsyncEngine
    publisher: EventPublisher
    interval_seconds: float

    async def __call__(self, results: Sequence[PollResult]) -> bool:
        """Publish, commit, release; whether publishing went well.

        Where it did not, or where a bucket was lost meanwhile, what subscribers have is unknown, so the product's next
        poll publishes again, whatever it finds.

        Raises:
            DatabaseUnavailableError: nothing was committed; the buckets' leases end by themselves.
        """
        changes = [result for result in results if isinstance(result, ChangedList)]
        unknown = [result for result in results if isinstance(result, UnknownProduct)]
        released = [result for result in results if isinstance(result, ReleasedBucket)]
        if not changes and not unknown:
            async with single_statement(self.engine) as connection:
                metrics.skipped_slots.inc(await release_buckets(connection, released, self.interval_seconds))
            return True
        published = await self._publish(changes)
        async with transaction(self.engine) as connection:
            # Those to be released as well: locked in two steps, they and a renewal could wait for each other.
            involved = {result.bucket for result in results}
            held = await lock_held(connection, sorted(involved, key=lambda bucket: bucket.bucket))
            unknown, _ = _by_held(unknown, held)
            again = await register_again(connection, [product.product_id for product in unknown])
            certain, doubtful = _by_held(changes, held) if published else ([], changes)
            await store_published(connection, certain)
            await store_doubt(connection, doubtful)
            skipped = await release_buckets(connection, released, self.interval_seconds)
        if again:
            _log.warning("products_not_registered_any_more", count=again)
        metrics.updates.labels("stored").inc(len(certain))
        metrics.updates.labels("in_doubt").inc(len(doubtful))
        metrics.skipped_slots.inc(skipped)
        return published

    async def _publish(self, changes: Sequence[ChangedList]) -> bool:
        if not changes:
            return True
        # A bucket lost and claimed again can bring a product twice; the later list is the truth.
        latest = {change.product_id: change for change in changes}
        try:
            await self.publisher.send([offers_updated(part) for part in in_messages(latest.values())])
        except PublishError as error:
            _log.warning("offers_not_published", products=len(latest), error=str(error))
            return False
        return True


def _by_held(results: Sequence[R], held: set[tuple[int, int]]) -> tuple[list[R], list[R]]:
    """Those whose bucket is still held, and the others."""
    parts: tuple[list[R], list[R]] = ([], [])
    for result in results:
        parts[(result.bucket.bucket, result.bucket.fence) not in held].append(result)
    return parts
