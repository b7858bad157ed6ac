"""What was published, as another system saw it: durable queues of its own, bound to all, read over plain AMQP.

There are several because a message without a confirm may have reached some queues and not others, as when a cluster of
brokers falls apart: what only one of ours had would be missing from a record that is kept in a single queue.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

import aio_pika
from aio_pika.abc import AbstractQueue

QUEUES: Final = tuple(f"fault-suite.record.{number}" for number in range(3))
EXCHANGE: Final = "aggregator.events"

Json = dict[str, Any]


@dataclass
class Record:
    """Every message published since `begin`, in order of arrival; then what only another queue than the first has."""

    url: str
    events: list[Json] = field(default_factory=list)
    _ids: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Bind the queue."""
        asyncio.run(self._begin())

    def read(self) -> None:
        """Take what has arrived."""
        asyncio.run(self._read())

    async def _begin(self) -> None:
        async with await aio_pika.connect(self.url) as connection:
            channel = await connection.channel()
            for name in QUEUES:
                arguments: Any = {"x-queue-type": "quorum", "x-queue-leader-locator": "balanced"}
                queue = await channel.declare_queue(name, durable=True, arguments=arguments)
                await queue.bind(EXCHANGE, "#")

    async def _read(self) -> None:
        async with await aio_pika.connect(self.url) as connection:
            for name in QUEUES:
                channel = await connection.channel()
                await channel.set_qos(prefetch_count=1000)
                async for body in _taken(await channel.declare_queue(name, passive=True)):
                    event = json.loads(body)
                    if event["id"] not in self._ids:
                        self._ids.add(event["id"])
                        self.events.append(event)

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

    def best_price_changes(self) -> dict[str, list["BestPriceChange"]]:
        """What was told of each product's best price, once for each event."""
        told: defaultdict[str, list[BestPriceChange]] = defaultdict(list)
        for event in self.of("prices.best-price-changed.v1"):
            for change in event["data"]["changes"]:
                at = datetime.fromisoformat(change["at"])
                told[change["product_id"]].append(BestPriceChange(at, change["old_price"], change["new_price"]))
        return told


async def _taken(queue: AbstractQueue) -> AsyncIterator[bytes]:
    """The bodies of the messages that are there now; what comes after them is given back when the connection closes."""
    waiting = queue.declaration_result.message_count or 0
    if not waiting:
        return
    async with queue.iterator() as messages:
        async for message in messages:
            yield message.body
            waiting -= 1
            if not waiting or waiting % 500 == 0:
                await message.ack(multiple=True)
            if not waiting:
                return


@dataclass(frozen=True)
class PublishedList:
    """A product's offers as published: price and stock by id."""

    revision: int
    observed_at: datetime
    offers: dict[str, tuple[int, int]]


class BestPriceChange(NamedTuple):
    """When the lowest price among the offers in stock became another, and the two prices."""

    at: datetime
    old: int | None
    new: int | None
