"""The `parked` sub-command on a real broker."""

import asyncio
import re
from collections.abc import AsyncIterator
from uuid import uuid4

import aio_pika
import aiohttp
import pytest
from typer.testing import CliRunner, Result

from aggregator_contracts.topology import SYNC_PRODUCTS
from devstack.broker_management import BrokerManagement
from event_bus import EventPublisher, ParkedMessages, parked_commands

REASON = {"x-parked-reason": "data.version: too small", "x-parked-from": SYNC_PRODUCTS.queue}


@pytest.fixture
async def channel(rabbitmq_url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    publisher = EventPublisher(rabbitmq_url)
    await publisher.start()
    async with await aio_pika.connect(rabbitmq_url) as connection:
        yield await connection.channel()
    await publisher.stop()


async def park(channel: aio_pika.abc.AbstractChannel, *bodies: str) -> list[str]:
    keys = [str(uuid4()) for _ in bodies]
    for key, body in zip(keys, bodies, strict=True):
        message = aio_pika.Message(body.encode(), message_id=key, type="some.type.v1", headers=dict(REASON))
        await channel.default_exchange.publish(message, SYNC_PRODUCTS.parked_queue)
    return keys


async def bodies_in(channel: aio_pika.abc.AbstractChannel, name: str) -> list[str]:
    queue = await channel.get_queue(name)
    return [(await queue.get(no_ack=True)).body.decode() for _ in range(queue.declaration_result.message_count or 0)]


@pytest.fixture
def messages(rabbitmq_url: str) -> ParkedMessages:
    return ParkedMessages(rabbitmq_url, SYNC_PRODUCTS.service)


async def test_looking_leaves_everything_where_it_is(
    channel: aio_pika.abc.AbstractChannel, messages: ParkedMessages
) -> None:
    await park(channel, "one", "two", "three")
    for _ in range(30):
        assert [parked.body for parked in await messages.read()] == [b"one", b"two", b"three"]
    assert [parked.body for parked in await messages.read(limit=2)] == [b"one", b"two"]
    [first] = await messages.read(limit=1)
    assert (first.origin, first.reason) == (SYNC_PRODUCTS.queue, "data.version: too small")


async def test_replay_sends_the_chosen_back_to_their_queue_and_keeps_the_others(
    channel: aio_pika.abc.AbstractChannel, messages: ParkedMessages
) -> None:
    keys = await park(channel, "one", "two", "three")
    assert await messages.replay(lambda parked: parked.key == keys[1]) == 1
    assert await bodies_in(channel, SYNC_PRODUCTS.queue) == ["two"]
    assert [parked.key for parked in await messages.read()] == [keys[0], keys[2]]


async def test_drop_removes_the_chosen_only(channel: aio_pika.abc.AbstractChannel, messages: ParkedMessages) -> None:
    keys = await park(channel, "one", "two")
    assert await messages.drop(lambda parked: parked.key == keys[0]) == 1
    assert [parked.key for parked in await messages.read()] == [keys[1]]
    assert await bodies_in(channel, SYNC_PRODUCTS.queue) == []


@pytest.mark.usefixtures("channel")
async def test_a_message_without_an_id_can_be_chosen_too(
    rabbitmq_url: str, rabbitmq_management: BrokerManagement, messages: ParkedMessages
) -> None:
    # Over the management API, because every AMQP client at hand makes up an id.
    authorization = aiohttp.encode_basic_auth(rabbitmq_management.user, rabbitmq_management.password)
    vhost = rabbitmq_url.rpartition("/")[2]
    url = f"{rabbitmq_management.url}/api/exchanges/{vhost}/amq.default/publish"
    message = {
        "properties": {},
        "routing_key": SYNC_PRODUCTS.parked_queue,
        "payload": "poison",
        "payload_encoding": "string",
    }
    async with (
        aiohttp.ClientSession(headers={"Authorization": authorization}) as session,
        session.post(url, json=message) as answer,
    ):
        assert await answer.json() == {"routed": True}
    [parked] = await messages.read()
    assert re.fullmatch(r"sha256:[0-9a-f]{16}", parked.key)
    assert await messages.drop(lambda other: other.key == parked.key) == 1


def test_the_command_lists_shows_replays_and_drops(rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_URL", rabbitmq_url)

    async def prepare() -> list[str]:
        publisher = EventPublisher(rabbitmq_url)
        await publisher.start()
        await publisher.stop()
        async with await aio_pika.connect(rabbitmq_url) as connection:
            return await park(await connection.channel(), "one", "two")

    first, second = asyncio.run(prepare())
    listed = parked("list").stdout.splitlines()
    assert listed[0].split("\t") == [first, "some.type.v1", SYNC_PRODUCTS.queue, REASON["x-parked-reason"]]
    assert parked("show", second).stdout == "two\n"
    assert parked("show", "unknown").exit_code == 2
    assert parked("drop").exit_code == 2
    assert parked("drop", first, "--all").exit_code == 2
    assert parked("drop", first).stdout == "1 dropped\n"
    assert parked("replay", "--all").stdout == "1 replayed\n"
    assert parked("list").stdout == ""


def test_an_absent_broker_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_URL", "amqp://127.0.0.1:1/")
    result = parked("list")
    assert result.exit_code == 1
    assert "the broker does not answer" in result.stderr


def parked(*arguments: str) -> Result:
    return CliRunner().invoke(parked_commands("offers-sync"), arguments)
