"""The loops of `catalog-api work`."""

import asyncio
from typing import Final

from prometheus_client import Counter

from catalog_api import bootstrap
from catalog_api.settings import WorkSettings
from catalog_api.use_cases.answer_once import ForgetExpiredKeys
from lifecycle import run_worker, wait_for_any

PURGE_SECONDS: Final = 600.0

expired_keys: Final = Counter("aggregator_catalog_idempotency_keys_expired_total", "Idempotency keys deleted by age")


async def work(settings: WorkSettings) -> None:
    """Relay the outbox, consume events and forget expired keys until asked to stop."""
    parts = bootstrap.worker(settings)
    async with parts.database:
        await run_worker(
            {
                "outbox-relay": parts.relay.run,
                "consumer": parts.consumer.run,
                "idempotency-keys": lambda stopping: forget_expired_keys(parts.forget_expired_keys, stopping),
            },
            readiness=parts.readiness,
            health_port=settings.health_port,
            health_host=settings.health_host,
        )
        await parts.publisher.stop()


async def forget_expired_keys(forget: ForgetExpiredKeys, stopping: asyncio.Event) -> None:
    """Delete expired keys now and every ten minutes, in small transactions."""
    while not stopping.is_set():
        while (deleted := await forget()) and not stopping.is_set():
            expired_keys.inc(deleted)
        await wait_for_any(stopping, seconds=PURGE_SECONDS)
