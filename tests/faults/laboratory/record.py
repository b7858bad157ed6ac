"""What was published, as another system saw it: a durable queue of its own, bound to all, read over plain AMQP."""

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import aio_pika

QUEUE: Final = "fault-suite.record"
EXCHANGE: Final = "aggregator.events"

Json = dict[str, Any]


@dataclass
class Record:
    """Every message published since `begin`, in the order of arrival, repetitions included."""

    url: str
    events: list[Json] = field(default_factory=list)

    def begin(self) -> None:
        """Bind the queue."""
        asyncio.run(self._begin())

    def read(self) -> None:
        """Take what has arrived."""
        asyncio.run(self._read())

    async def _begin(self) -> None:
        async with await aio_pika.connect(self.url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
            await queue.bind(EXCHANGE, "#")

    async def _read(self) -> None:
        async with await aio_pika.connect(self.url) as connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=1000)
            queue = await channel.declare_queue(QUEUE, passive=True)
            waiting = queue.declaration_result.message_count or 0
            if not waiting:
                return
            async with queue.iterator() as messages:
                async for message in messages:
                    self.events.append(json.loads(message.body))
                    waiting -= 1
                    if not waiting:
                        # What comes after it is given back when the connection closes.
                        await message.ack(multiple=True)
                        return
                    if waiting % 500 == 0:
                        await message.ack(multiple=True)

    def of(self, kind: str) -> list[Json]:
        """The events of one type."""
        return [event for event in self.events if event["type"] == kind]

    def versions(self) -> dict[str, set[int]]:
        """The versions of each product that were told of."""
        versions: defaultdict[str, set[int]] = defaultdict(set)
        for kind in ("catalog.product-created.v1", "catalog.product-updated.v1"):
            for event in self.of(kind):
                versions[event["subject"]].add(event["data"]["version"])
        return versions

    def lists(self) -> dict[str, list["PublishedList"]]:
        """The lists of offers of each product, in the order in which they were published."""
        lists: defaultdict[str, list[PublishedList]] = defaultdict(list)
        for event in self.of("offers.offers-updated.v1"):
            for update in event["data"]["updates"]:
                lists[update["product_id"]].append(
                    PublishedList(
                        update["revision"],
                        datetime.fromisoformat(update["observed_at"]),
                        {offer["id"]: (offer["price"], offer["items_in_stock"]) for offer in update["offers"]},
                    )
                )
        return lists


@dataclass(frozen=True)
class PublishedList:
    """A product's offers as published: price and stock by id."""

    revision: int
    observed_at: datetime
    offers: dict[str, tuple[int, int]]
