"""The composition root: every part of each process, built by plain arguments. Nothing connects here."""

from datetime import UTC, datetime, timedelta
from typing import Final

from fastapi import FastAPI

from aggregator_contracts.topology import HISTORY_OFFERS, HISTORY_PRODUCTS
from connection_pool import Writer
from event_bus import EventConsumer, EventLog, EventPublisher
from lifecycle import Readiness, run_worker
from outbox import OutboxRelay, UnmigratedError
from price_history.db.engine import Database, DatabaseUnavailableError, Limits
from price_history.db.snapshots import Snapshots
from price_history.entrypoints.http.app import create_app
from price_history.entrypoints.worker import OffersHandler, ProductsHandler
from price_history.settings import MigrateSettings, RecordSettings, ServeSettings, WorkSettings
from price_history.use_cases.derived_events import derived_events, no_events
from price_history.use_cases.keep_partitions import KeepPartitions
from price_history.use_cases.known_products import AddProduct, DeleteProduct
from price_history.use_cases.read_history import ReadHistory
from price_history.use_cases.read_trend import ReadTrend
from price_history.use_cases.rebuild_history import RebuildHistory, ReplayEvents
from price_history.use_cases.record_offers import RecordOffers
from price_history.use_cases.roll_up import RollUp

WORK_LIMITS: Final = Limits(connections=5, wait_seconds=10, statement_seconds=60)
"""One connection records, one follows products, one rolls up, one keeps partitions, one tells readiness; the outbox
relay has one of its own."""
REBUILD_LIMITS: Final = Limits(connections=1, wait_seconds=10, statement_seconds=24 * 3600)
"""Queueing everything is one statement over all changes, and so is forgetting everything."""
REBUILD_KNOWN_PRODUCTS: Final = 100_000


def http_app(settings: ServeSettings) -> FastAPI:
    """The application of `price-history serve`."""
    database = Database(
        settings.database_url,
        "price-history-serve",
        Limits(
            settings.database_pool_size,
            settings.database_pool_timeout_seconds,
            settings.database_statement_timeout_seconds,
        ),
    )
    return create_app(
        read_trend=ReadTrend(database),
        read_history=ReadHistory(database),
        readiness=Readiness({"database": database.check}),
        close=database.close,
        settings=settings,
    )


async def work(settings: WorkSettings) -> None:
    """`price-history work`, until a signal asks it to stop."""
    database = _work_database(settings, Writer.WORKER)
    consumer = EventConsumer(settings.rabbitmq_url, transient=(DatabaseUnavailableError,), prefetch=settings.prefetch)
    events_of = derived_events if settings.derived_events == "on" else None
    record_offers = RecordOffers(database, Snapshots(settings.known_products), events_of)
    consumer.subscribe(HISTORY_OFFERS, OffersHandler(record_offers))
    consumer.subscribe(HISTORY_PRODUCTS, ProductsHandler(AddProduct(database), DeleteProduct(database)))
    publisher = EventPublisher(settings.rabbitmq_url)
    relay = OutboxRelay(settings.database_url, publisher)
    roll_up = RollUp(database)
    partitions = KeepPartitions(database, roll_up, timedelta(days=settings.retention_days), _now)
    try:
        await run_worker(
            {
                "consumer": consumer.run,
                "outbox-relay": relay.run,
                "rollups": roll_up.run,
                "partitions": partitions.run,
            },
            readiness=Readiness(
                {"database": database.check, "database_disk": database.disk.check, "broker": consumer.check}
            ),
            transient=(DatabaseUnavailableError, UnmigratedError),
            health_port=settings.health_port,
            health_host=settings.health_host,
        )
    finally:
        await publisher.stop()
        await database.close()


async def first_partitions(settings: MigrateSettings) -> None:
    """Make the partitions of the present, so that the first changes need not move."""
    database = _work_database(settings)
    try:
        await KeepPartitions(database, RollUp(database), timedelta(), _now).make()
    finally:
        await database.close()


async def rebuild(settings: MigrateSettings) -> None:
    """`price-history rebuild`: make the rollups of all changes that are kept anew.

    What an interruption leaves in the queue, `work` or another `rebuild` rolls up.
    """
    database = Database(settings.database_url, "price-history-rebuild", REBUILD_LIMITS)
    roll_up = RollUp(database)
    try:
        await roll_up.anew()
        await roll_up.finish()
    finally:
        await database.close()


def history_rebuild(settings: RecordSettings, *, afresh: bool) -> tuple[RebuildHistory, EventLog, Database]:
    """For `price-history rebuild --from-log`; the log is to be opened for it, the database to be closed after it."""
    database = Database(settings.database_url, "price-history-rebuild", REBUILD_LIMITS, writer=Writer.REBUILD)
    # What is recorded for the first time is told: it may wait in the queue still, and is old news to a worker then.
    events_of = no_events if afresh else derived_events
    record_offers = RecordOffers(
        database, Snapshots(REBUILD_KNOWN_PRODUCTS), events_of if settings.derived_events == "on" else None
    )
    rebuild_history = RebuildHistory(database, ReplayEvents(database, record_offers), RollUp(database), afresh=afresh)
    return rebuild_history, EventLog(settings.rabbitmq_url), database


def _work_database(settings: MigrateSettings, writer: Writer | None = None) -> Database:
    return Database(settings.database_url, "price-history-work", WORK_LIMITS, writer=writer)


def _now() -> datetime:
    return datetime.now(UTC)
