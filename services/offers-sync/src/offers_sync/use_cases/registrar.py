"""Registers pending products with the Offers microservice, for as long as it takes."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from aggregator_contracts import ProductRegistered, ProductRegistrationFailed
from lifecycle import wait_for_any
from offers_sync import metrics
from offers_sync.db.engine import DatabaseUnavailableError, single_statement, transaction
from offers_sync.db.registrations import (
    Postponement,
    Refusal,
    claim_registrations,
    renew_registrations,
    store_postponed,
    store_refused,
    store_registered,
)
from offers_sync.domain.answers import (
    BadAnswer,
    Refused,
    Registered,
    RegistrationAnswer,
    Throttled,
    TokenRejected,
    Unavailable,
)
from offers_sync.domain.backoff import UNAVAILABLE_SECONDS, retry_delay
from offers_sync.domain.call_gate import CallGate
from offers_sync.domain.products import ClaimedRegistration
from offers_sync.offers_ms.client import OffersClient
from offers_sync.offers_ms.request_slots import RequestSlots
from offers_sync.use_cases.crew import Chunks, Crew
from offers_sync.use_cases.leases import Leases
from offers_sync.use_cases.token_keeper import TokenKeeper
from outbox import enqueue

IDLE_SECONDS: Final = 1.0
"""How often the database is asked for pending products that nobody nudged about, such as those due for another try."""
CLOSED_SECONDS: Final = 0.25
CHUNK: Final = 100
CHUNK_SECONDS: Final = 0.05
LEASE_SECONDS: Final = 5.0
"""How long what was claimed by a worker that died stays undone; registering once more does no harm."""
GRACE_SECONDS: Final = 2.5
WRITE_SECONDS: Final = 4.0

_log = structlog.get_logger()


_Outcome = ClaimedRegistration | Refusal | Postponement


@dataclass(frozen=True, slots=True)
class Registrar:
    """Claims pending products, calls outside any transaction, and stores outcomes together with their events.

    Attributes:
        nudge: set by whoever makes a product pending.
        interval_seconds: between two polls of a product.
        concurrency: calls under way at once.
    """

    engine: AsyncEngine
    client: OffersClient
    slots: RequestSlots
    gate: CallGate
    tokens: TokenKeeper
    nudge: asyncio.Event
    interval_seconds: float
    concurrency: int

    async def run(self, stopping: asyncio.Event) -> None:
        """A loop for `run_worker`."""
        outcomes: Chunks[_Outcome] = Chunks(CHUNK, CHUNK_SECONDS)

        leases: Leases[ClaimedRegistration] = Leases(LEASE_SECONDS, self._renew)

        async def work(claim: ClaimedRegistration) -> None:
            try:
                outcome = await self._register(claim)
            except asyncio.CancelledError:
                # Cut off while stopping; registering once more does no harm, so nobody needs to wait for the lease.
                outcomes.add(Postponement(claim, 0, 0))
                raise
            finally:
                leases.discard(claim)
            if outcome is not None:
                outcomes.add(outcome)

        crew: Crew[ClaimedRegistration] = Crew(self.concurrency, work)
        async with asyncio.TaskGroup() as group:
            crew.start(group)
            renewing = group.create_task(leases.renew_for_ever())
            writing = group.create_task(self._write_all(outcomes))
            await self._claim_all(crew, leases, stopping)
            for claim in await crew.drain(GRACE_SECONDS):
                outcomes.add(Postponement(claim, 0, 0))
            outcomes.close()
            await asyncio.wait([writing], timeout=WRITE_SECONDS)
            writing.cancel()
            renewing.cancel()

    async def _claim_all(
        self, crew: Crew[ClaimedRegistration], leases: Leases[ClaimedRegistration], stopping: asyncio.Event
    ) -> None:
        while not stopping.is_set():
            if self.tokens.token is None or not self.gate.would_admit():
                await wait_for_any(stopping, seconds=CLOSED_SECONDS)
                continue
            self.nudge.clear()
            try:
                claims = await self._claim()
            except DatabaseUnavailableError as error:
                _log.warning("registrations_not_claimed", error=str(error))
                await wait_for_any(stopping, seconds=IDLE_SECONDS)
                continue
            leases.add(claims)
            crew.put(claims)
            if not claims:
                await wait_for_any(stopping, self.nudge, seconds=IDLE_SECONDS)
            elif self.gate.state != "open":
                await wait_for_any(stopping, seconds=CLOSED_SECONDS)
            else:
                await self._room(crew, stopping)

    async def _claim(self) -> list[ClaimedRegistration]:
        limit = max(CHUNK, self.concurrency) if self.gate.state == "open" else 1
        async with single_statement(self.engine) as connection:
            return await claim_registrations(connection, limit, LEASE_SECONDS)

    async def _renew(self, claims: Sequence[ClaimedRegistration]) -> set[ClaimedRegistration]:
        async with single_statement(self.engine) as connection:
            renewed = await renew_registrations(connection, claims, LEASE_SECONDS)
        return {claim for claim in claims if claim.product.product_id in renewed}

    @staticmethod
    async def _room(crew: Crew[ClaimedRegistration], stopping: asyncio.Event) -> None:
        room = asyncio.create_task(crew.wait_for_room())
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait({room, stop}, return_when=asyncio.FIRST_COMPLETED)
        room.cancel()
        stop.cancel()

    async def _register(self, claim: ClaimedRegistration) -> _Outcome | None:
        async with self.slots:
            token = self.tokens.token
            if time.monotonic() >= claim.held_until:
                return None
            if token is None or not self.gate.admit():
                return Postponement(claim, 0, 0)
            try:
                answer = await self.client.register(token, claim.product)
            except Exception:  # noqa: BLE001 - see below
                # One product that our own code stumbles over must not hold the others back.
                _log.exception("registration_failed_here", product_id=str(claim.product.product_id))
                answer = BadAnswer("our_fault")
        self.gate.record(answer, token)
        metrics.registrations.labels(answer.KIND).inc()
        return _outcome(claim, answer)

    async def _write_all(self, outcomes: Chunks[_Outcome]) -> None:
        while chunk := await outcomes.next():
            try:
                await self._write(chunk)
            except DatabaseUnavailableError as error:
                # Their leases end, and they are registered once more under the same ids.
                _log.warning("registrations_not_stored", count=len(chunk), error=str(error))

    async def _write(self, chunk: Sequence[_Outcome]) -> None:
        refusals = [outcome for outcome in chunk if isinstance(outcome, Refusal)]
        async with transaction(self.engine) as connection:
            registered = await store_registered(
                connection, [claim for claim in chunk if isinstance(claim, ClaimedRegistration)], self.interval_seconds
            )
            failed = await store_refused(connection, refusals)
            await store_postponed(connection, [outcome for outcome in chunk if isinstance(outcome, Postponement)])
            await enqueue(
                connection,
                [
                    *(ProductRegistered.of(product_id, at) for product_id, at in registered.items()),
                    *(
                        ProductRegistrationFailed.of(refusal.claim.product.product_id, refusal.reason, at)
                        for refusal in refusals
                        if (at := failed.get(refusal.claim.product.product_id))
                    ),
                ],
            )


def _outcome(claim: ClaimedRegistration, answer: RegistrationAnswer) -> _Outcome:
    match answer:
        case Registered():
            return claim
        case Refused(reason=reason):
            return Refusal(claim, reason)
        case TokenRejected() | BadAnswer():
            return Postponement(claim, retry_delay(claim.attempts), 1)
        case Unavailable(retry_after_seconds=seconds):
            return Postponement(claim, retry_delay(claim.attempts, seconds, longest_seconds=UNAVAILABLE_SECONDS), 1)
        case Throttled(retry_after_seconds=seconds):
            return Postponement(claim, retry_delay(claim.attempts, seconds), 1)
