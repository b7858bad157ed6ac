"""Claims due buckets for this worker, on the database's clock."""

import math
import time
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from offers_sync import metrics
from offers_sync.db.buckets import ClaimedRow, claim_buckets, cut_leases, realign_slots
from offers_sync.db.engine import single_statement
from offers_sync.domain.database_clock import DatabaseClock
from offers_sync.domain.polling import DueProduct, HeldBucket

CLOCK_STEP_SECONDS: Final = 2.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PollSchedule:
    """How polling is paced.

    Attributes:
        interval_seconds: between two polls of a product.
        lease_seconds: how long what a dead worker held stays undone.
        concurrency: calls under way at once.
    """

    interval_seconds: float
    lease_seconds: float
    concurrency: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Buckets that are due, oldest first, and their products."""

    buckets: list[HeldBucket]
    due: list[DueProduct]


class _Step(NamedTuple):
    """The last step of the database's clock, and the monotonic moment at which nothing is under way from before it."""

    seconds: float
    settled_at: float


_NO_STEP: Final = _Step(0.0, math.inf)


class SlotClaims:
    """The claims of one worker; make one with `open`."""

    def __init__(self, engine: AsyncEngine, schedule: PollSchedule, clock: DatabaseClock) -> None:
        self._engine = engine
        self._schedule = schedule
        self.clock = clock
        self._step = _NO_STEP

    @classmethod
    async def open(cls, engine: AsyncEngine, schedule: PollSchedule) -> "SlotClaims":
        """Read the database's clock, and put every bucket on a slot of this schedule.

        Raises:
            DatabaseUnavailableError: the database does not answer.
        """
        asked_at = time.monotonic()
        epoch = await _realign(engine, schedule)
        return cls(engine, schedule, DatabaseClock(epoch, asked_at, time.monotonic()))

    async def realign(self) -> None:
        """Send what is late by whole slots, or due at none, to its next slot: no stampede after an outage.

        Also ends what is due or leased far too long because the clock was set back.

        Raises:
            DatabaseUnavailableError: the database does not answer.
        """
        await _realign(self._engine, self._schedule)

    async def claim(self, limit: int) -> Claim:
        """Claim up to so many buckets that are due.

        A step of the database's clock is noticed before anything is claimed by it.

        Raises:
            DatabaseUnavailableError: whether anything was claimed is unknown.
        """
        if self._step.seconds:
            # Buckets that were locked at the step, and times that transactions under way have stated by the old clock.
            await _realign(self._engine, self._schedule, self._step.seconds)
        asked_at = time.monotonic()
        if asked_at > self._step.settled_at:
            self._step = _NO_STEP
        expected = self.clock.epoch(asked_at)
        async with single_statement(self._engine) as connection:
            epoch, rows = await claim_buckets(
                connection,
                limit=limit,
                interval_seconds=self._schedule.interval_seconds,
                lease_seconds=self._schedule.lease_seconds,
                expected=(expected - CLOCK_STEP_SECONDS, expected + CLOCK_STEP_SECONDS),
            )
        if self.clock.observe(epoch, asked_at, time.monotonic()):
            _log.warning("database_clock_stepped", seconds=round(epoch - expected, 1))
            self._step = _Step(epoch - expected, asked_at + self._schedule.lease_seconds)
            await _realign(self._engine, self._schedule, self._step.seconds)
        return self._claim(rows, epoch, asked_at + self._schedule.lease_seconds)

    def _claim(self, rows: list[ClaimedRow], epoch: float, held_until: float) -> Claim:
        buckets: dict[int, HeldBucket] = {}
        due: list[DueProduct] = []
        skipped = 0
        for number, fence, slot, orphaned, product_id, digest, body_digest, revision in rows:
            bucket = buckets.get(number)
            if bucket is None:
                bucket = buckets[number] = HeldBucket(number, fence, slot, held_until)
                skipped += int(max(epoch - slot, 0.0) / self._schedule.interval_seconds)
            if product_id is not None:
                bucket.unfinished += 1
                if orphaned or digest is None:
                    # What was published last is unknown, so whatever is found must be.
                    due.append(DueProduct(product_id, None, None, revision, bucket))
                else:
                    due.append(DueProduct(product_id, digest, body_digest, revision, bucket))
        if rows:
            metrics.slot_lag_seconds.observe(max(epoch - rows[0].slot, 0.0))
            metrics.skipped_slots.inc(skipped)
        return Claim(list(buckets.values()), due)


async def _realign(engine: AsyncEngine, schedule: PollSchedule, stepped_seconds: float = 0.0) -> float:
    async with single_statement(engine) as connection:
        epoch, moved = await realign_slots(connection, schedule.interval_seconds, stepped_seconds)
        cut = await cut_leases(connection, schedule.lease_seconds)
    if moved:
        metrics.skipped_slots.inc(moved)
        _log.info("slots_realigned", buckets=moved)
    if cut:
        _log.warning("leases_cut", buckets=cut)
    return epoch
