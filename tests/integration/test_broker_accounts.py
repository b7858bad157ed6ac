"""What each broker account may do and what it may not, on a real broker."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aiormq.exceptions import AMQPError, ChannelAccessRefused

from aggregator_contracts import EVENT_CLASSES, Event, ProductCreated, ProductRegistered, ProductState
from aggregator_contracts.topology import (
    CATALOG_REGISTRATIONS,
    EXCHANGE,
    HISTORY_PRODUCTS,
    LOG,
    SERVICES,
    SUBSCRIBER,
    SUBSCRIPTIONS,
    SYNC_PRODUCTS,
    Subscription,
)
from devstack.broker_management import BrokerManagement
from event_bus import (
    EventConsumer,
    EventLog,
    EventPublisher,
    ParkedMessage,
    ParkedMessages,
    PublishError,
    Unprocessable,
)
from event_bus.definitions import definitions
from event_bus.topology import EXCHANGES, QUEUES

Accounts = Callable[[str], str]

ACCOUNTS = (*SERVICES, SUBSCRIBER)
OWN = {(event.SOURCE.removeprefix("/"), event) for event in EVENT_CLASSES}
READERS = {queue: {s.service} for s in SUBSCRIPTIONS for queue in (s.queue, s.parked_queue)}
READERS[LOG] = {*SERVICES, SUBSCRIBER}


@asynccontextmanager
async def channel_of(url: str) -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(url) as connection:
        yield await connection.channel(on_return_raises=True)


async def publish(url: str, exchange: str, routing_key: str, **properties: Any) -> None:
    async with channel_of(url) as channel:
        target = await channel.get_exchange(exchange, ensure=False)
        await target.publish(aio_pika.Message(b"forged", **properties), routing_key)


@asynccontextmanager
async def consuming(
    url: str, subscription: Subscription, handle: Callable[[Event], Awaitable[None]]
) -> AsyncIterator[None]:
    consumer, stopping = EventConsumer(url), asyncio.Event()
    consumer.subscribe(subscription, handle)
    running = asyncio.create_task(consumer.run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait_for(running, 30)


async def first_of(queue: AbstractQueue) -> AbstractIncomingMessage:
    async with asyncio.timeout(30):
        while (message := await queue.get(fail=False)) is None:
            pass
    return message


async def first_parked(messages: ParkedMessages) -> ParkedMessage:
    async with asyncio.timeout(30):
        while not (parked := await messages.read(limit=1)):
            pass
    return parked[0]


async def is_empty(url: str, queue: str) -> bool:
    async with channel_of(url) as channel:
        return (await channel.get_queue(queue)).declaration_result.message_count == 0


def created() -> ProductCreated:
    return ProductCreated.of(ProductState(product_id=uuid4(), version=1, name="Mower", description=""))


@pytest.mark.parametrize("account", ACCOUNTS)
async def test_nobody_publishes_an_event_of_another(broker_accounts: Accounts, rabbitmq_url: str, account: str) -> None:
    for event in EVENT_CLASSES:
        if (account, event) not in OWN:
            with pytest.raises(ChannelAccessRefused):
                await publish(broker_accounts(account), EXCHANGE, event.TYPE)
    for subscription in SUBSCRIPTIONS:
        assert await is_empty(rabbitmq_url, subscription.queue)


@pytest.mark.parametrize("account", ACCOUNTS)
async def test_nobody_puts_anything_into_a_queue_of_another(broker_accounts: Accounts, account: str) -> None:
    for queue in (queue.name for queue in QUEUES):
        with pytest.raises(ChannelAccessRefused):
            await publish(broker_accounts(account), "", queue)
    for exchange in (exchange.name for exchange in EXCHANGES if exchange.type == "direct"):
        if not exchange.startswith(f"{account}."):
            with pytest.raises(ChannelAccessRefused):
                await publish(broker_accounts(account), exchange, SYNC_PRODUCTS.queue)


@pytest.mark.parametrize("account", ACCOUNTS)
async def test_nobody_reads_or_empties_a_queue_of_another(broker_accounts: Accounts, account: str) -> None:
    async def ignore(_: AbstractIncomingMessage) -> None:
        """Nothing arrives."""

    async def consume(queue: AbstractQueue) -> None:
        await queue.consume(ignore)

    foreign = [queue.name for queue in QUEUES if account not in READERS.get(queue.name, set())]
    accesses: tuple[Callable[[AbstractQueue], Awaitable[Any]], ...] = (
        lambda queue: queue.get(),
        lambda queue: queue.purge(),
        lambda queue: queue.delete(),
        consume,
    )
    for queue, access in itertools.product(foreign, accesses):
        async with channel_of(broker_accounts(account)) as channel:
            found = await channel.get_queue(queue)
            with pytest.raises(ChannelAccessRefused):
                await access(found)


@pytest.mark.parametrize("account", sorted(READERS[LOG]))
async def test_readers_of_the_log_take_nothing_from_it(
    broker_accounts: Accounts, rabbitmq_url: str, account: str
) -> None:
    publisher = EventPublisher(rabbitmq_url)
    await publisher.publish([created()])
    await publisher.stop()
    accesses: tuple[Callable[[AbstractQueue], Awaitable[Any]], ...] = (
        lambda queue: queue.get(),
        lambda queue: queue.purge(),
        lambda queue: queue.delete(),
    )
    for access in accesses:
        with pytest.raises(AMQPError):
            async with channel_of(broker_accounts(account)) as channel:
                await access(await channel.get_queue(LOG))
    for _ in range(2):
        async with EventLog(broker_accounts(account)).open() as log, aclosing(log.read("first")) as entries:
            assert (await anext(entries)).offset == 0


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_declares_and_binds_nothing_and_so_finds_no_way_around_its_topics(
    broker_accounts: Accounts, service: str
) -> None:
    name = f"{service}.smuggler"

    async def declares_a_plain_queue(channel: AbstractChannel) -> None:
        await channel.declare_queue(name, durable=True)

    async def declares_an_exchange(channel: AbstractChannel) -> None:
        await channel.declare_exchange(name, "topic", arguments={"alternate-exchange": EXCHANGE})

    async def declares_a_queue(channel: AbstractChannel) -> None:
        await channel.declare_queue(name, arguments={"x-dead-letter-exchange": EXCHANGE})

    async def binds_its_exchange_to_that_of_the_events(channel: AbstractChannel) -> None:
        events = await channel.get_exchange(EXCHANGE, ensure=False)
        await events.bind(f"{service}.dead-letter", "offers.offers-updated.v1")

    async def binds_a_foreign_queue(channel: AbstractChannel) -> None:
        foreign = next(s.queue for s in SUBSCRIPTIONS if s.service != service)
        await (await channel.get_queue(foreign)).bind(f"{service}.dead-letter", "anything")

    async def unbinds_a_foreign_queue(channel: AbstractChannel) -> None:
        foreign = next(s for s in SUBSCRIPTIONS if s.service != service)
        await (await channel.get_queue(foreign.queue)).unbind(EXCHANGE, foreign.events[0].TYPE)

    async def deletes_the_exchange(channel: AbstractChannel) -> None:
        await channel.exchange_delete(EXCHANGE)

    for attempt in (
        declares_a_plain_queue,
        declares_an_exchange,
        declares_a_queue,
        binds_its_exchange_to_that_of_the_events,
        binds_a_foreign_queue,
        unbinds_a_foreign_queue,
        deletes_the_exchange,
    ):
        async with channel_of(broker_accounts(service)) as channel:
            with pytest.raises(ChannelAccessRefused):
                await attempt(channel)


async def test_a_subscriber_reads_all_events_from_a_queue_of_its_own(broker_accounts: Accounts) -> None:
    async with channel_of(broker_accounts(SUBSCRIBER)) as channel:
        arguments: Any = {"x-queue-type": "quorum"}
        queue = await channel.declare_queue("subscriber.shop", durable=True, arguments=arguments)
        await queue.bind(EXCHANGE, "#")
        for service, event in OWN:
            await publish(broker_accounts(service), EXCHANGE, event.TYPE)
        received = {(await first_of(queue)).routing_key for _ in OWN}
    assert received == {event.TYPE for event in EVENT_CLASSES}


async def test_a_full_queue_of_a_subscriber_holds_nobody_up(broker_accounts: Accounts) -> None:
    service, event = next(iter(OWN))
    async with channel_of(broker_accounts(SUBSCRIBER)) as channel:
        arguments: Any = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"}
        queue = await channel.declare_queue("subscriber.full", durable=True, arguments=arguments)
        await queue.bind(EXCHANGE, "#")
        for _ in range(5):
            await publish(broker_accounts(service), EXCHANGE, event.TYPE)
        assert (await channel.declare_queue("subscriber.full", passive=True)).declaration_result.message_count == 1


@pytest.mark.parametrize("name", ["shop.offers", "subscriberX.offers", "catalog-api.offers", "another"])
async def test_a_subscriber_declares_no_queue_under_another_name(broker_accounts: Accounts, name: str) -> None:
    async with channel_of(broker_accounts(SUBSCRIBER)) as channel:
        with pytest.raises(ChannelAccessRefused):
            await channel.declare_queue(name, durable=True)


async def test_a_subscriber_can_not_smuggle_either(broker_accounts: Accounts) -> None:
    for exchange in EXCHANGES:
        arguments: Any = {"x-dead-letter-exchange": exchange.name}
        async with channel_of(broker_accounts(SUBSCRIBER)) as channel:
            with pytest.raises(ChannelAccessRefused):
                await channel.declare_queue("subscriber.smuggler", durable=True, arguments=arguments)
        async with channel_of(broker_accounts(SUBSCRIBER)) as channel:
            own = await channel.declare_exchange("subscriber.smuggler", "topic")
            with pytest.raises(ChannelAccessRefused):
                await (await channel.get_exchange(exchange.name, ensure=False)).bind(own, "#")


async def test_services_exchange_events_over_their_own_accounts(broker_accounts: Accounts) -> None:
    arrived: asyncio.Queue[Event] = asyncio.Queue()
    async with consuming(broker_accounts("offers-sync"), SYNC_PRODUCTS, arrived.put):
        publisher = EventPublisher(broker_accounts("catalog-api"))
        event = created()
        await publisher.publish([event])
        assert await asyncio.wait_for(arrived.get(), 30) == event
        with pytest.raises(PublishError, match="ACCESS_REFUSED"):
            await publisher.publish([ProductRegistered.of(uuid4(), datetime.now(UTC))])
        await publisher.publish([event])
        assert await asyncio.wait_for(arrived.get(), 30) == event
        await publisher.stop()


async def test_an_event_of_another_behind_a_routing_key_of_ones_own_is_not_handled(broker_accounts: Accounts) -> None:
    arrived: asyncio.Queue[Event] = asyncio.Queue()
    async with consuming(broker_accounts("catalog-api"), CATALOG_REGISTRATIONS, arrived.put):
        forged, genuine = (ProductRegistered.of(uuid4(), datetime.now(UTC)) for _ in range(2))
        async with channel_of(broker_accounts("catalog-api")) as channel:
            events = await channel.get_exchange(EXCHANGE, ensure=False)
            message = aio_pika.Message(forged.to_json(), headers={"CC": [ProductRegistered.TYPE]})
            # RabbitMQ refuses it from 4.0.3 on.
            with suppress(ChannelAccessRefused):
                await events.publish(message, ProductCreated.TYPE)
        publisher = EventPublisher(broker_accounts("offers-sync"))
        await publisher.publish([genuine])
        assert await asyncio.wait_for(arrived.get(), 30) == genuine
        await publisher.stop()


async def test_a_service_puts_aside_parks_and_replays_over_its_own_account(
    broker_accounts: Accounts, rabbitmq_url: str
) -> None:
    url = broker_accounts("offers-sync")
    fates: list[Exception | None] = [LookupError("put aside"), Unprocessable("parked"), None]
    settled = [asyncio.Event() for _ in fates]

    async def handle(_: Event) -> None:
        fate = fates[sum(event.is_set() for event in settled)]
        next(event for event in settled if not event.is_set()).set()
        if fate is not None:
            raise fate

    publisher = EventPublisher(broker_accounts("catalog-api"))
    async with consuming(url, SYNC_PRODUCTS, handle):
        await publisher.publish([created()])
        await publisher.stop()
        await asyncio.wait_for(settled[0].wait(), 30)
        async with channel_of(rabbitmq_url) as channel:
            waiting = await first_of(await channel.get_queue(SYNC_PRODUCTS.retry_queue))
            # So that the test need not wait half a minute, the time of its expiry is brought forward.
            soon = aio_pika.Message(waiting.body, headers=dict(waiting.headers), expiration=0.1)
            await channel.default_exchange.publish(soon, SYNC_PRODUCTS.retry_queue)
            await waiting.ack()
        await asyncio.wait_for(settled[1].wait(), 30)
        messages = ParkedMessages(url, "offers-sync")
        assert (await first_parked(messages)).reason == "parked"
        assert await messages.replay(lambda _: True) == 1
        await asyncio.wait_for(settled[2].wait(), 30)


async def test_the_broker_parks_what_was_delivered_too_often_though_nobody_may_publish_there(
    broker_accounts: Accounts, rabbitmq_url: str
) -> None:
    await publish(broker_accounts("catalog-api"), EXCHANGE, ProductCreated.TYPE)
    async with channel_of(rabbitmq_url) as channel:
        queue = await channel.get_queue(SYNC_PRODUCTS.queue)
        async with queue.iterator() as deliveries:
            async for message in deliveries:
                await message.reject(requeue=not message.redelivered)
                if message.redelivered:
                    break
    parked = await first_parked(ParkedMessages(broker_accounts("offers-sync"), "offers-sync"))
    assert (parked.origin, parked.reason) == (SYNC_PRODUCTS.queue, "rejected")


@pytest.mark.parametrize("queue", [HISTORY_PRODUCTS.queue, CATALOG_REGISTRATIONS.retry_queue])
async def test_nothing_is_published_while_a_queue_of_another_service_is_missing(
    broker_accounts: Accounts, rabbitmq_url: str, rabbitmq_management: BrokerManagement, queue: str
) -> None:
    async with channel_of(rabbitmq_url) as channel:
        await channel.queue_delete(queue)
    publisher = EventPublisher(broker_accounts("catalog-api"))
    with pytest.raises(PublishError, match=f"no {queue}, .*load the broker's definitions"):
        await publisher.publish([created()])
    assert await is_empty(rabbitmq_url, SYNC_PRODUCTS.queue)
    broken = definitions(rabbitmq_url.rpartition("/")[2])
    rabbitmq_management.load({name: broken[name] for name in ("exchanges", "queues", "bindings")})
    await publisher.publish([created()])
    await publisher.stop()


@pytest.mark.usefixtures("broker_accounts")
async def test_an_account_that_may_do_anything_declares_what_the_definitions_hold(
    rabbitmq_url: str, rabbitmq_management: BrokerManagement
) -> None:
    def topology() -> dict[str, Any]:
        vhost = rabbitmq_url.rpartition("/")[2]
        exported = rabbitmq_management.call("GET", f"/definitions/{vhost}")
        return {
            kind: sorted((sorted(item.items(), key=str) for item in exported[kind]), key=str)
            for kind in ("exchanges", "queues", "bindings")
        }

    loaded = topology()
    publisher = EventPublisher(rabbitmq_url)
    await publisher.publish([created()])
    assert topology() == loaded
    async with channel_of(rabbitmq_url) as channel:
        for queue in QUEUES:
            await channel.queue_delete(queue.name)
        for exchange in EXCHANGES:
            await channel.exchange_delete(exchange.name)
    await publisher.stop()
    await publisher.publish([created()])
    assert topology() == loaded
    await publisher.stop()
