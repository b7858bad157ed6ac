"""Publishing before any queue is bound: refused or retried, or in the log; never confirmed and lost (F2)."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from uuid import UUID, uuid4

import aio_pika
import pytest
from tests.faults.laboratory.report import Report

from aggregator_contracts import ProductCreated, ProductState, parse_event
from aggregator_contracts.topology import EXCHANGE, HISTORY_PRODUCTS, LOG, SUBSCRIPTIONS, SYNC_PRODUCTS
from devstack.child import Child, Command
from devstack.conditions import wait_until
from devstack.plan import console_script
from event_bus import EventConsumer, EventLog, EventPublisher, PublishError
from offers_simulator.launch import launched
from offers_sync.db.migrate import migrate

BOUND_TO_CREATED = [subscription for subscription in SUBSCRIPTIONS if ProductCreated in subscription.events]


def created() -> ProductCreated:
    return ProductCreated.of(ProductState(product_id=uuid4(), version=1, name="Lawn mower", description=""))


@pytest.fixture
async def publisher(rabbitmq_url: str) -> AsyncIterator[EventPublisher]:
    publisher = EventPublisher(rabbitmq_url, timeout=30)
    yield publisher
    await publisher.stop()


@pytest.fixture
async def channel(rabbitmq_url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    async with await aio_pika.connect(rabbitmq_url) as connection:
        yield await connection.channel()


async def received(url: str) -> list[UUID]:
    """What a service that starts only now finds in its queue."""
    found: list[UUID] = []
    stopping = asyncio.Event()

    async def handle(event: ProductCreated) -> None:
        found.append(event.data.product_id)
        stopping.set()

    consumer = EventConsumer(url)
    consumer.subscribe(SYNC_PRODUCTS, handle)
    async with asyncio.timeout(60):
        await consumer.run(stopping)
    return found


@pytest.mark.fault("F2")
async def test_what_is_published_before_any_consumer_ever_ran_waits_for_it(
    rabbitmq_url: str, publisher: EventPublisher, report: Report
) -> None:
    event = created()
    await publisher.publish([event])
    assert await received(rabbitmq_url) == [event.data.product_id]
    report.lost = "0"


@pytest.mark.fault("F2")
async def test_what_no_queue_takes_is_refused_and_arrives_when_it_is_published_again(
    rabbitmq_url: str, publisher: EventPublisher, channel: aio_pika.abc.AbstractChannel, report: Report
) -> None:
    await publisher.start()
    for subscription in BOUND_TO_CREATED:
        queue = await channel.get_queue(subscription.queue)
        await queue.unbind(EXCHANGE, routing_key=ProductCreated.TYPE)
    await (await channel.get_queue(LOG)).unbind(EXCHANGE, routing_key="#")
    event = created()
    with pytest.raises(PublishError):
        await publisher.publish([event])
    # The next try opens a new connection, which declares the topology again.
    await publisher.publish([event])
    assert await received(rabbitmq_url) == [event.data.product_id]
    report.lost = "0"


@pytest.fixture
def offers_sync(
    service_database: Callable[[Callable[[str], object]], str], broker_accounts: Callable[[str], str]
) -> dict[str, str]:
    """What its processes are told, but for the Offers MS."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "DATABASE_URL": service_database(migrate),
        "RABBITMQ_URL": broker_accounts("offers-sync"),
    }


@pytest.mark.fault("F2")
async def test_what_no_queue_of_a_service_takes_is_in_the_log_from_which_the_service_makes_up_for_it(
    broker_accounts: Callable[[str], str],
    channel: aio_pika.abc.AbstractChannel,
    offers_sync: dict[str, str],
    tmp_path: Path,
    report: Report,
) -> None:
    publisher = EventPublisher(broker_accounts("catalog-api"))
    await publisher.start()
    for subscription in BOUND_TO_CREATED:
        queue = await channel.get_queue(subscription.queue)
        await queue.unbind(EXCHANGE, routing_key=ProductCreated.TYPE)
    event = created()
    await publisher.publish([event])  # confirmed: no account of a service's may put a binding back, nor look for it
    await publisher.stop()
    async with EventLog(broker_accounts("offers-sync")).open() as log, aclosing(log.read("first", until=0)) as entries:
        assert [parse_event(entry.body) async for entry in entries] == [event]

    script = console_script("offers-sync")
    rebuild = [script, "rebuild-products", "--from-log"]
    with launched() as simulator:
        environment = {**offers_sync, "OFFERS_BASE_URL": simulator.base_url}
        worker = Child(Command("offers-sync-work", [script, "work"], tmp_path / "work.log", environment))
        try:
            await asyncio.to_thread(subprocess.run, rebuild, env=offers_sync, check=True, timeout=60)
            registered = await asyncio.to_thread(
                wait_until,
                lambda: (
                    [item["id"] for item in simulator.admin("GET", "/products")["items"]]
                    == [str(event.data.product_id)]
                ),
                seconds=60,
            )
            assert registered, worker.last_lines()
        finally:
            worker.kill()
    report.lost = "0"


@pytest.mark.fault("F2")
async def test_a_broker_that_lost_everything_is_set_up_again_by_whoever_publishes(
    publisher: EventPublisher, channel: aio_pika.abc.AbstractChannel, report: Report
) -> None:
    await publisher.publish([created()])
    for subscription in SUBSCRIPTIONS:
        await channel.queue_delete(subscription.queue)
    await channel.exchange_delete(EXCHANGE)
    event = created()
    with pytest.raises(PublishError):
        await publisher.publish([event])
    await publisher.publish([event])
    for subscription in (SYNC_PRODUCTS, HISTORY_PRODUCTS):
        queue = await channel.get_queue(subscription.queue)
        message = await queue.get(no_ack=True)
        assert parse_event(message.body) == event
    report.lost = "0"
