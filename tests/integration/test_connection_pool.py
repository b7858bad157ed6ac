"""Connections are lent to one at a time, in bounds, and never in a state that the next borrower would meet."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from connection_pool import ConnectionPool

SLEEP = "SELECT pg_sleep(60)"


@pytest.fixture
def dsn(make_database: Callable[..., str]) -> str:
    return make_database()


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[ConnectionPool]:
    """Of two connections."""
    pool = ConnectionPool(lambda: asyncpg.connect(dsn), size=2, wait_seconds=0.2)
    yield pool
    await pool.close()


async def pid(pool: ConnectionPool) -> int:
    async with pool.lent() as connection:
        return int(await connection.fetchval("SELECT pg_backend_pid()"))


async def sleeping(pool: ConnectionPool, began: asyncio.Event) -> None:
    async with pool.lent() as connection:
        began.set()
        await connection.execute(SLEEP)


async def test_one_connection_serves_one_after_the_other(pool: ConnectionPool) -> None:
    assert len({await pid(pool) for _ in range(5)}) == 1


async def test_two_at_once_have_one_each_and_a_third_waits_in_bounds(pool: ConnectionPool) -> None:
    async with pool.lent() as one, pool.lent() as other:
        assert one.get_server_pid() != other.get_server_pid()
        with pytest.raises(TimeoutError):
            await pid(pool)
        waiting = asyncio.create_task(pid(pool))
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting in {one.get_server_pid(), other.get_server_pid()}


async def test_who_fails_gives_the_connection_back(pool: ConnectionPool) -> None:
    first = await pid(pool)
    for _ in range(5):
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with pool.lent() as connection:
                await connection.execute("SELECT 1 / 0")
    assert await pid(pool) == first


async def test_a_connection_with_a_statement_under_way_is_not_lent_again(pool: ConnectionPool) -> None:
    first = await pid(pool)
    for _ in range(5):
        began = asyncio.Event()
        task = asyncio.create_task(sleeping(pool, began))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await pid(pool) != first


async def test_a_connection_with_a_transaction_under_way_is_not_lent_again(pool: ConnectionPool) -> None:
    async with pool.lent() as connection:
        await connection.execute("BEGIN")
        await connection.execute("CREATE TABLE abandoned ()")
    async with pool.lent() as connection:
        assert not connection.is_in_transaction()
        assert await connection.fetchval("SELECT to_regclass('abandoned')") is None


async def test_a_connection_that_the_server_closed_is_replaced(pool: ConnectionPool) -> None:
    async with pool.lent() as one, pool.lent() as other:
        await other.execute("SELECT pg_terminate_backend($1, 5000)", one.get_server_pid())
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            await one.execute("SELECT 1")
    assert {await pid(pool) for _ in range(3)} == {other.get_server_pid()}
    async with pool.lent(), pool.lent() as replaced:
        assert replaced.get_server_pid() not in {one.get_server_pid(), other.get_server_pid()}


async def test_a_server_that_is_away_takes_no_place(dsn: str) -> None:
    pool = ConnectionPool(lambda: asyncpg.connect(dsn, database="nowhere"), size=1, wait_seconds=0.2)
    for _ in range(3):
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await pid(pool)


async def test_what_is_lent_when_the_pool_closes_is_closed_when_it_comes_back(pool: ConnectionPool) -> None:
    await pid(pool)
    async with pool.lent() as lent:
        await pid(pool)
        await pool.close()
        assert not lent.is_closed()
    assert lent.is_closed()
