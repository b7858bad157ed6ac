"""The catalog on a real database, served over real sockets."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import psycopg2
import pytest
import sqlalchemy as sa
import uvicorn
from aiohttp import web
from fastapi import FastAPI
from tests.integration.processes import eventually
from yarl import URL

from catalog_api import bootstrap
from catalog_api.db.database import Database
from catalog_api.db.migrate import migrate
from catalog_api.domain.webhooks import new_id
from catalog_api.live import tail
from catalog_api.settings import ServeSettings
from devstack.conditions import wait_until
from lifecycle.http import http_server

PRODUCT = {"name": "Benzinová sekačka Dosquarna", "description": "Nejlepší sekačka na trhu. TLDR"}
TABLES = ("alerts", "products", "idempotency_keys", "outbox", "access_tokens", "webhooks", "webhook_deliveries")
UNKNOWN = "01936d2e-7c1a-7cc0-8000-5a7b1c2d3e4f"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def problem(self, status: int) -> Any:
        """The body, once it has been seen to be the problem that it should be."""
        assert (self.status, self.headers["Content-Type"]) == (status, "application/problem+json"), self
        problem = self.json
        assert problem["status"] == status
        assert {"type", "title", "detail"} <= problem.keys()
        return problem

    def pointers(self) -> list[str]:
        return [error["pointer"] for error in self.problem(422)["errors"]]


@dataclass
class Api:
    """A client of a served catalog."""

    url: str
    session: aiohttp.ClientSession

    async def __call__(self, method: str, path: str, **options: Any) -> Reply:
        url = URL(f"{self.url}/api/v1{path}", encoded=True)
        async with self.session.request(method, url, **options) as response:
            return Reply(response.status, response.headers, await response.read())

    async def create(self, **fields: str) -> Any:
        reply = await self("POST", "/products", json=PRODUCT | fields)
        assert reply.status == 201, reply
        return reply.json

    async def walk(self, **parameters: Any) -> list[Any]:
        """Every item of every page."""
        items: list[Any] = []
        cursor: str | None = None
        while True:
            reply = await self("GET", "/products", params=parameters | ({"cursor": cursor} if cursor else {}))
            assert reply.status == 200, reply
            items += reply.json["items"]
            cursor = reply.json["next_cursor"]
            if cursor is None:
                return items


@dataclass
class StandInHistory:
    """What stands for price-history, to be seen misbehaving: answers as told, remembers what it was asked."""

    url: str = ""
    answer: Callable[[web.Request], Any] = lambda _: web.json_response({})
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.raw_path, request.headers))
        response: web.StreamResponse = self.answer(request)
        return await response if asyncio.iscoroutine(response) else response


@pytest.fixture(scope="session")
def migrated_dsn(service_database: Callable[[Callable[[str], object]], str]) -> str:
    return service_database(migrate)


@pytest.fixture
def catalog_dsn(migrated_dsn: str) -> str:
    """A catalog database without anything in it. Emptying one is quicker than copying and dropping one."""
    with contextlib.closing(psycopg2.connect(migrated_dsn)) as connection, connection:
        for table in TABLES:
            connection.cursor().execute(f"DELETE FROM {table}")  # noqa: S608 - constants
    return migrated_dsn


@pytest.fixture
async def history() -> AsyncIterator[StandInHistory]:
    stand_in = StandInHistory()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stand_in.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stand_in.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield stand_in
    await runner.cleanup()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that takes long to begin, as on a busy machine, is no wrong answer."""
    monkeypatch.setattr(tail, "START_SECONDS", 30.0)


def settings(dsn: str, **others: Any) -> ServeSettings:
    values: dict[str, Any] = {
        "database_url": dsn,
        "rabbitmq_url": "amqp://nobody.invalid/",
        "price_history_url": "http://127.0.0.1:9",
        "price_history_timeout_seconds": 60,
        "api_auth": "off",
        "webhook_targets": "any",
    }
    return ServeSettings(**(values | others))


def _port(server: uvicorn.Server) -> int:
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


@contextlib.asynccontextmanager
async def served(app: FastAPI, **limits: Any) -> AsyncIterator[str]:
    """The URL of an application of ours on a free port, under the server that it has in production."""
    server = http_server(app, "127.0.0.1", 0, **limits)
    task = asyncio.create_task(server.serve())

    async def started() -> bool:
        assert not task.done(), "the server did not start"
        return server.started

    await eventually(started)
    try:
        yield f"http://127.0.0.1:{_port(server)}"
    finally:
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def serving(settings: ServeSettings) -> AsyncIterator[Api]:
    """The catalog with settings of its own, and a client of it."""
    app = bootstrap.http_application(settings)
    serving = served(app, send_seconds=settings.http_send_seconds, on_drain=app.state.on_drain)
    async with serving as url, aiohttp.ClientSession() as session:
        yield Api(url, session)


@pytest.fixture(scope="session")
def shared_url(migrated_dsn: str) -> Iterator[str]:
    """One server for all tests that need no other settings: starting one takes longer than most of them."""
    server = http_server(bootstrap.http_application(settings(migrated_dsn)), "127.0.0.1", 0)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    assert wait_until(lambda: server.started or not thread.is_alive(), seconds=20)
    yield f"http://127.0.0.1:{_port(server)}"
    server.should_exit = True
    thread.join()


@pytest.fixture
async def api(shared_url: str, catalog_dsn: str) -> AsyncIterator[Api]:
    """The shared server, on an empty catalog."""
    assert catalog_dsn
    async with aiohttp.ClientSession() as session:
        yield Api(shared_url, session)


@pytest.fixture
async def database(catalog_dsn: str) -> AsyncIterator[Database]:
    """The catalog's access to the same database, for use cases that have no HTTP."""
    database = Database(catalog_dsn, application_name="test", pool_size=5, pool_timeout=5, statement_timeout=10)
    async with database:
        yield database


async def make_webhook(database: Database, disabled_because: str | None = None) -> UUID:
    """A webhook that nobody listens at."""
    made = new_id()
    async with database.transaction() as connection:
        await connection.execute(
            sa.text("INSERT INTO webhooks (id, url, description, disabled_because) VALUES (:id, :url, '', :because)"),
            {"id": made, "url": "https://example.com/", "because": disabled_because},
        )
    return made


@pytest.fixture
async def sql(catalog_dsn: str, as_administrator: Callable[[str], str]) -> AsyncIterator[Any]:
    """A plain connection to the same database, which may do anything there."""
    connection = await asyncpg.connect(as_administrator(catalog_dsn))
    yield connection
    await connection.close()
