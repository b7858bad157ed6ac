"""What becomes of each message of a subscription, decided in one place.

| the handler | the message |
|---|---|
| returns | acked |
| raises one of `transient` (a dependency is down) | held, unacked, and handled again when the dependency may be back |
| raises `Unprocessable`, or the body is no event that may be there | parked with the reason, then acked |
| raises anything else | put aside for half a minute, up to ten times, then parked |

A message of an ordered queue is never put aside, as others would overtake it: it is handled again where it is, up to
ten times, then parked; those behind it wait, as they do while a dependency is down.

What is parked or put aside goes over a connection of its own: published over the consumer's, it would stop that one's
acks while the broker blocks publishers. Until it is confirmed the message is held.

At most `prefetch` messages are in hand, so holding them pauses consumption. Handlers must be idempotent: a message
comes again when the connection or the process is lost before its ack.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitMessage, RabbitQueue
from prometheus_client import Counter

from aggregator_contracts import InvalidEventError
from aggregator_contracts.topology import EXCHANGE, Subscription
from event_bus.connection import BROKER_ERRORS, Connection, loss_as_error
from event_bus.decoding import ReceivedEvent, decode_event, decode_published
from event_bus.line import GivenUpError, Line, Place
from event_bus.messages import MessagePublisher, OutgoingMessage, PublishError
from lifecycle import wait_for_any

MAX_ATTEMPTS: Final = 10
FIRST_PAUSE_SECONDS: Final = 0.2
LAST_PAUSE_SECONDS: Final = 5.0
HOLD_SECONDS: Final = 15 * 60.0
"""Held longer, messages go back to the queue: the broker cuts off a consumer that does not ack within half an hour."""

ATTEMPTS_HEADER: Final = "x-attempts"
REASON_HEADER: Final = "x-parked-reason"
QUEUE_HEADER: Final = "x-parked-from"

_log = structlog.get_logger()
outcomes = Counter("aggregator_messages_total", "Messages by what became of them", ["queue", "outcome"])

Handler = Callable[[Any], Awaitable[None]]


class Unprocessable(Exception):  # noqa: N818 - a verdict on the message, not a fault of the handler
    """Raised by a handler: this message can never be handled; its text says why."""


@dataclass(frozen=True, slots=True)
class Route:
    """A subscription, and the handler of its events."""

    subscription: Subscription
    handler: Handler

    async def handle(self, message: RabbitMessage) -> None:
        """Have the handler handle the event in it.

        Raises:
            Unprocessable: it is none that belongs here, or the handler says so.
        """
        try:
            event = self._decode(message)
        except InvalidEventError as error:
            raise Unprocessable(str(error)) from None
        if all(event.type != expected.TYPE for expected in self.subscription.events):
            raise Unprocessable(f"{event.type} does not belong in {self.subscription.queue}")
        await self.handler(event)

    @staticmethod
    def _decode(message: RabbitMessage) -> ReceivedEvent:
        if message.raw_message.exchange == EXCHANGE:
            return decode_published(message.body, message.raw_message.routing_key or "")
        return decode_event(message.body)  # it waited, or was parked, and comes from there


class _HandlerFailedError(Exception):
    """A message of an ordered queue is to be handled again."""


class _InPlace:
    """Attempts to handle a message of an ordered queue, which stays where it is in the order."""

    def __init__(
        self, place: Place, route: Route, message: RabbitMessage, transient: tuple[type[Exception], ...]
    ) -> None:
        self._place = place
        self._route = route
        self._message = message
        self._as_they_are: tuple[type[Exception], ...] = (*transient, Unprocessable, GivenUpError)
        self._failures = 0

    async def __call__(self) -> None:
        try:
            await self._place.attempt(lambda: self._route.handle(self._message))
        except self._as_they_are:
            raise
        except Exception as error:
            self._failures += 1
            if self._failures == MAX_ATTEMPTS:
                raise
            raise _HandlerFailedError(f"{self._failures} times, last with {error!r}") from error


class Deliveries:
    """The messages of one subscription over one connection."""

    def __init__(
        self,
        route: Route,
        connection: Connection,
        moves: MessagePublisher,
        transient: tuple[type[Exception], ...],
        stopping: asyncio.Event,
    ) -> None:
        self._route = route
        self._connection = connection
        self._moves = moves
        self._transient = transient
        self._stopping = stopping
        # One consumer at a time has an ordered queue's messages.
        self._line = Line(stopping, connection.lost) if route.subscription.ordered else None
        self._in_hand = 0
        self._empty_handed = asyncio.Event()
        self._empty_handed.set()

    async def finished(self) -> None:
        """Return when no message is in hand."""
        await self._empty_handed.wait()

    def attach(self, prefetch: int) -> None:
        """Have the connection's broker deliver to this object once it starts."""

        async def whole_message(message: RabbitMessage) -> RabbitMessage:
            return message

        subscriber = self._connection.broker.subscriber(
            RabbitQueue(self._route.subscription.queue, declare=False, durable=True, robust=False),
            channel=Channel(prefetch_count=prefetch),
            decoder=whole_message,
            ack_policy=AckPolicy.MANUAL,
        )
        subscriber(self._deliver)

    async def _deliver(self, message: RabbitMessage) -> None:
        if self._stopping.is_set() or self._connection.lost.is_set():
            message.clear_cache()
            return
        self._in_hand += 1
        self._empty_handed.clear()
        try:
            await self._handle(message)
        finally:
            self._in_hand -= 1
            if not self._in_hand:
                self._empty_handed.set()

    async def _handle(self, message: RabbitMessage) -> None:
        queue = self._route.subscription.queue
        try:
            with loss_as_error():
                outcome = await self._settle(message)
        except BROKER_ERRORS as error:
            # Not acked: the broker delivers it again.
            _log.warning("message_unsettled", queue=queue, error=repr(error))
            self._connection.lost.set()
            outcome = "unsettled"
        outcomes.labels(queue, outcome).inc()
        # It keeps what it was decoded to, which is itself: only the garbage collector would find it, and its body.
        message.clear_cache()

    async def _settle(self, message: RabbitMessage) -> str:
        try:
            if not await self._handled(message):
                return "returned"
        except Unprocessable as verdict:
            return await self._park(message, str(verdict))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises, the message is kept
            return await self._put_aside(message, error)
        await message.ack()
        return "handled"

    async def _handled(self, message: RabbitMessage) -> bool:
        """Have it handled; False when that was given up."""
        task = asyncio.current_task()
        if self._line is None or task is None:
            return await self._until_possible(lambda: self._route.handle(message), self._transient)
        with self._line.place(task) as place:
            attempt = _InPlace(place, self._route, message, self._transient)
            try:
                return await self._until_possible(attempt, (*self._transient, _HandlerFailedError))
            except GivenUpError:
                return False

    async def _until_possible(
        self, attempt: Callable[[], Awaitable[None]], transient: tuple[type[Exception], ...]
    ) -> bool:
        """Do it, waiting while a dependency is down; False when the wait was given up."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + HOLD_SECONDS
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await attempt()
            except transient as error:
                _log.warning("consumption_paused", queue=self._route.subscription.queue, error=repr(error))
            else:
                return True
            if await wait_for_any(self._stopping, self._connection.lost, seconds=pause):
                return False
            if loop.time() > give_up_at:
                self._connection.lost.set()
                return False
            pause = min(pause * 2, LAST_PAUSE_SECONDS)

    async def _put_aside(self, message: RabbitMessage, error: Exception) -> str:
        subscription = self._route.subscription
        attempts = int(message.headers.get(ATTEMPTS_HEADER, 0)) + 1 if self._line is None else MAX_ATTEMPTS
        _log.error("handler_failed", queue=subscription.queue, attempts=attempts, exc_info=error)
        if attempts >= MAX_ATTEMPTS:
            return await self._park(message, f"failed {attempts} times, last with {type(error).__name__}: {error}")
        return await self._move(message, subscription.retry_queue, {ATTEMPTS_HEADER: attempts}, "retried")

    async def _park(self, message: RabbitMessage, reason: str) -> str:
        subscription = self._route.subscription
        _log.error("message_parked", queue=subscription.queue, message_id=message.message_id, reason=reason)
        headers = {REASON_HEADER: reason[:1000], QUEUE_HEADER: subscription.queue}
        return await self._move(message, subscription.parked_queue, headers, "parked")

    async def _move(self, message: RabbitMessage, queue: str, headers: dict[str, Any], outcome: str) -> str:
        moved = OutgoingMessage(
            message.message_id,
            message.raw_message.type,
            message.body,
            message.content_type,
            exchange=self._route.subscription.dead_letter_exchange,
            routing_key=queue,
            headers=headers,
        )

        async def publish() -> None:
            # Without an end while the broker blocks publishers, which can be longer than a message may be held.
            async with asyncio.timeout(HOLD_SECONDS):
                await self._moves.send_messages([moved])

        if not await self._until_possible(publish, (PublishError,)):
            return "returned"
        await message.ack()
        return outcome
