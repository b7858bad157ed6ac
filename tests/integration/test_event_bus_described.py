"""What travels over the broker is what the AsyncAPI document says: its channel, its properties, its body."""

import json
from importlib.resources import files
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from jsonschema import Draft202012Validator

from aggregator_contracts import EVENT_CLASSES, Event, parse_event
from aggregator_contracts.schemas import EXAMPLES
from event_bus import EventPublisher

DOCUMENT: Any = json.loads(files("aggregator_contracts").joinpath("asyncapi.json").read_bytes())


@pytest.mark.parametrize("event_class", EVENT_CLASSES, ids=lambda event_class: event_class.TYPE)
async def test_an_event_travels_as_described(rabbitmq_url: str, event_class: type[Event]) -> None:
    event = parse_event((EXAMPLES / f"{event_class.TYPE}.json").read_bytes())
    channel_described = DOCUMENT["channels"][event_class.TYPE]
    exchange = channel_described["bindings"]["amqp"]["exchange"]
    publisher = EventPublisher(rabbitmq_url)
    await publisher.start()
    try:
        async with await aio_pika.connect(rabbitmq_url) as connection:
            channel = await connection.channel()
            # The declaration is refused unless the exchange is as described.
            declared = await channel.declare_exchange(
                exchange["name"], exchange["type"], durable=exchange["durable"], auto_delete=exchange["autoDelete"]
            )
            queue = await channel.declare_queue(f"subscriber.{uuid4().hex}", durable=True)
            await queue.bind(declared, channel_described["address"])
            await publisher.publish([event])
            message = await queue.get(timeout=10)
            assert message is not None
    finally:
        await publisher.stop()
    (described,) = (DOCUMENT["components"]["messages"][name] for name in channel_described["messages"])
    properties = {
        "content_type": message.content_type,
        "delivery_mode": int(message.delivery_mode or 0),
        "message_id": message.message_id,
        "type": message.type,
    }
    body = json.loads(message.body)
    Draft202012Validator(DOCUMENT["components"]["messageTraits"]["cloudEvent"]["x-amqp-properties"]).validate(
        properties
    )
    Draft202012Validator({**described["payload"], "components": DOCUMENT["components"]}).validate(body)
    assert properties["content_type"] == described["contentType"]
    assert properties["type"] == described["bindings"]["amqp"]["messageType"] == message.routing_key == body["type"]
    assert properties["message_id"] == body["id"]
