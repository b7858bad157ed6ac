"""Asks for one product's offers, and tells what is new about them."""

import time
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from offers_sync import metrics
from offers_sync.domain.answers import Listed, NotRegistered, PollAnswer, SameBody, Throttled
from offers_sync.domain.call_gate import CallGate
from offers_sync.domain.database_clock import DatabaseClock
from offers_sync.domain.polling import ChangedList, DueProduct, UnknownProduct
from offers_sync.offers_ms.client import OffersClient
from offers_sync.offers_ms.request_slots import RequestSlots
from offers_sync.use_cases.token_keeper import TokenKeeper

LONGEST_HOLD_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class PollProduct:
    """Polls one product, if it still may be polled when its turn has come."""

    client: OffersClient
    slots: RequestSlots
    gate: CallGate
    tokens: TokenKeeper
    _held_back: dict[UUID, float] = field(default_factory=dict)

    async def __call__(self, due: DueProduct, clock: DatabaseClock) -> ChangedList | UnknownProduct | None:
        """What is new about the product; None when nothing is, or nothing could be learnt."""
        async with self.slots:
            token = self._permission(due)
            if token is None:
                return None
            begun_at = time.monotonic()
            answer = await self.client.offers(token, due.product_id, due.body_digest)
            ended_at = time.monotonic()
        if ended_at >= due.bucket.held_until:
            # This worker was frozen, perhaps: the answer may have waited here while others asked, and a timeout is no
            # sign of an outage.
            metrics.polls.labels("lease_lost").inc()
            return None
        self.gate.record(answer, token)
        metrics.poll_seconds.observe(ended_at - begun_at)
        return self._news(due, answer, clock, ended_at)

    def _permission(self, due: DueProduct) -> str | None:
        """The token to call with; None if the call must not be made now."""
        now = time.monotonic()
        if now >= due.bucket.held_until:
            metrics.polls.labels("lease_lost").inc()
            return None
        if self._held_back and self._held_back.get(due.product_id, 0.0) > now:
            metrics.polls.labels("held_back").inc()
            due.bucket.called = True
            return None
        token = self.tokens.token
        if token is None or not self.gate.admit():
            metrics.polls.labels("calls_stopped").inc()
            return None
        due.bucket.called = True
        return token

    def _news(
        self, due: DueProduct, answer: PollAnswer, clock: DatabaseClock, ended_at: float
    ) -> ChangedList | UnknownProduct | None:
        match answer:
            case SameBody():
                due.bucket.answered = True
                metrics.polls_unchanged.inc()
                return None
            case Listed(offer_list=found):
                due.bucket.answered = True
                if found.dropped:
                    for reason, count in found.dropped.items():
                        metrics.dropped_rows.labels(reason).inc(count)
                if found.digest == due.digest:
                    metrics.polls_unchanged.inc()
                    return None
                metrics.polls_changed.inc()
                return ChangedList(due.product_id, due.bucket, found, due.revision + 1, clock.moment(ended_at))
            case NotRegistered():
                due.bucket.answered = True
                metrics.polls.labels(answer.KIND).inc()
                return UnknownProduct(due.product_id, due.bucket)
            case Throttled(retry_after_seconds=float(seconds)):
                self._hold_back(due.product_id, ended_at, min(seconds, LONGEST_HOLD_SECONDS))
        metrics.polls.labels(answer.KIND).inc()
        return None

    def _hold_back(self, product_id: UUID, now: float, seconds: float) -> None:
        for waiting in [known for known, until in self._held_back.items() if until <= now]:
            del self._held_back[waiting]
        self._held_back[product_id] = now + seconds
