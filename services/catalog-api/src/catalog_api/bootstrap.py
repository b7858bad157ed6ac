"""The composition root: builds each process's parts from its settings. Nothing here connects."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from fastapi import FastAPI

from aggregator_contracts.topology import CATALOG_ALERTS, CATALOG_OFFERS, CATALOG_REGISTRATIONS
from catalog_api.clients.price_history import PriceHistory
from catalog_api.clients.recorded_prices import RecordedPrices
from catalog_api.clients.webhook_targets import CheckTarget
from catalog_api.clients.webhooks import WebhookCaller
from catalog_api.db.database import Database
from catalog_api.db.product_reads import ProductReads
from catalog_api.domain.errors import DatabaseUnavailableError
from catalog_api.entrypoints.http.application import create_application
from catalog_api.live.tail import LiveTail
from catalog_api.settings import DatabaseSettings, RebuildSettings, ServeSettings, WorkSettings
from catalog_api.use_cases.answer_once import AnswerOnce, ForgetExpiredKeys
from catalog_api.use_cases.apply_offers import ApplyOffers
from catalog_api.use_cases.apply_registration import ApplyRegistration
from catalog_api.use_cases.catalog import Catalog
from catalog_api.use_cases.change_product import ChangeProduct, DeleteProduct
from catalog_api.use_cases.check_tokens import CheckTokens
from catalog_api.use_cases.create_products import CreateProducts
from catalog_api.use_cases.dry_run_alert import DryRunAlert
from catalog_api.use_cases.fire_alerts import FireAlerts
from catalog_api.use_cases.follow_events import FollowEvents
from catalog_api.use_cases.import_products import ImportProducts
from catalog_api.use_cases.manage_alerts import ForgetOldFirings, ManageAlerts
from catalog_api.use_cases.manage_tokens import ManageTokens
from catalog_api.use_cases.manage_webhooks import ManageWebhooks
from catalog_api.use_cases.rebuild_offers import RebuildOffers
from catalog_api.use_cases.send_webhooks import ForgetDeliveries, Sending, SendWebhooks
from connection_pool import Writer
from event_bus import EventConsumer, EventLog, EventPublisher
from lifecycle import Readiness
from outbox import OutboxRelay
from sealing import Seals, keys_of

LIVE_PREFETCH: Final = 50
"""Events in hand of each reader of the log; the largest ones have a hundred products."""


def http_application(settings: ServeSettings) -> FastAPI:
    """For `serve`."""
    database = Database(
        settings.database_url,
        application_name="catalog-api-serve",
        pool_size=settings.database_pool_size,
        pool_timeout=settings.database_pool_timeout_seconds,
        statement_timeout=settings.database_statement_timeout_seconds,
    )
    price_history = PriceHistory(
        settings.price_history_url,
        timeout=settings.price_history_timeout_seconds,
        csv_timeout=settings.price_history_csv_timeout_seconds,
        token=settings.price_history_token,
    )
    read = ProductReads(database)
    live = LiveTail(EventLog(settings.rabbitmq_url, prefetch=LIVE_PREFETCH), ring_bytes=settings.stream_ring_bytes)
    catalog = Catalog(
        read=read,
        create=CreateProducts(database),
        once=AnswerOnce(database),
        change=ChangeProduct(database),
        delete=DeleteProduct(database),
        price_history=price_history,
        tokens=ManageTokens(database),
        webhooks=ManageWebhooks(
            database,
            CheckTarget(settings.webhook_targets),
            Seals(keys_of(settings.webhook_secret_keys)),
        ),
        alerts=ManageAlerts(database),
        dry_run_alert=DryRunAlert(read, RecordedPrices(price_history)),
        follow=FollowEvents(live),
    )
    credentials = CheckTokens(database, fresh_seconds=settings.access_cache_seconds)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with database, price_history, credentials.noting_use(), live:
            yield

    readiness = Readiness({"database": database.check, "database_disk": database.disk.check})
    application = create_application(catalog, credentials, readiness, lifespan, settings)
    application.state.on_drain = live.drain
    return application


@dataclass(frozen=True, slots=True)
class Worker:
    """The parts of `work`."""

    database: Database
    publisher: EventPublisher
    relay: OutboxRelay
    consumer: EventConsumer
    forget_expired_keys: ForgetExpiredKeys
    send_webhooks: SendWebhooks
    forget_deliveries: ForgetDeliveries
    forget_old_firings: ForgetOldFirings
    readiness: Readiness


def worker(settings: WorkSettings) -> Worker:
    """For `work`."""
    database = Database(
        settings.database_url,
        application_name="catalog-api-work",
        pool_size=settings.database_pool_size,
        pool_timeout=settings.database_pool_timeout_seconds,
        statement_timeout=settings.database_statement_timeout_seconds,
        writer=Writer.WORKER,
    )
    publisher = EventPublisher(settings.rabbitmq_url)
    consumer = EventConsumer(settings.rabbitmq_url, transient=(DatabaseUnavailableError,))
    consumer.subscribe(CATALOG_OFFERS, ApplyOffers(database))
    consumer.subscribe(CATALOG_REGISTRATIONS, ApplyRegistration(database))
    consumer.subscribe(CATALOG_ALERTS, FireAlerts(database))
    return Worker(
        database=database,
        publisher=publisher,
        relay=OutboxRelay(settings.database_url, publisher),
        consumer=consumer,
        forget_expired_keys=ForgetExpiredKeys(database),
        send_webhooks=SendWebhooks(
            database,
            WebhookCaller(timeout=settings.webhook_attempt_seconds, targets=settings.webhook_targets),
            Seals(keys_of(settings.webhook_secret_keys)),
            Sending(
                settings.database_url,
                settings.webhook_attempt_seconds,
                settings.webhook_max_in_flight,
                settings.webhook_max_in_flight_each,
            ),
        ),
        forget_deliveries=ForgetDeliveries(database, timedelta(days=settings.webhook_retention_days)),
        forget_old_firings=ForgetOldFirings(database),
        readiness=Readiness(
            {"database": database.check, "database_disk": database.disk.check, "broker": consumer.check}
        ),
    )


def importer(settings: DatabaseSettings) -> tuple[ImportProducts, Database]:
    """For `import`; the database is to be opened around it."""
    database = _database_of_a_command(settings, "catalog-api-import")
    return ImportProducts(CreateProducts(database)), database


def offers_rebuild(settings: RebuildSettings, *, afresh: bool) -> tuple[RebuildOffers, EventLog, Database]:
    """For `rebuild-offers`; log and database are to be opened around it."""
    database = _database_of_a_command(settings, "catalog-api-rebuild", writer=Writer.REBUILD, statement_timeout=3600)
    return RebuildOffers(database, afresh=afresh), EventLog(settings.rabbitmq_url), database


def token_management(settings: DatabaseSettings) -> tuple[ManageTokens, Database]:
    """For `tokens` and `migrate`; the database is to be opened around it."""
    database = _database_of_a_command(settings, "catalog-api-tokens")
    return ManageTokens(database), database


def _database_of_a_command(
    settings: DatabaseSettings, name: str, *, writer: Writer | None = None, statement_timeout: float = 60
) -> Database:
    # A command does one thing after the other, and may take its time.
    return Database(
        settings.database_url,
        application_name=name,
        pool_size=1,
        pool_timeout=30,
        statement_timeout=statement_timeout,
        writer=writer,
    )
