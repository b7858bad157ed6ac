"""What becomes of a message, on a real broker."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import aiohttp
import pytest
from tests.disk_alarm import disk_alarm
from tests.faults.laboratory.proxy import Proxies

from aggregator_contracts import (
    Event,
    OffersUpdate,
    OffersUpdated,
    ProductCreated,
    ProductDeleted,
    ProductRegistered,
    ProductState,
    parse_event,
)
from aggregator_contracts.topology import EXCHANGE, HISTORY_OFFERS, LOG, SUBSCRIPTIONS, SYNC_PRODUCTS, Subscription
from devstack.broker_management import BrokerManagement
from devstack.conditions import wait_until
from devstack.rabbitmq import RabbitNode
from event_bus import EventConsumer, EventPublisher, PublishError, ReceivedOffersUpdated, Together, Unprocessable
from event_bus import consumer as consumer_module
from event_bus import deliveries as deliveries_module

Handler = Callable[[Event], Awaitable[None]]


class Inbox:
    """A handler that collects what it is given and lets a test wait for it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._arrived = asyncio.Condition()

    async def __call__(self, event: Event) -> None:
        async with self._arrived:
            self.events.append(event)
            self._arrived.notify_all()

    async def holds(self, count: int, seconds: float = 30) -> list[Event]:
        async with asyncio.timeout(seconds), self._arrived:
            await self._arrived.wait_for(lambda: len(self.events) >= count)
        return self.events


@asynccontextmanager
async def consuming(
    url: str, handler: Handler, subscription: Subscription = SYNC_PRODUCTS, **options: object
) -> AsyncIterator[EventConsumer]:
    consumer = EventConsumer(url, **options)  # type: ignore[arg-type]
    consumer.subscribe(subscription, handler)
    stopping = asyncio.Event()
    running = asyncio.create_task(consumer.run(stopping))
    try:
        yield consumer
    finally:
        stopping.set()
        await asyncio.wait_for(running, 30)


@pytest.fixture
async def publisher(rabbitmq_url: str) -> AsyncIterator[EventPublisher]:
    publisher = EventPublisher(rabbitmq_url, timeout=30)
    yield publisher
    await publisher.stop()


@pytest.fixture
async def channel(rabbitmq_url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    connection = await aio_pika.connect(rabbitmq_url)
    async with connection:
        yield await connection.channel()


async def message_in(channel: aio_pika.abc.AbstractChannel, queue: str) -> aio_pika.abc.AbstractIncomingMessage:
    declared = await channel.get_queue(queue)
    arrived: asyncio.Future[aio_pika.abc.AbstractIncomingMessage] = asyncio.get_running_loop().create_future()

    async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        if not arrived.done():
            arrived.set_result(message)

    tag = await declared.consume(take, no_ack=True)
    message = await asyncio.wait_for(arrived, 30)
    await declared.cancel(tag)
    return message


def created() -> ProductCreated:
    return ProductCreated.of(ProductState(product_id=uuid4(), version=1, name="Sekačka", description=""))


async def test_handled_messages_are_freed_without_a_search_for_garbage(
    rabbitmq_url: str, publisher: EventPublisher
) -> None:
    def held() -> int:
        return sum(type(item).__name__ == "RabbitMessage" for item in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        already = held()
        inbox = Inbox()
        async with consuming(rabbitmq_url, inbox):
            for count in range(1, 21):
                await publisher.publish([created()])
                await inbox.holds(count)
            # The last ones may still be in hand.
            async with asyncio.timeout(30):
                while held() - already > 1:  # noqa: ASYNC110 - nothing tells what is freed
                    await asyncio.sleep(0.01)
    finally:
        gc.enable()


async def test_a_broker_that_blocks_publishers_is_waited_for_and_has_each_event_once(
    private_broker: RabbitNode,
) -> None:
    publisher = EventPublisher(private_broker.url(), timeout=3)
    before, during = created(), created()
    await publisher.publish([before])
    with disk_alarm(private_broker):
        publishing = asyncio.create_task(publisher.publish([during]))
        done, _ = await asyncio.wait([publishing], timeout=7)
        assert not done, "confirmed, or given up, while the broker takes nothing"
    await asyncio.wait_for(publishing, 30)
    await publisher.stop()
    inbox = Inbox()
    async with consuming(private_broker.url(), inbox):
        last = created()
        after = EventPublisher(private_broker.url())
        await after.publish([last])
        await after.stop()
        assert await inbox.holds(3) == [before, during, last]


async def test_a_message_that_a_queue_refuses_costs_no_connection_unless_nothing_is_taken_any_more(
    rabbitmq_url: str, rabbitmq_management: BrokerManagement, publisher: EventPublisher
) -> None:
    def connections() -> set[str]:
        vhost = rabbitmq_url.rpartition("/")[2]
        return {each["name"] for each in rabbitmq_management.call("GET", f"/vhosts/{vhost}/connections")}

    await publisher.publish([created()])
    assert await asyncio.to_thread(wait_until, lambda: bool(connections()), seconds=30)
    before = connections()
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        full: Any = {"x-max-length": 1, "x-overflow": "reject-publish"}
        queue = await channel.declare_queue("full", durable=True, arguments=full)
        await queue.bind(EXCHANGE, ProductCreated.TYPE)
        await publisher.publish([created()])
        with pytest.raises(PublishError, match="Nack"):
            await publisher.publish([created()])
        await queue.purge()
        await publisher.publish([created()])
        assert await asyncio.to_thread(wait_until, lambda: len(connections()) > 1, seconds=30)
        assert before <= connections()
        for _ in range(2):
            with pytest.raises(PublishError, match="Nack"):
                await publisher.publish([created()])
        assert await asyncio.to_thread(wait_until, lambda: not before & connections(), seconds=30)
        await channel.queue_delete("full")
        await publisher.publish([created()])


async def test_a_poison_message_that_waits_for_a_blocked_broker_holds_no_other_back(
    private_broker: RabbitNode,
) -> None:
    url = private_broker.url()
    publisher = EventPublisher(url)
    await publisher.start()
    innocents = [created() for _ in range(30)]
    inbox = Inbox()
    async with await aio_pika.connect(url) as connection, AsyncExitStack() as alarm:
        channel = await connection.channel()
        await channel.default_exchange.publish(aio_pika.Message(b"poison"), SYNC_PRODUCTS.queue)
        await publisher.publish(innocents)
        alarm.enter_context(disk_alarm(private_broker))
        async with consuming(url, inbox, prefetch=5):
            assert await inbox.holds(30) == innocents
            parked = await channel.declare_queue(SYNC_PRODUCTS.parked_queue, passive=True)
            assert parked.declaration_result.message_count == 0
            await alarm.aclose()
            assert (await message_in(channel, SYNC_PRODUCTS.parked_queue)).body == b"poison"
            # Those not acked would have come again by now.
            last = created()
            await publisher.publish([last])
            assert await inbox.holds(31) == [*innocents, last]
    await publisher.stop()


async def no_others_than(tasks: set[asyncio.Task[object]], seconds: float) -> None:
    """Wait until all tasks begun since have ended."""
    async with asyncio.timeout(seconds):
        while others := asyncio.all_tasks() - tasks - {asyncio.current_task()}:
            await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)


async def given_up_after(connecting: Coroutine[Any, Any, None], proxies: Proxies, *, attempts: int) -> None:
    """Cancel it once so many connections have been begun."""
    task = asyncio.create_task(connecting)
    async with asyncio.timeout(10):
        while len(proxies.broker.attempts) < attempts:  # noqa: ASYNC110 - what is waited for happens in another thread
            await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_connects_that_nobody_waits_for_leave_no_connection_behind(
    rabbitmq_url: str, rabbitmq_management: BrokerManagement
) -> None:
    before = asyncio.all_tasks()
    with Proxies() as proxies:
        url = proxies.reach(rabbitmq_url)
        proxies.broker.black_hole()
        publisher, consumer = EventPublisher(url), EventConsumer(url)
        # One for readiness to come true, and those of the consumer.
        for attempts in (1, 2, 3):
            for connecting, expected in ((publisher.check(), attempts), (consumer.run(asyncio.Event()), attempts + 1)):
                await given_up_after(connecting, proxies, attempts=expected)
        assert len(proxies.broker.attempts) == 1 + 3
        proxies.restore()
        await publisher.publish([created()])
        vhost = rabbitmq_url.rpartition("/")[2]

        def one_is_listed() -> bool:
            return len(rabbitmq_management.call("GET", f"/vhosts/{vhost}/connections")) == 1

        # The broker's management lists them with a delay.
        assert await asyncio.to_thread(wait_until, one_is_listed, seconds=30)
        await publisher.stop()
        # The client library would go on connecting in a task of its own.
        await no_others_than(before, 30)


async def test_a_connection_given_up_in_a_black_hole_is_not_opened_again_by_itself(rabbitmq_url: str) -> None:
    before = asyncio.all_tasks()
    with Proxies() as proxies:
        publisher = EventPublisher(proxies.reach(rabbitmq_url), timeout=0.5)
        await publisher.start()
        proxies.broker.black_hole()
        with pytest.raises(PublishError):
            await publisher.publish([created()])
        await publisher.stop()
        proxies.restore()
        await no_others_than(before, 30)
        assert len(proxies.broker.attempts) == 1


async def test_events_arrive_whole_and_in_order(rabbitmq_url: str, publisher: EventPublisher) -> None:
    sent = [created() for _ in range(50)]
    inbox = Inbox()
    async with consuming(rabbitmq_url, inbox, prefetch=1):
        await publisher.publish(sent)
        assert await inbox.holds(50) == sent


async def test_a_message_is_persistent_and_named_as_the_contract_says(
    publisher: EventPublisher, channel: aio_pika.abc.AbstractChannel
) -> None:
    event = created()
    await publisher.publish([event])
    message = await message_in(channel, SYNC_PRODUCTS.queue)
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert message.content_type == "application/cloudevents+json"
    assert (message.message_id, message.type, message.routing_key) == (event.id, event.type, event.type)
    assert message.exchange == EXCHANGE
    assert parse_event(message.body) == event


async def test_events_published_before_any_service_started_wait_for_it(
    rabbitmq_url: str, publisher: EventPublisher
) -> None:
    event = created()
    await publisher.publish([event])
    inbox = Inbox()
    async with consuming(rabbitmq_url, inbox):
        assert await inbox.holds(1) == [event]


async def test_an_event_that_reaches_no_queue_is_not_called_published(
    publisher: EventPublisher, channel: aio_pika.abc.AbstractChannel
) -> None:
    await publisher.start()
    queue = await channel.get_queue(SYNC_PRODUCTS.queue)
    await queue.unbind(EXCHANGE, ProductCreated.TYPE)
    history = await channel.get_queue("price-history.products")
    await history.unbind(EXCHANGE, ProductCreated.TYPE)
    await (await channel.get_queue(LOG)).unbind(EXCHANGE, "#")
    with pytest.raises(PublishError):
        await publisher.publish([created()])
    # The next attempt opens a new connection, which binds the queues again.
    await publisher.publish([created()])


async def test_publishing_to_an_absent_broker_fails_in_bounded_time() -> None:
    publisher = EventPublisher("amqp://guest:guest@127.0.0.1:1/")
    async with asyncio.timeout(30):
        await publisher.start()
        with pytest.raises(PublishError):
            await publisher.publish([created()])


async def test_the_next_node_is_tried_when_one_is_away(rabbitmq_url: str) -> None:
    publisher = EventPublisher(f"amqp://guest:guest@127.0.0.1:1/,{rabbitmq_url}")
    with pytest.raises(PublishError):
        await publisher.publish([created()])
    await publisher.publish([created()])
    await publisher.stop()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"not json", "Invalid JSON"),
        (b'{"type": "nobody.knows.v1"}', "type"),
        (ProductCreated.of(ProductState(product_id=UUID(int=1), version=1, name="n", description=""))
         .to_json().replace(b'"version":1', b'"version":0'), "version"),
        (ProductRegistered.of(UUID(int=1), datetime.now(UTC)).to_json(), "does not belong"),
    ],
)  # fmt: skip
async def test_what_can_never_be_handled_is_parked_at_once_with_its_reason(
    rabbitmq_url: str,
    publisher: EventPublisher,
    channel: aio_pika.abc.AbstractChannel,
    body: bytes,
    reason: str,
) -> None:
    await publisher.start()
    await channel.default_exchange.publish(aio_pika.Message(body, message_id="poison"), SYNC_PRODUCTS.queue)
    innocent = created()
    await publisher.publish([innocent])
    inbox = Inbox()
    async with consuming(rabbitmq_url, inbox):
        assert await inbox.holds(1) == [innocent]
        parked = await message_in(channel, SYNC_PRODUCTS.parked_queue)
    assert parked.body == body
    assert parked.message_id == "poison"
    assert reason in str(parked.headers["x-parked-reason"])
    assert parked.headers["x-parked-from"] == SYNC_PRODUCTS.queue


async def test_a_handler_can_call_a_message_unprocessable(
    rabbitmq_url: str, publisher: EventPublisher, channel: aio_pika.abc.AbstractChannel
) -> None:
    async def refuse(_: Event) -> None:
        raise Unprocessable("not today")

    await publisher.publish([created()])
    async with consuming(rabbitmq_url, refuse):
        parked = await message_in(channel, SYNC_PRODUCTS.parked_queue)
    assert parked.headers["x-parked-reason"] == "not today"


async def test_consumption_pauses_while_a_dependency_is_down_and_goes_on_in_place(
    rabbitmq_url: str, publisher: EventPublisher, channel: aio_pika.abc.AbstractChannel
) -> None:
    inbox = Inbox()
    failures_left = 3

    async def handler(event: Event) -> None:
        nonlocal failures_left
        if failures_left:
            failures_left -= 1
            raise ConnectionRefusedError
        await inbox(event)

    event = created()
    await publisher.publish([event])
    async with consuming(rabbitmq_url, handler, transient=(ConnectionRefusedError,)):
        assert await inbox.holds(1) == [event]
    # The ack has been sent, and may not have been stored yet.
    async with asyncio.timeout(20):
        for queue in (SYNC_PRODUCTS.queue, SYNC_PRODUCTS.retry_queue, SYNC_PRODUCTS.parked_queue):
            while (await channel.declare_queue(queue, passive=True)).declaration_result.message_count:
                pass


async def test_a_handler_that_fails_has_its_message_put_aside_and_after_ten_times_parked(
    rabbitmq_url: str, publisher: EventPublisher, channel: aio_pika.abc.AbstractChannel
) -> None:
    async def fail(_: Event) -> None:
        raise LookupError("a fault of the handler")

    event = created()
    await publisher.publish([event])
    async with consuming(rabbitmq_url, fail):
        put_aside = await message_in(channel, SYNC_PRODUCTS.retry_queue)
        assert put_aside.headers["x-attempts"] == 1
        last_attempt = aio_pika.Message(put_aside.body, headers={"x-attempts": deliveries_module.MAX_ATTEMPTS - 1})
        await channel.default_exchange.publish(last_attempt, SYNC_PRODUCTS.queue)
        parked = await message_in(channel, SYNC_PRODUCTS.parked_queue)
    assert "a fault of the handler" in str(parked.headers["x-parked-reason"])
    assert parse_event(parked.body) == event


async def test_a_message_put_aside_comes_back_by_itself(
    rabbitmq_url: str, publisher: EventPublisher, channel: aio_pika.abc.AbstractChannel
) -> None:
    await publisher.start()
    event = created()
    # An own expiry shorter than the queue's half minute, so that the test need not wait for that.
    message = aio_pika.Message(event.to_json(), expiration=0.1)
    await channel.default_exchange.publish(message, SYNC_PRODUCTS.retry_queue)
    inbox = Inbox()
    async with consuming(rabbitmq_url, inbox):
        assert await inbox.holds(1) == [event]


async def test_a_message_in_hand_when_consuming_stops_is_delivered_again(
    rabbitmq_url: str, publisher: EventPublisher
) -> None:
    entered = asyncio.Event()

    async def hang(_: Event) -> None:
        entered.set()
        raise ConnectionRefusedError

    event = created()
    await publisher.publish([event])
    async with consuming(rabbitmq_url, hang, transient=(ConnectionRefusedError,)):
        await asyncio.wait_for(entered.wait(), 30)
    inbox = Inbox()
    async with consuming(rabbitmq_url, inbox):
        assert await inbox.holds(1) == [event]


async def test_a_consumer_whose_queue_vanished_says_so_instead_of_waiting_for_ever(
    rabbitmq_url: str,
    publisher: EventPublisher,
    channel: aio_pika.abc.AbstractChannel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumer_module, "WATCH_SECONDS", 0.1)
    inbox = Inbox()
    consumer = EventConsumer(rabbitmq_url)
    consumer.subscribe(SYNC_PRODUCTS, inbox)
    running = asyncio.create_task(consumer.run(asyncio.Event()))
    await publisher.publish([created()])
    await inbox.holds(1)
    await channel.queue_delete(SYNC_PRODUCTS.queue)
    with pytest.raises((ConnectionError, aio_pika.exceptions.AMQPException)):
        await asyncio.wait_for(running, 20)


def ids(events: Sequence[Event]) -> list[str]:
    """What is received is equal to what was sent, but may be read into other classes."""
    return [event.id for event in events]


def updates(revisions: range) -> list[OffersUpdated]:
    moment = datetime.now(UTC)
    return [
        OffersUpdated.of([OffersUpdate(product_id=UUID(int=1), revision=n, observed_at=moment, offers=[])])
        for n in revisions
    ]


class Recorder:
    """Handles together what waits; the list of one revision fails with each of these faults before it is handled."""

    def __init__(self, at: int, *faults: type[Exception]) -> None:
        self.handled: list[int] = []
        self._at = at
        self._faults = list(faults)
        self._together = Together(self._record)

    async def __call__(self, event: Event) -> None:
        assert isinstance(event, ReceivedOffersUpdated)
        await self._together({update.revision: event.id for update in event.data.updates})

    async def _record(self, revisions: Mapping[int, str]) -> None:
        await asyncio.sleep(0.01)
        if self._faults and self._at in revisions:
            raise self._faults.pop(0) if len(revisions) == 1 else self._faults[0]
        self.handled += revisions


@pytest.mark.parametrize("fault", [ConnectionRefusedError, LookupError])
@pytest.mark.parametrize("at", [1, 7])
async def test_a_message_of_an_ordered_queue_that_is_handled_again_is_not_overtaken(
    rabbitmq_url: str, publisher: EventPublisher, at: int, fault: type[Exception]
) -> None:
    recorder = Recorder(at, fault, fault)
    await publisher.publish(updates(range(1, 51)))
    async with consuming(rabbitmq_url, recorder, HISTORY_OFFERS, transient=(ConnectionRefusedError,)):
        async with asyncio.timeout(30):
            while len(recorder.handled) < 50:  # noqa: ASYNC110 - what is waited for is in the handler
                await asyncio.sleep(0.01)
    assert recorder.handled == list(range(1, 51))


async def test_a_message_of_an_ordered_queue_that_fails_ten_times_is_parked_and_those_behind_it_go_on_in_order(
    rabbitmq_url: str,
    publisher: EventPublisher,
    channel: aio_pika.abc.AbstractChannel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deliveries_module, "LAST_PAUSE_SECONDS", 0.05)
    recorder = Recorder(7, *[LookupError] * 10)
    await publisher.publish(updates(range(1, 31)))
    async with consuming(rabbitmq_url, recorder, HISTORY_OFFERS):
        parked = await message_in(channel, HISTORY_OFFERS.parked_queue)
        async with asyncio.timeout(30):
            while len(recorder.handled) < 29:  # noqa: ASYNC110 - what is waited for is in the handler
                await asyncio.sleep(0.01)
    assert "failed 10 times, last with LookupError" in str(parked.headers["x-parked-reason"])
    assert recorder.handled == [n for n in range(1, 31) if n != 7]


async def test_a_copy_that_gives_up_with_messages_of_an_ordered_queue_in_hand_is_not_overtaken(
    rabbitmq_url: str, publisher: EventPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries_module, "HOLD_SECONDS", 0.5)
    busy, standby = asyncio.Event(), Inbox()

    async def fail(_: Event) -> None:
        busy.set()
        raise ConnectionRefusedError

    leader = EventConsumer(rabbitmq_url, transient=(ConnectionRefusedError,))
    leader.subscribe(HISTORY_OFFERS, fail)
    leading = asyncio.create_task(leader.run(asyncio.Event()))
    events = updates(range(1, 101))
    await publisher.publish(events[:1])
    await asyncio.wait_for(busy.wait(), 30)
    async with consuming(rabbitmq_url, standby, HISTORY_OFFERS):
        await publisher.publish(events[1:])
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(leading, 30)
        assert ids(await standby.holds(len(events))) == ids(events)


async def test_a_consumer_that_stops_finishes_what_it_has_in_hand_of_every_queue_and_takes_up_nothing_more(
    rabbitmq_url: str, publisher: EventPublisher
) -> None:
    busy, may_end, handled, rest = asyncio.Event(), asyncio.Event(), list[str](), Inbox()

    async def slowly(event: Event) -> None:
        busy.set()
        await may_end.wait()
        handled.append(event.id)

    consumer = EventConsumer(rabbitmq_url, prefetch=1)
    consumer.subscribe(HISTORY_OFFERS, Inbox())
    consumer.subscribe(SYNC_PRODUCTS, slowly)
    stopping = asyncio.Event()
    running = asyncio.create_task(consumer.run(stopping))
    events = [created() for _ in range(5)]
    await publisher.publish(events)
    await asyncio.wait_for(busy.wait(), 30)
    stopping.set()
    stopped, _ = await asyncio.wait([running], timeout=0.5)
    assert not stopped
    may_end.set()
    await asyncio.wait_for(running, 30)
    assert handled == [events[0].id]
    async with consuming(rabbitmq_url, rest):
        assert ids(await rest.holds(4)) == ids(events[1:])


async def test_copies_on_an_ordered_queue_take_turns_instead_of_overtaking_each_other(
    rabbitmq_url: str, publisher: EventPublisher
) -> None:
    first, second = updates(range(1, 200)), updates(range(200, 300))
    active, standby = Inbox(), Inbox()
    async with AsyncExitStack() as copies:
        leader = await copies.enter_async_context(AsyncExitStack())
        await leader.enter_async_context(consuming(rabbitmq_url, active, HISTORY_OFFERS, prefetch=1))
        await publisher.publish(first[:1])
        await active.holds(1)
        await copies.enter_async_context(consuming(rabbitmq_url, standby, HISTORY_OFFERS, prefetch=1))
        await publisher.publish(first[1:])
        assert ids(await active.holds(len(first))) == ids(first)
        await leader.aclose()
        await publisher.publish(second)
        assert ids(await standby.holds(len(second))) == ids(second)


async def test_a_copy_that_stops_with_messages_of_an_ordered_queue_in_hand_is_not_overtaken(
    rabbitmq_url: str, publisher: EventPublisher
) -> None:
    moment = datetime.now(UTC)
    events = [
        OffersUpdated.of([OffersUpdate(product_id=UUID(int=1), revision=n, observed_at=moment, offers=[])])
        for n in range(1, 101)
    ]
    handled: list[str] = []
    busy, rest = asyncio.Event(), Inbox()

    async def slowly(event: Event) -> None:
        busy.set()
        await asyncio.sleep(0.05)
        handled.append(event.id)

    async def at_once(event: Event) -> None:
        handled.append(event.id)
        await rest(event)

    async with AsyncExitStack() as copies:
        leader = await copies.enter_async_context(AsyncExitStack())
        await leader.enter_async_context(consuming(rabbitmq_url, slowly, HISTORY_OFFERS))
        await publisher.publish(events[:1])
        await asyncio.wait_for(busy.wait(), 30)
        await copies.enter_async_context(consuming(rabbitmq_url, at_once, HISTORY_OFFERS))
        await publisher.publish(events[1:])
        await leader.aclose()
        async with asyncio.timeout(30):
            while len(set(handled)) < len(events):
                await rest.holds(len(rest.events) + 1)
    # What comes again is known by its id; what is handled for the first time, is so in order.
    assert list(dict.fromkeys(handled)) == ids(events)


async def test_readiness_follows_the_connection(rabbitmq_url: str) -> None:
    consumer = EventConsumer(rabbitmq_url)
    with pytest.raises(ConnectionError):
        await consumer.check()
    inbox = Inbox()
    async with consuming(rabbitmq_url, inbox) as consumer:
        publisher = EventPublisher(rabbitmq_url)
        await publisher.publish([ProductDeleted.of(uuid4(), 2)])
        await inbox.holds(1)
        await consumer.check()
        await publisher.check()
        await publisher.stop()
    with pytest.raises(ConnectionError):
        await consumer.check()


async def test_every_queue_is_a_durable_quorum_queue_and_the_log_a_stream(
    rabbitmq_url: str, rabbitmq_management: BrokerManagement, publisher: EventPublisher
) -> None:
    await publisher.start()
    names = {name for s in SUBSCRIPTIONS for name in (s.queue, s.retry_queue, s.parked_queue)}
    authorization = aiohttp.encode_basic_auth(rabbitmq_management.user, rabbitmq_management.password)
    vhost = rabbitmq_url.rpartition("/")[2]
    async with (
        aiohttp.ClientSession(headers={"Authorization": authorization}) as session,
        session.get(f"{rabbitmq_management.url}/api/queues/{vhost}") as response,
    ):
        queues = await response.json()
    assert {(queue["name"], queue["type"], queue["durable"]) for queue in queues} == {
        (LOG, "stream", True),
        *((name, "quorum", True) for name in names),
    }
