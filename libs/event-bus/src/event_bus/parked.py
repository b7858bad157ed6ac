"""The messages that a service has parked: looking at them, trying them again, throwing them away."""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from aggregator_contracts.topology import dead_letter_exchange, parked_queue
from event_bus.connection import CONNECT_SECONDS, Nodes
from event_bus.deliveries import QUEUE_HEADER, REASON_HEADER

BROKER_DEATHS_HEADER: Final = "x-death"


@dataclass(frozen=True, slots=True)
class ParkedMessage:
    """A message as it lies there.

    Attributes:
        key: its message id, or a digest of its body if it has none.
        origin: the queue that it was taken from.
        reason: why it was parked.
        body: as it came.
    """

    key: str
    type: str
    origin: str
    reason: str
    body: bytes

    @classmethod
    def of(cls, message: AbstractIncomingMessage) -> "ParkedMessage":
        """Read a message that our consumers parked, or that the broker did after too many deliveries."""
        headers: dict[str, Any] = dict(message.headers)
        deaths = headers.get(BROKER_DEATHS_HEADER) or [{}]
        return cls(
            key=message.message_id or f"sha256:{hashlib.sha256(message.body).hexdigest()[:16]}",
            type=message.type or "",
            origin=str(headers.get(QUEUE_HEADER) or deaths[0].get("queue", "")),
            reason=str(headers.get(REASON_HEADER) or deaths[0].get("reason", "")),
            body=message.body,
        )


class ParkedMessages:
    """The parked queue of one service. What is only looked at stays where it is, in its order."""

    def __init__(self, url: str, service: str) -> None:
        self._nodes = Nodes(url)
        self._queue = parked_queue(service)
        self._way_back = dead_letter_exchange(service)

    async def read(self, limit: int | None = None) -> list[ParkedMessage]:
        """The oldest ones, all of them without a limit.

        Raises:
            aio_pika.exceptions.AMQPException, OSError: the broker does not answer, or has no such queue.
        """
        async with self._channel() as channel:
            return [parked async for parked, _ in self._taken(channel, limit)]

    async def replay(self, wanted: Callable[[ParkedMessage], bool]) -> int:
        """Send those wanted back to the queues that they came from; how many there were.

        Each leaves only when the broker has confirmed it there. Raises as `read` does.
        """
        replayed = 0
        async with self._channel() as channel:
            way_back = await channel.get_exchange(self._way_back)
            async for parked, message in self._taken(channel):
                if wanted(parked):
                    again = aio_pika.Message(
                        message.body,
                        content_type=message.content_type,
                        message_id=message.message_id,
                        type=message.type,
                        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    )
                    await way_back.publish(again, parked.origin, mandatory=True)
                    await message.ack()
                    replayed += 1
        return replayed

    async def drop(self, wanted: Callable[[ParkedMessage], bool]) -> int:
        """Throw away those wanted; how many there were. Raises as `read` does."""
        dropped = 0
        async with self._channel() as channel:
            async for parked, message in self._taken(channel):
                if wanted(parked):
                    await message.ack()
                    dropped += 1
        return dropped

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[AbstractChannel]:
        async with await aio_pika.connect(self._nodes.next(), timeout=CONNECT_SECONDS) as connection:
            yield await connection.channel(on_return_raises=True)

    async def _taken(
        self, channel: AbstractChannel, limit: int | None = None
    ) -> AsyncIterator[tuple[ParkedMessage, AbstractIncomingMessage]]:
        """Take messages one by one, as many as there are now; what is not acked goes back when the channel closes."""
        queue = await channel.get_queue(self._queue)
        count = queue.declaration_result.message_count or 0
        for _ in range(count if limit is None else min(limit, count)):
            message = await queue.get(fail=False)
            if message is None:
                return
            yield ParkedMessage.of(message), message
