"""A server that goes says so before it closes the connection: whoever asks in between is told that it is away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import asyncpg
import pytest
import sqlalchemy as sa

from catalog_api.db import database as catalog
from catalog_api.domain.errors import DatabaseUnavailableError as CatalogUnavailableError
from price_history.db import engine as history

PID = "SELECT pg_backend_pid()"

Ask = Callable[[], Awaitable[int]]


@dataclass
class Lingering:
    """A way to a database on which the server's last words arrive, and its closing of the connection does not."""

    dsn: str
    said_all: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
async def lingering(make_database: Callable[..., str]) -> AsyncIterator[Lingering]:
    dsn = make_database()
    server = urlsplit(dsn)
    relaying: list[asyncio.Task[None] | None] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relaying.append(asyncio.current_task())
        from_server, to_server = await asyncio.open_connection(server.hostname, server.port)

        async def forward() -> None:
            while data := await reader.read(65_536):
                to_server.write(data)

        forwarding = asyncio.create_task(forward())
        while data := await from_server.read(65_536):
            writer.write(data)
        way.said_all.set()
        await forwarding
        for end in (to_server, writer):
            end.close()
            with suppress(OSError):
                await end.wait_closed()

    listening = await asyncio.start_server(relay, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    way = Lingering(server._replace(netloc=server.netloc.replace(f":{server.port}", f":{port}")).geturl())
    yield way
    listening.close()
    await asyncio.gather(*(task for task in relaying if task is not None))


def catalog_of(dsn: str) -> catalog.Database:
    return catalog.Database(dsn, application_name="test", pool_size=1, pool_timeout=5, statement_timeout=5)


@asynccontextmanager
async def of_catalog(dsn: str) -> AsyncIterator[Ask]:
    async with catalog_of(dsn) as database:

        async def ask() -> int:
            async with database.reading() as connection:
                return int(await connection.fetchval(PID))

        yield ask


@asynccontextmanager
async def of_catalog_in_a_transaction(dsn: str) -> AsyncIterator[Ask]:
    async with catalog_of(dsn) as database:

        async def ask() -> int:
            async with database.transaction() as connection:
                return int(await connection.scalar(sa.text(PID)) or 0)

        yield ask


@asynccontextmanager
async def of_history(dsn: str) -> AsyncIterator[Ask]:
    database = history.Database(dsn, "test", history.Limits(1, 5, 5))

    async def ask() -> int:
        async with database.querying() as connection:
            return int(await connection.fetchval(PID))

    yield ask
    await database.close()


UNAVAILABLE = (CatalogUnavailableError, history.DatabaseUnavailableError)


@pytest.mark.parametrize("service", [of_catalog, of_catalog_in_a_transaction, of_history])
async def test_what_is_asked_after_the_servers_last_words_may_be_asked_again(
    lingering: Lingering, make_database: Callable[..., str], service: Callable[[str], AbstractAsyncContextManager[Ask]]
) -> None:
    async with service(lingering.dsn) as ask:
        first = await ask()
        administrator = await asyncpg.connect(make_database())
        await administrator.execute("SELECT pg_terminate_backend($1, 5000)", first)
        await administrator.close()
        await lingering.said_all.wait()
        with pytest.raises(UNAVAILABLE):
            await ask()
        async with asyncio.timeout(30):
            while (again := await _again(ask)) is None:
                pass
    assert again != first


async def _again(ask: Ask) -> int | None:
    try:
        return await ask()
    except UNAVAILABLE:
        return None
