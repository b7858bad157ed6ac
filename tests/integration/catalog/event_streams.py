"""A client of the stream of events, which takes it apart as a browser does, and what it may be told."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import aiohttp

from aggregator_contracts import Offer, OffersUpdate, OffersUpdated, ProductCreated, ProductState
from aggregator_contracts.topology import LOG
from catalog_api.entrypoints.http.event_stream import EventStream
from event_bus import EventLog, Extent

from .conftest import Api


@dataclass(frozen=True)
class Told:
    """An event that was dispatched."""

    id: str
    type: str
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)


@dataclass
class Stream:
    """What came of one connection; source of the rules: the HTML standard, section 9.2.6."""

    events: list[Told] = field(default_factory=list)
    last_id: str = ""
    retry: int | None = None
    over: bool = False
    """Whether the server ended it, and cleanly."""
    broken: bool = False
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, response: aiohttp.ClientResponse) -> None:
        block: dict[bytes, list[bytes]] = {}
        try:
            while line := await response.content.readline():
                name, _, value = line.removesuffix(b"\n").partition(b":")
                if line != b"\n":
                    block.setdefault(name, []).append(value.removeprefix(b" "))
                    continue
                self._dispatch(block)
                block = {}
            self.over = True
        except aiohttp.ClientError:
            self.broken = True
        self._arrived.set()

    def _dispatch(self, block: dict[bytes, list[bytes]]) -> None:
        if b"id" in block:
            self.last_id = block[b"id"][-1].decode()
        if b"retry" in block:
            self.retry = int(block[b"retry"][-1])
        if b"data" in block:
            self.events.append(Told(self.last_id, block[b"event"][-1].decode(), b"\n".join(block[b"data"])))
        self._arrived.set()

    async def until(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until it holds, which is looked at with everything that comes."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._arrived.clear()
                await self._arrived.wait()

    async def take(self, count: int) -> list[Told]:
        """So many events, and not one more."""
        await self.until(lambda: len(self.events) >= count)
        assert len(self.events) == count, self.events
        return self.events

    async def end(self) -> None:
        """Wait for its end by the server."""
        await self.until(lambda: self.over or self.broken)
        assert self.over, "it broke off"


@contextlib.asynccontextmanager
async def streaming(api: Api, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    """A stream that has begun: its position is known."""
    timeout = aiohttp.ClientTimeout(total=None)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with api.session.get(f"{api.url}/api/v1/stream{query}", headers=named, timeout=timeout) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == EventStream.media_type
        stream = Stream()
        reading = asyncio.create_task(stream.read(response))
        try:
            await stream.until(lambda: stream.last_id != "" or stream.over)
            yield stream
        finally:
            reading.cancel()
            await asyncio.wait([reading])


def created(product: UUID | None = None, description: str = "") -> ProductCreated:
    state = ProductState(product_id=product or uuid4(), version=1, name="Sekačka", description=description)
    return ProductCreated.of(state)


def updated(*products: UUID, revision: int = 1) -> OffersUpdated:
    event = created()
    return OffersUpdated.of(
        [
            OffersUpdate(
                product_id=product,
                revision=revision,
                observed_at=event.time,
                offers=[Offer(id="a", price=100, items_in_stock=1)],
            )
            for product in products
        ]
    )


@contextlib.asynccontextmanager
async def small_log(url: str) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Fills, by so many events of a kilobyte, a log that keeps some three hundred of them."""
    arguments: Any = {
        "x-queue-type": "stream",
        "x-stream-max-segment-size-bytes": 100_000,
        "x-max-length-bytes": 300_000,
    }
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(LOG, durable=True, arguments=arguments)
        numbers = itertools.count()

        async def fill(count: int) -> None:
            for number in itertools.islice(numbers, count):
                body = json.dumps({"number": number, "filling": "x" * 1000}).encode()
                await channel.default_exchange.publish(aio_pika.Message(body, type="some.type.v1"), LOG)

        yield fill


async def nobody(_: Extent) -> None:
    """For where nobody has to keep up."""


async def fill_until_dropped(
    url: str,
    fill: Callable[[int], Awaitable[None]],
    offset: int,
    keeps_up: Callable[[Extent], Awaitable[None]] = nobody,
) -> Extent:
    """Returns what is in the log once it has dropped that offset; a moment later it may have dropped more.

    `keeps_up` is waited for between what is filled, which is less than the log has room for.
    """
    async with EventLog(url).open() as log:
        while True:
            await fill(100)
            extent = await log.extent()
            assert extent is not None
            await keeps_up(extent)
            if extent.first > offset:
                return extent
