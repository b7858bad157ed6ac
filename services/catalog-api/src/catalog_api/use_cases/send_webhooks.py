"""Sends webhooks what they are to be told: claimed in one transaction, sent outside of any, settled in another."""

import asyncio
from collections import Counter as Count
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import structlog
from prometheus_client import Counter, Histogram

from catalog_api.clients.webhooks import WebhookCaller
from catalog_api.db import webhook_claims, webhook_log, webhooks
from catalog_api.db.database import CONNECT_SECONDS, Database
from catalog_api.db.webhook_claims import Claim, Places
from catalog_api.db.webhook_deliveries import CHANNEL
from catalog_api.domain.delivery import DeliveryState, Outcome, judge
from catalog_api.domain.errors import DatabaseUnavailableError
from catalog_api.domain.signatures import signed_headers
from lifecycle import wait_for_any
from sealing import Seals, UnreadableError

LOOK_SECONDS: Final = 1.0
"""How long what is due again, or whose notification went astray, may wait."""
LEASE_GRACE_SECONDS: Final = 15.0
"""How much longer than an attempt its lease is: time to store what came of it."""
APART_SHARE: Final = 4
"""One place in so many is for webhooks whose last attempt failed, or was slow; the others are not for them."""
SLOW_SHARE: Final = 8
"""An attempt is slow that takes more than one part in so many of its time, by default 15 s."""

_log = structlog.get_logger()
attempts: Final = Counter(
    "aggregator_webhook_attempts_total",
    "Attempts to deliver: delivered, refused (another status than 2xx), gone (410), or failed (no answer)",
    ["outcome"],
)
ended: Final = Counter("aggregator_webhook_deliveries_total", "Deliveries that ended delivered or failed", ["state"])
attempt_seconds: Final = Histogram("aggregator_webhook_attempt_seconds", "How long an attempt took")
waited_seconds: Final = Histogram(
    "aggregator_webhook_waited_seconds",
    "How long what was due for a webhook that neither fails nor is slow waited to be sent",
    buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800),
)


@dataclass(frozen=True, slots=True)
class Sending:
    """How messages are sent."""

    dsn: str
    """For the session that hears of new messages: a direct connection."""
    attempt_seconds: float
    concurrency: int
    """Messages in hand at once."""
    concurrency_each: int
    """Among them, of one webhook."""


class SendWebhooks:
    """The sender of one process; any number may run, and whoever dies leaves what it had in hand to the others."""

    def __init__(self, database: Database, caller: WebhookCaller, seals: Seals, sending: Sending) -> None:
        self._database = database
        self._caller = caller
        self._seals = seals
        self._sending = sending
        self._in_hand: Count[UUID] = Count()
        self._slow: set[UUID] = set()
        self._apart = max(sending.concurrency // APART_SHARE, 1)
        self._healthy = sending.concurrency - self._apart

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until `stopping` is set, then finish what is in hand.

        Raises:
            OSError: the session that hears of new messages ended; start again.
        """
        wake = asyncio.Event()
        async with self._caller, self._listening(wake) as session:
            await self._seal_again()
            async with asyncio.TaskGroup() as deliveries:
                while not (stopping.is_set() or session.is_closed()):
                    wake.clear()
                    claims = await self._claim()
                    for claim in claims:
                        deliveries.create_task(self._deliver(claim, wake))
                    if not claims:
                        await wait_for_any(stopping, wake, seconds=LOOK_SECONDS)
            if not stopping.is_set():
                raise ConnectionError("the session that hears of new messages ended")

    @asynccontextmanager
    async def _listening(self, wake: asyncio.Event) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        session: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            self._sending.dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=CONNECT_SECONDS,
            server_settings={"application_name": "catalog-api-webhooks"},
        )
        try:
            await session.add_listener(CHANNEL, lambda *_: wake.set())
            session.add_termination_listener(lambda *_: wake.set())
            yield session
        finally:
            session.terminate()

    async def _seal_again(self) -> None:
        if self._seals.encrypting:
            async with self._database.transaction() as connection:
                await webhooks.seal_again(connection, self._seals)

    async def _claim(self) -> list[Claim]:
        places = Places(self._healthy, self._apart, self._sending.concurrency_each)
        if not (places.healthy or places.apart):
            return []
        lease = self._sending.attempt_seconds + LEASE_GRACE_SECONDS
        try:
            async with self._database.transaction() as connection:
                claims = await webhook_claims.claim(connection, places, self._in_hand, self._slow, lease)
        except DatabaseUnavailableError as error:
            _log.warning("webhooks_not_claimed", error=str(error))
            return []
        for claim in claims:
            self._take(claim, 1)
            if not claim.apart:
                waited_seconds.observe(claim.waited_seconds)
        return claims

    def _take(self, claim: Claim, number: int) -> None:
        self._in_hand[claim.webhook_id] += number
        if not self._in_hand[claim.webhook_id]:
            del self._in_hand[claim.webhook_id]
        if claim.apart:
            self._apart -= number
        else:
            self._healthy -= number

    async def _deliver(self, claim: Claim, wake: asyncio.Event) -> None:
        ids = {"webhook_id": str(claim.webhook_id), "delivery_id": str(claim.id)}
        try:
            await self._attempt(claim, ids)
        except DatabaseUnavailableError:
            _log.warning("webhook_attempt_not_stored", **ids)  # sent again when the lease ends
        except Exception:  # noqa: BLE001 - of one message: the others go on, and it is tried again when the lease ends
            _log.exception("webhook_failed_here", **ids)
        finally:
            self._take(claim, -1)
            wake.set()

    async def _attempt(self, claim: Claim, ids: dict[str, str]) -> None:
        try:
            await self._settle(claim, await self._sent(claim), ids)
        except DatabaseUnavailableError:
            raise
        except Exception:  # noqa: BLE001 - a mistake of ours: not settled, it would be repeated at the end of each lease
            _log.exception("webhook_failed_here", **ids)
            await self._settle(claim, Outcome(0.0, error="a mistake of ours, which the worker's log tells"), ids)

    async def _sent(self, claim: Claim) -> Outcome:
        try:
            secrets = [self._seals.open(secret) for secret in claim.secrets]
        except UnreadableError:
            return Outcome(0.0, error="the secret is encrypted, and WEBHOOK_SECRET_KEYS has no key that opens it")
        headers = signed_headers(claim.id, datetime.now(UTC), claim.body, secrets)
        outcome = await self._caller.send(claim.url, claim.body, headers)
        if outcome.seconds > self._sending.attempt_seconds / SLOW_SHARE:
            self._slow.add(claim.webhook_id)
        else:
            self._slow.discard(claim.webhook_id)
        return outcome

    async def _settle(self, claim: Claim, outcome: Outcome, ids: dict[str, str]) -> None:
        verdict = judge(outcome, claim.failures, datetime.now(UTC))
        async with self._database.transaction() as connection:
            disabled = await webhook_claims.settle(connection, claim, outcome, verdict)
        attempts.labels(_kind(outcome)).inc()
        attempt_seconds.observe(outcome.seconds)
        if verdict.state is not DeliveryState.PENDING:
            ended.labels(verdict.state).inc()
        if disabled:
            _log.warning("webhook_disabled", reason="the endpoint answered 410", **ids)
        elif verdict.state is DeliveryState.FAILED:
            _log.warning("webhook_delivery_failed", status=outcome.status, error=outcome.error, **ids)


def _kind(outcome: Outcome) -> str:
    if outcome.good:
        return "delivered"
    if outcome.gone:
        return "gone"
    return "failed" if outcome.status is None else "refused"


@dataclass(frozen=True, slots=True)
class ForgetDeliveries:
    """Deletes deliveries that are old, or whose webhook is gone, and secrets that sign no more."""

    database: Database
    kept: timedelta

    async def __call__(self, batch: int = 1000) -> int:
        """How many deliveries were deleted: `batch` at most, so that no transaction is long."""
        async with self.database.transaction() as connection:
            await webhooks.forget_ended_secrets(connection)
            return await webhook_log.prune(connection, self.kept, batch)
