"""A database that is away, full up, frozen or slow: 503 within bounded time, and recovery without a restart."""

import asyncio
import signal
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil  # type: ignore[import-untyped]
import pytest
from tests.integration.processes import eventually

from catalog_api.db import product_writes
from catalog_api.db.database import Database
from catalog_api.db.migrate import migrate
from devstack.postgresql import PostgresServer

from .conftest import PRODUCT, UNKNOWN, Api, Reply, serving, settings

REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", "/products", None),
    ("GET", f"/products/{UNKNOWN}", None),
    ("GET", f"/products/{UNKNOWN}/trend", None),
    ("POST", "/products", PRODUCT),
    ("POST", "/products/batch", {"items": [PRODUCT]}),
    ("PUT", f"/products/{UNKNOWN}", PRODUCT),
    ("DELETE", f"/products/{UNKNOWN}", None),
]


WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'catalog-api-serve' "
    "AND wait_event_type = 'Lock' AND datname = current_database()"
)


async def ask(api: Api, method: str, path: str, body: Any) -> Reply:
    return await api(method, path, **({} if body is None else {"json": body}))


async def assert_unavailable(api: Api, seconds: float) -> None:
    started = time.monotonic()
    replies = await asyncio.gather(*(ask(api, *request) for request in REQUESTS for _ in range(3)))
    assert time.monotonic() - started < seconds
    for reply in replies:
        reply.problem(503)
        assert int(reply.headers["Retry-After"]) >= 1


async def wait_for_recovery(api: Api, seconds: float = 15) -> None:
    async def answers() -> bool:
        created, listed = await api("POST", "/products", json=PRODUCT), await api("GET", "/products")
        return (created.status, listed.status) == (201, 200)

    await eventually(answers, seconds)


async def readiness(api: Api) -> tuple[int, str]:
    async with api.session.get(f"{api.url}/readyz") as response:
        return response.status, await response.text()


async def test_without_a_database_the_api_starts_and_answers_503() -> None:
    async with serving(settings("postgresql://nobody@127.0.0.1:9/nothing")) as api:
        await assert_unavailable(api, 10)
        assert (await readiness(api))[0] == 503
        async with api.session.get(f"{api.url}/healthz") as response:
            assert response.status == 200


async def test_without_migrations_the_api_is_unavailable_and_not_broken(make_database: Any) -> None:
    async with serving(settings(make_database())) as api:
        await assert_unavailable(api, 10)
        assert (await readiness(api))[0] == 503


async def test_a_restart_of_the_database_is_survived(private_postgres: PostgresServer) -> None:
    migrate(private_postgres.dsn())
    async with serving(settings(private_postgres.dsn())) as api:
        await asyncio.gather(*(api.create() for _ in range(20)), *(api("GET", "/products") for _ in range(20)))
        private_postgres.stop()
        await assert_unavailable(api, 10)
        status, text = await readiness(api)
        assert (status, "database" in text) == (503, True)
        private_postgres.start()
        await asyncio.to_thread(private_postgres.wait_until_ready)
        await wait_for_recovery(api)
        assert len(await api.walk()) >= 21


async def test_sessions_that_are_killed_cost_no_request_after_that(catalog_dsn: str, sql: Any) -> None:
    async with serving(settings(catalog_dsn)) as api:
        await asyncio.gather(*(api.create() for _ in range(10)), *(api("GET", "/products") for _ in range(10)))
        killed = await sql.fetchval(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
            "WHERE application_name = 'catalog-api-serve' AND datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert killed > 2
        replies = await asyncio.gather(*(api("POST", "/products", json=PRODUCT) for _ in range(10)))
        assert {reply.status for reply in replies} == {201}
        assert (await api("GET", "/products")).status == 200


async def test_a_frozen_database_is_503_in_bounded_time(private_postgres: PostgresServer, tmp_path: Path) -> None:
    migrate(private_postgres.dsn())
    limits = settings(private_postgres.dsn(), database_statement_timeout_seconds=1.5, database_pool_timeout_seconds=1)
    postmaster = int((tmp_path / "postgresql" / "data" / "postmaster.pid").read_text().split()[0])
    async with serving(limits) as api:
        await asyncio.gather(*(api.create() for _ in range(5)), *(api("GET", "/products") for _ in range(5)))
        frozen = [psutil.Process(postmaster), *psutil.Process(postmaster).children(recursive=True)]
        for process in frozen:
            process.send_signal(signal.SIGSTOP)
        try:
            await assert_unavailable(api, 12)
        finally:
            for process in frozen:
                process.send_signal(signal.SIGCONT)
        await wait_for_recovery(api)


async def test_a_slow_statement_is_503(api: Api, catalog_dsn: str, database: Database) -> None:
    product = (await api.create())["id"]
    async with serving(settings(catalog_dsn, database_statement_timeout_seconds=0.3)) as hurried:

        async def is_patched() -> bool:
            return (await hurried("PATCH", f"/products/{product}", json={"name": "x"})).status == 200

        async with database.transaction() as elsewhere:
            await product_writes.lock(elsewhere, UUID(product))
            (await hurried("PATCH", f"/products/{product}", json={"name": "x"})).problem(503)
        await eventually(is_patched)


async def test_an_exhausted_pool_is_503_and_others_wait_in_bounds(
    catalog_dsn: str, database: Database, sql: Any
) -> None:
    async def both_wait() -> bool:
        return bool(await sql.fetchval(WAITING) == 2)

    limits = settings(
        catalog_dsn, database_pool_size=2, database_pool_timeout_seconds=0.3, database_statement_timeout_seconds=60
    )
    async with serving(limits) as api:
        product, other = (await api.create())["id"], (await api.create())["id"]
        async with database.transaction() as elsewhere:
            await product_writes.lock(elsewhere, UUID(product))
            stuck = [asyncio.create_task(api("PATCH", f"/products/{product}", json={"name": str(n)})) for n in range(2)]
            await eventually(both_wait)
            (await api("PATCH", f"/products/{other}", json={"name": "x"})).problem(503)
            assert not any(task.done() for task in stuck), "it did not wait for those that have the connections"
            assert (await api("GET", f"/products/{product}")).status == 200
        assert [(await task).status for task in stuck] == [200, 200]


async def test_more_requests_than_are_taken_at_once_are_503_at_once_and_health_still_answers(
    catalog_dsn: str, database: Database, sql: Any
) -> None:
    async def both_wait() -> bool:
        return bool(await sql.fetchval(WAITING) == 2)

    async with serving(settings(catalog_dsn, http_max_requests_in_flight=2)) as api:
        product = (await api.create())["id"]
        async with database.transaction() as elsewhere:
            await product_writes.lock(elsewhere, UUID(product))
            stuck = [asyncio.create_task(api("PATCH", f"/products/{product}", json={"name": str(n)})) for n in range(2)]
            await eventually(both_wait)
            refused = await api("GET", f"/products/{product}")
            assert "2 requests" in refused.problem(503)["detail"]
            assert int(refused.headers["Retry-After"]) >= 1
            assert (await readiness(api))[0] == 200
        assert [(await task).status for task in stuck] == [200, 200]
        assert (await api("GET", f"/products/{product}")).status == 200


@pytest.mark.parametrize("path", ["/products", f"/products/{UNKNOWN}"])
async def test_a_server_that_answers_garbage_is_503(path: str) -> None:
    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(garbage, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, serving(settings(f"postgresql://nobody@127.0.0.1:{port}/nothing")) as api:
        (await api("GET", path)).problem(503)
