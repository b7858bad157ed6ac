"""The loops of `catalog-api work`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import Counter

from catalog_api import bootstrap
from catalog_api.domain.errors import DatabaseUnavailableError
from catalog_api.settings import WorkSettings
from lifecycle import run_worker, wait_for_any
from outbox import UnmigratedError

PURGE_SECONDS: Final = 600.0

expired_keys: Final = Counter("aggregator_catalog_idempotency_keys_expired_total", "Idempotency keys deleted by age")
old_deliveries: Final = Counter("aggregator_webhook_deliveries_forgotten_total", "Deliveries deleted by age")
old_firings: Final = Counter("aggregator_catalog_alert_firings_forgotten_total", "Logged firings deleted by age")


async def work(settings: WorkSettings) -> None:
    """Relay the outbox, consume events, send webhooks and forget what is old until asked to stop."""
    parts = bootstrap.worker(settings)
    async with parts.database:
        await run_worker(
            {
                "outbox-relay": parts.relay.run,
                "consumer": parts.consumer.run,
                "webhooks": parts.send_webhooks.run,
                "idempotency-keys": lambda stopping: forget(parts.forget_expired_keys, expired_keys, stopping),
                "webhook-deliveries": lambda stopping: forget(parts.forget_deliveries, old_deliveries, stopping),
                "alert-firings": lambda stopping: forget(parts.forget_old_firings, old_firings, stopping),
            },
            readiness=parts.readiness,
            transient=(DatabaseUnavailableError, UnmigratedError),
            health_port=settings.health_port,
            health_host=settings.health_host,
        )
        await parts.publisher.stop()


async def forget(what: Callable[[], Awaitable[int]], counter: Counter, stopping: asyncio.Event) -> None:
    """Delete what is old now and every ten minutes, in small transactions."""
    while not stopping.is_set():
        while (deleted := await what()) and not stopping.is_set():
            counter.inc(deleted)
        await wait_for_any(stopping, seconds=PURGE_SECONDS)
