"""The composition root: builds every object of a process, by plain constructor arguments. Nothing connects here."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from aggregator_contracts import ProductCreated, ProductDeleted, ProductUpdated
from aggregator_contracts.topology import SYNC_PRODUCTS
from event_bus import EventConsumer, EventLog, EventPublisher, Handlers, Kept, Rebuild
from lifecycle import DatabaseDisk, Loop, Readiness
from offers_sync import metrics
from offers_sync.db.access_tokens import StoredTokens
from offers_sync.db.engine import DatabaseUnavailableError, answers, create_engine, create_session_engine, transaction
from offers_sync.db.products import newest_outcome
from offers_sync.domain.call_gate import CallGate
from offers_sync.entrypoints.events import ProductEvents
from offers_sync.offers_ms.client import OffersClient
from offers_sync.offers_ms.http import HttpCaller
from offers_sync.offers_ms.request_slots import RequestSlots
from offers_sync.settings import OffersMsSettings, RebuildSettings, WorkSettings
from offers_sync.use_cases.access_tokens import (
    PermanentToken,
    RenewableToken,
    TokenSource,
    account_of,
    store_given_token,
)
from offers_sync.use_cases.observe import Observe
from offers_sync.use_cases.poll_product import PollProduct
from offers_sync.use_cases.poller import Poller, PollingParts
from offers_sync.use_cases.record_products import RecordProducts
from offers_sync.use_cases.registrar import Registrar
from offers_sync.use_cases.rekey import Rekey
from offers_sync.use_cases.settle_polls import SettlePolls
from offers_sync.use_cases.slot_claims import PollSchedule
from offers_sync.use_cases.token_keeper import TokenKeeper
from outbox import OutboxRelay

PREFETCH: Final = 100
"""Messages in hand; they are stored together, so many of them cost little more than one."""


@dataclass(frozen=True, slots=True)
class Worker:
    """What `run_worker` runs."""

    loops: Mapping[str, Loop]
    readiness: Readiness


@asynccontextmanager
async def worker(settings: WorkSettings) -> AsyncIterator[Worker]:
    """The parts of `offers-sync work`."""
    disk = DatabaseDisk()
    engine = create_engine(settings.database_url, disk)
    publisher = EventPublisher(settings.rabbitmq_url)
    async with offers_client(settings) as client:
        try:
            yield _assemble(settings, engine, disk, publisher, client)
        finally:
            await publisher.stop()
            await engine.dispose()


@asynccontextmanager
async def rekey(settings: OffersMsSettings) -> AsyncIterator[Rekey]:
    """The parts of `offers-sync rekey`."""
    async with offers_client(settings) as client:
        yield Rekey(_sessions(settings), StoredTokens(settings.token_keys), client, settings.refresh_token)


def products_rebuild(settings: RebuildSettings) -> tuple[Rebuild, EventLog, AsyncEngine]:
    """For `offers-sync rebuild-products`; the log is to be opened for it, the engine to be disposed of after it."""
    engine = create_engine(settings.database_url)
    products = ProductEvents(RecordProducts(engine, nudge=asyncio.Event()))

    async def kept() -> Kept | None:
        async with transaction(engine) as connection:
            newest = await newest_outcome(connection)
        return None if newest is None else Kept(oldest=None, newest=newest)

    handlers: Handlers = {ProductCreated: products, ProductUpdated: products, ProductDeleted: products}
    return Rebuild(handlers, kept), EventLog(settings.rabbitmq_url), engine


@asynccontextmanager
async def offers_client(settings: OffersMsSettings) -> AsyncIterator[OffersClient]:
    """A client of the Offers microservice."""
    async with HttpCaller(settings.offers_request_timeout_seconds, settings.offers_max_concurrency) as http:
        yield OffersClient(http, settings.offers_base_url)


def _sessions(settings: OffersMsSettings) -> AsyncEngine:
    # A process that asks for a token and freezes holds the others back no longer than this.
    return create_session_engine(settings.database_url, frozen_seconds=settings.offers_request_timeout_seconds + 5)


def _assemble(
    settings: WorkSettings, engine: AsyncEngine, disk: DatabaseDisk, publisher: EventPublisher, client: OffersClient
) -> Worker:
    gate = CallGate()
    slots = RequestSlots(settings.offers_max_concurrency, settings.offers_max_requests_per_second)
    stored_tokens = StoredTokens(settings.token_keys)
    tokens = TokenKeeper(_token_source(settings, engine, stored_tokens, client), gate)
    nudge = asyncio.Event()
    registrar = Registrar(
        engine,
        client,
        slots,
        gate,
        tokens,
        nudge,
        interval_seconds=settings.offers_poll_interval_seconds,
        # Half of the calls at most, so that a flood of new products does not starve polling.
        concurrency=max(1, settings.offers_max_concurrency // 2),
    )
    poller = Poller(
        PollingParts(
            engine,
            PollProduct(client, slots, gate, tokens),
            SettlePolls(engine, publisher, settings.offers_poll_interval_seconds),
            gate,
            tokens,
            PollSchedule(
                settings.offers_poll_interval_seconds, settings.offers_lease_seconds, settings.offers_max_concurrency
            ),
        )
    )
    metrics.requests_in_flight.set_function(lambda: slots.in_use)
    metrics.cycle_age_seconds.set_function(lambda: poller.cycle_age_seconds)
    consumer = EventConsumer(settings.rabbitmq_url, transient=(DatabaseUnavailableError,), prefetch=PREFETCH)
    consumer.subscribe(SYNC_PRODUCTS, ProductEvents(RecordProducts(engine, nudge)))

    async def database() -> None:
        await answers(engine)

    async def keep_token(stopping: asyncio.Event) -> None:
        if settings.offers_access_token is not None:
            given = settings.offers_access_token.get_secret_value()
            await store_given_token(engine, stored_tokens, account_of(settings.refresh_token), given)
        await stored_tokens.seal(engine)
        await tokens.run(stopping)

    return Worker(
        loops={
            "token": keep_token,
            "products": consumer.run,
            "registrar": registrar.run,
            "poller": poller.run,
            "outbox": OutboxRelay(settings.database_url, publisher).run,
            "observe": Observe(engine, gate).run,
        },
        readiness=Readiness(
            {
                "database": database,
                "database_disk": disk.check,
                "broker": publisher.check,
                "consumer": consumer.check,
                "token": tokens.check,
                "polling": poller.check,
            }
        ),
    )


def _token_source(
    settings: WorkSettings, engine: AsyncEngine, stored: StoredTokens, client: OffersClient
) -> TokenSource:
    if settings.refresh_token is None:
        return PermanentToken(engine, _sessions(settings), stored, client)
    return RenewableToken(engine, _sessions(settings), stored, client, settings.refresh_token)
