"""The stream of events of a process: killed, drained, with clients that do not read."""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import psutil  # type: ignore[import-untyped]
import pytest
from tests.integration.processes import eventually, started

from aggregator_contracts import parse_event
from devstack.ports import free_port
from event_bus import EventPublisher
from lifecycle.http import DRAIN_SECONDS

from .conftest import Api
from .event_streams import created, streaming

MEBIBYTE = 2**20
BULK_BYTES = 10_000


@pytest.fixture
async def publisher(rabbitmq_url: str) -> AsyncIterator[EventPublisher]:
    publisher = EventPublisher(rabbitmq_url)
    await publisher.start()
    yield publisher
    await publisher.stop()


@pytest.fixture
def environment(catalog_dsn: str, broker_accounts: Callable[[str], str], publisher: EventPublisher) -> dict[str, str]:
    """Of a process with its service's own accounts, where the log is there already."""
    assert publisher
    return {
        "DATABASE_URL": catalog_dsn,
        "RABBITMQ_URL": broker_accounts("catalog-api"),
        "PRICE_HISTORY_URL": "http://127.0.0.1:9",
        "API_AUTH": "off",
    }


@asynccontextmanager
async def process(
    environment: dict[str, str], port: int, **settings: str
) -> AsyncIterator[tuple[Api, asyncio.subprocess.Process]]:
    """`catalog-api serve`, which answers and has the log; killed at the end, if it still runs."""
    async with (
        started("catalog-api", "serve", settings=environment | {"PORT": str(port)} | settings) as running,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        api = Api(f"http://127.0.0.1:{port}", session)

        async def answers() -> bool:
            with suppress(aiohttp.ClientConnectionError):
                asked = [await api("GET", "/products"), await api("HEAD", "/stream")]
                return all(reply.status == 200 for reply in asked)
            return False

        await eventually(answers)
        yield api, running


async def test_a_client_goes_on_without_gap_or_duplicate_after_the_process_was_killed(
    environment: dict[str, str], publisher: EventPublisher
) -> None:
    port = free_port()
    ids: list[str] = []
    seen: list[tuple[int, str]] = []
    last = "-1"
    stop = asyncio.Event()

    async def publish() -> None:
        while not stop.is_set():
            event = created()
            ids.append(event.id)
            await publisher.publish([event])

    publishing = asyncio.create_task(publish())
    for _ in range(3):
        async with process(environment, port) as (api, running), streaming(api, Last_Event_ID=last) as stream:
            await stream.until(lambda stream=stream: len(stream.events) >= 50)  # type: ignore[misc]
            running.kill()
            await stream.until(lambda stream=stream: stream.over or stream.broken)  # type: ignore[misc]
        last = stream.last_id
        seen += [(int(event.id), parse_event(event.data).id) for event in stream.events]
    stop.set()
    await publishing
    async with process(environment, port) as (api, _), streaming(api, Last_Event_ID=last) as stream:
        await stream.until(lambda: len(seen) + len(stream.events) >= len(ids))
        seen += [(int(event.id), parse_event(event.data).id) for event in stream.events]
    assert [event_id for _, event_id in seen] == ids
    assert [offset for offset, _ in seen] == list(range(len(ids)))


async def test_sigterm_ends_streams_at_once(environment: dict[str, str], publisher: EventPublisher) -> None:
    await publisher.publish([created()])
    async with process(environment, free_port()) as (api, running), AsyncExitStack() as streams:
        opened = [await streams.enter_async_context(streaming(api)) for _ in range(20)]
        began = time.monotonic()
        running.send_signal(signal.SIGTERM)
        for stream in opened:
            await stream.end()
        assert await asyncio.wait_for(running.wait(), 10) == 0
        assert time.monotonic() - began < DRAIN_SECONDS, "nothing had to be cut off"


async def publish_bulk(publisher: EventPublisher, count: int) -> list[str]:
    """Returns the ids of so many large events."""
    events = [created(description="x" * BULK_BYTES) for _ in range(count)]
    await publisher.publish(events)
    return [event.id for event in events]


def silent_client(api: Api) -> socket.socket:
    """Asks for the stream, and reads nothing of it."""
    address = urlsplit(api.url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((address.hostname, address.port))
    client.sendall(b"GET /api/v1/stream?from=first HTTP/1.1\r\nHost: a\r\n\r\n")
    return client


async def test_a_client_that_does_not_read_is_cut_off_and_the_others_go_on(
    environment: dict[str, str], publisher: EventPublisher
) -> None:
    async def cut_off() -> bool:
        async with api.session.get(f"{api.url}/metrics") as response:
            return "aggregator_http_clients_cut_off_total 1.0" in await response.text()

    ids = await publish_bulk(publisher, 1)
    async with (
        process(environment, free_port(), HTTP_SEND_SECONDS="1", STREAM_RING_BYTES=str(MEBIBYTE)) as (api, _),
        streaming(api, "?from=first") as other,
    ):
        with silent_client(api):
            await other.take(1)
            async with asyncio.timeout(60):
                while not await cut_off():
                    ids += await publish_bulk(publisher, 50)
                    await other.until(lambda: len(other.events) == len(ids))  # noqa: B023 - called at once
        # Its offsets would not do: the broker uses up one itself wherever a segment of the log, of 16 MiB, begins.
        assert [parse_event(event.data).id for event in other.events] == ids
        assert [int(event.id) for event in other.events] == sorted({int(event.id) for event in other.events})


async def test_a_client_that_does_not_read_holds_up_no_shutdown(
    environment: dict[str, str], publisher: EventPublisher
) -> None:
    await publish_bulk(publisher, 1000)
    async with process(environment, free_port()) as (api, running), streaming(api, "?from=first") as other:
        with silent_client(api):
            await other.until(lambda: len(other.events) >= 1000)
            began = time.monotonic()
            running.send_signal(signal.SIGTERM)
            await other.end()
            assert await asyncio.wait_for(running.wait(), 10) == 0
            assert time.monotonic() - began < 5


async def test_two_hundred_clients_and_one_that_is_stuck_take_bounded_memory(
    environment: dict[str, str], publisher: EventPublisher
) -> None:
    clients, bulk = 200, 3000
    await publisher.publish([created()])
    async with (
        process(environment, free_port(), STREAM_RING_BYTES=str(4 * MEBIBYTE)) as (api, running),
        AsyncExitStack() as streams,
    ):
        opened = [
            await streams.enter_async_context(streaming(api, f"?product_id={UUID(int=number)}"))
            for number in range(clients)
        ]
        memory = psutil.Process(running.pid).memory_info
        before = memory().rss
        with silent_client(api):
            for _ in range(bulk // 100):
                await publish_bulk(publisher, 100)
            for stream in opened:
                await stream.until(lambda stream=stream: int(stream.last_id) >= bulk, 60)  # type: ignore[misc]
            grown = memory().rss - before
        assert grown < 30 * MEBIBYTE, f"{grown / MEBIBYTE:.0f} MiB for {bulk * BULK_BYTES / MEBIBYTE:.0f} MiB of events"
