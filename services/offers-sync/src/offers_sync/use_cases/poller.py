"""Polls the offers of registered products, bucket by bucket, each in its slot."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from lifecycle import NotReadyError, wait_for_any
from offers_sync import metrics
from offers_sync.db.buckets import renew_leases
from offers_sync.db.engine import DatabaseUnavailableError, single_statement
from offers_sync.domain.call_gate import CallGate
from offers_sync.domain.polling import DueProduct, HeldBucket, ReleasedBucket
from offers_sync.use_cases.crew import Chunks, Crew
from offers_sync.use_cases.leases import Leases
from offers_sync.use_cases.poll_product import PollProduct
from offers_sync.use_cases.settle_polls import PollResult, SettlePolls
from offers_sync.use_cases.slot_claims import PollSchedule, SlotClaims
from offers_sync.use_cases.token_keeper import TokenKeeper

TICK_SECONDS: Final = 0.2
MAX_BACKLOG: Final = 2000
CHUNK: Final = 500
"""Results settled together: at a thousand polls a second one message of 100 products and two transactions fewer."""
CHUNK_SECONDS: Final = 0.2
MAX_WAITING: Final = 1000
"""Results that wait while others are settled, which takes as long as a broker blocks publishers."""
RETRY_SECONDS: Final = 2.0
GRACE_SECONDS: Final = 2.5
SETTLE_SECONDS: Final = 5.0
PRODUCTS_IN_A_BUCKET: Final = 25.0
"""First guess, for 100,000 products; corrected by each claim."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PollingParts:
    """What a poller is made of."""

    engine: AsyncEngine
    poll_product: PollProduct
    settle_polls: SettlePolls
    gate: CallGate
    tokens: TokenKeeper
    schedule: PollSchedule


class Poller:
    """The poller of one worker. Any number of workers share the buckets."""

    def __init__(self, parts: PollingParts) -> None:
        self._parts = parts
        self._caught_up_at = time.monotonic()

    @property
    def cycle_age_seconds(self) -> float:
        """Since when some product that is due could not be claimed."""
        return time.monotonic() - self._caught_up_at

    async def check(self) -> None:
        """For readiness.

        Raises:
            NotReadyError: polling is behind by more than two intervals and a lease.
        """
        schedule, age = self._parts.schedule, self.cycle_age_seconds
        if age > max(30.0, 2 * schedule.interval_seconds + schedule.lease_seconds):
            raise NotReadyError(f"last completed cycle {age:.0f} s ago, calls are {self._parts.gate.state}")

    async def run(self, stopping: asyncio.Event) -> None:
        """A loop for `run_worker`."""
        claims = await self._open(stopping)
        if claims is None:
            return
        shift = _Shift(self._parts, claims)
        async with asyncio.TaskGroup() as group:
            shift.start(group)
            while not stopping.is_set():
                pause = TICK_SECONDS
                try:
                    if await shift.claim():
                        self._caught_up_at = time.monotonic()
                except DatabaseUnavailableError as error:
                    _log.warning("buckets_not_claimed", error=str(error))
                    pause = RETRY_SECONDS
                await wait_for_any(stopping, seconds=pause)
            await shift.end()

    async def _open(self, stopping: asyncio.Event) -> SlotClaims | None:
        while True:
            try:
                return await SlotClaims.open(self._parts.engine, self._parts.schedule)
            except DatabaseUnavailableError as error:
                _log.warning("polling_waits_for_the_database", error=str(error))
            if await wait_for_any(stopping, seconds=RETRY_SECONDS):
                return None


class _Shift:
    """From one start of the poller to its end: what it holds, and what it has found."""

    def __init__(self, parts: PollingParts, claims: SlotClaims) -> None:
        self._parts = parts
        self._claims = claims
        self._held: Leases[HeldBucket] = Leases(
            parts.schedule.lease_seconds, self._renew, lambda _: metrics.lost_leases.inc()
        )
        self._crew: Crew[DueProduct] = Crew(parts.schedule.concurrency, self._poll)
        self._results: Chunks[PollResult] = Chunks(CHUNK, CHUNK_SECONDS)
        self._products_in_a_bucket = PRODUCTS_IN_A_BUCKET
        self._done_before = 0
        self._publish_again_at = 0.0
        self._calls_were_stopped = False
        self._renewing: asyncio.Task[None]
        self._settling: asyncio.Task[None]

    def start(self, group: asyncio.TaskGroup) -> None:
        self._crew.start(group)
        self._renewing = group.create_task(self._held.renew_for_ever())
        self._settling = group.create_task(self._settle_all())

    async def end(self) -> None:
        """Finish or cut calls, publish and commit what is complete, release everything."""
        for due in await self._crew.drain(GRACE_SECONDS):
            self._finish(due)
        self._results.close()
        await asyncio.wait([self._settling], timeout=SETTLE_SECONDS)
        self._settling.cancel()
        self._renewing.cancel()

    async def claim(self) -> bool:
        """Claim what there is room for; whether nothing that is due is left.

        Raises:
            DatabaseUnavailableError: whether anything was claimed is unknown.
        """
        is_open = self._parts.gate.state == "open"
        if is_open and self._calls_were_stopped:
            await self._claims.realign()
        self._calls_were_stopped = not is_open
        wanted = self._buckets_wanted()
        if wanted == 0:
            return False
        claim = await self._claims.claim(wanted)
        self._held.add(claim.buckets)
        for bucket in claim.buckets:
            if bucket.unfinished == 0:
                self._results.add(ReleasedBucket(bucket))
        if claim.buckets:
            found = len(claim.due) / len(claim.buckets)
            self._products_in_a_bucket = max(1.0, (self._products_in_a_bucket + found) / 2)
        self._crew.put(claim.due)
        return is_open and len(claim.buckets) < wanted

    def _buckets_wanted(self) -> int:
        """Enough for the next moments at the present pace, and no more, so that copies share the load."""
        done, self._done_before = self._crew.done - self._done_before, self._crew.done
        parts = self._parts
        if parts.tokens.token is None or not parts.gate.would_admit() or time.monotonic() < self._publish_again_at:
            return 0
        if self._results.waiting > MAX_WAITING:
            return 0
        if parts.gate.state != "open":
            return 1
        products = min(max(parts.schedule.concurrency, 3 * done), MAX_BACKLOG) - self._crew.backlog
        return max(1, int(products / self._products_in_a_bucket)) if products > 0 else 0

    async def _renew(self, held: Sequence[HeldBucket]) -> set[HeldBucket]:
        async with single_statement(self._parts.engine) as connection:
            renewed = await renew_leases(connection, held, self._held.seconds)
        # A finished one may have been released meanwhile; if not, its settlement will find that it is lost.
        return {bucket for bucket in held if not bucket.unfinished or (bucket.bucket, bucket.fence) in renewed}

    async def _poll(self, due: DueProduct) -> None:
        try:
            result = await self._parts.poll_product(due, self._claims.clock)
            if result is not None:
                self._results.add(result)
        except Exception:  # noqa: BLE001 - see below
            # One product that our own code stumbles over must not hold the others back.
            _log.exception("poll_failed_here", product_id=str(due.product_id))
            metrics.polls.labels("our_fault").inc()
        finally:
            self._finish(due)

    def _finish(self, due: DueProduct) -> None:
        bucket = due.bucket
        bucket.unfinished -= 1
        if bucket.unfinished > 0:
            return
        if bucket.answered or (bucket.called and self._parts.gate.state == "open"):
            self._results.add(ReleasedBucket(bucket))
        else:
            # Nothing was learnt while calls are stopped, so the slot is still open. A bucket that was tried goes to
            # the end of the line: the next probe is another product's.
            due_epoch = self._claims.clock.epoch(time.monotonic()) if bucket.called else bucket.slot
            self._results.add(ReleasedBucket(bucket, due_epoch))

    async def _settle_all(self) -> None:
        while results := await self._results.next():
            try:
                if not await self._parts.settle_polls(results):
                    self._publish_again_at = time.monotonic() + RETRY_SECONDS
            except DatabaseUnavailableError as error:
                _log.warning("polls_not_stored", results=len(results), error=str(error))
                for result in results:
                    self._held.let_go(result.bucket)
            for result in results:
                if isinstance(result, ReleasedBucket):
                    self._held.discard(result.bucket)
