"""Synthetic `OffersUpdated` events, as `offers-sync work` publishes them, and their way into a queue."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Final
from uuid import UUID

import aio_pika

from aggregator_contracts import Offer, OffersUpdate, OffersUpdated
from aggregator_contracts.envelope import CONTENT_TYPE, MAX_TOGETHER
from aggregator_contracts.topology import HISTORY_OFFERS
from bench.system import OFFERS

#: Publishes under way at once.
PIPELINE: Final = 200


def observation(product_id: UUID, revision: int, at: datetime, changed: int = OFFERS) -> OffersUpdate:
    """A list of five offers, of which `changed` have other prices than in the revision before."""
    prices = [20_000 + 1_000 * number + (revision % 500 if number < changed else 0) for number in range(OFFERS)]
    return OffersUpdate(
        product_id=product_id,
        revision=revision,
        observed_at=at,
        offers=[Offer(id=str(1_000 + number), price=price, items_in_stock=5) for number, price in enumerate(prices)],
    )


def bodies(updates: Sequence[OffersUpdate], together: int = MAX_TOGETHER) -> list[bytes]:
    """The bodies of messages of `together` products each."""
    starts = range(0, len(updates), together)
    return [OffersUpdated.of(list(updates[start : start + together])).to_json() for start in starts]


def enqueue(rabbitmq_url: str, messages: Iterable[bytes]) -> int:
    """Put messages into price-history's own queue, past the exchange: nobody else is to work on them. How many."""
    return asyncio.run(_enqueue(rabbitmq_url, messages))


async def _enqueue(rabbitmq_url: str, messages: Iterable[bytes]) -> int:
    count, waiting = 0, iter(messages)
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        while chunk := list(islice(waiting, PIPELINE)):
            await asyncio.gather(*(_publish(channel.default_exchange, body) for body in chunk))
            count += len(chunk)
    return count


async def _publish(exchange: aio_pika.abc.AbstractExchange, body: bytes) -> None:
    persistent = aio_pika.DeliveryMode.PERSISTENT
    message = aio_pika.Message(body, content_type=CONTENT_TYPE, type=OffersUpdated.TYPE, delivery_mode=persistent)
    await exchange.publish(message, HISTORY_OFFERS.queue)
