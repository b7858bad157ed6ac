"""The HTTP API of price-history, whole, over a real database."""

import asyncio
import csv
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import psycopg2
import pytest
import sqlalchemy as sa

from devstack.postgresql import PostgresServer
from lifecycle.http import http_server
from price_history.bootstrap import http_app
from price_history.db.engine import Database
from price_history.db.migrate import migrate
from price_history.db.packing import pack_row, pack_state
from price_history.db.snapshots import Snapshots
from price_history.domain.chunks import State
from price_history.domain.instants import SECOND
from price_history.domain.recording import ObservedList
from price_history.entrypoints.http import schemas
from price_history.entrypoints.http.app import REQUEST_SECONDS
from price_history.settings import ServeSettings
from price_history.use_cases.derived_events import derived_events
from price_history.use_cases.known_products import AddProduct, DeleteProduct
from price_history.use_cases.record_offers import RecordOffers

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def history_dsn(make_database: Callable[..., str], migrated_history: str) -> str:
    """One database for all of these tests: each has products of its own."""
    return make_database(template=migrated_history)


# The contract requires it of every process; `serve` never connects to it.
REQUIRED: dict[str, Any] = {"rabbitmq_url": "amqp://localhost/"}


@asynccontextmanager
async def client_of(**settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    app = http_app(ServeSettings(**{**REQUIRED, "api_auth": "off", **settings}))
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://history") as client,
    ):
        yield client


@asynccontextmanager
async def served(dsn: str) -> AsyncIterator[str]:
    """The URL of the application on a socket of its own."""
    server = http_server(http_app(ServeSettings(**REQUIRED, database_url=dsn, api_auth="off")), "127.0.0.1", 0)
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn offers nothing to wait for
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
async def client(history_dsn: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(database_url=history_dsn) as client:
        yield client


async def observe(database: Database, product: UUID, *lists: list[tuple[str, int, int]]) -> None:
    """Lists observed at noon, a minute after, and so on."""
    record = RecordOffers(database, Snapshots(1000), derived_events)
    for revision, offers in enumerate(lists, start=1):
        await record({product: ObservedList.of(revision, NOON + (revision - 1) * MINUTE, offers)})


async def add_minutes(database: Database, product: UUID, count: int) -> None:
    """Chunks of a minute each, with an observation every second, after the product's only one."""
    rows = b"".join(pack_row(SECOND if second else 0, 1 - second % 2, None, [(0, 1, 2)]) for second in range(60))
    async with database.transaction() as connection:
        await connection.execute(
            sa.text("""
            INSERT INTO chunks (begins, ends, product_no, observations, state, changes)
            SELECT last_change_at + n * interval '1 minute', last_change_at + n * interval '1 minute' + interval '59 s',
                   product_no, 60, :state, :rows
            FROM products, generate_series(0, :count - 1) AS n WHERE product_id = :id
            """),
            {"id": product, "count": count, "state": pack_state(State(0, None, {0: 1})), "rows": rows},
        )
        await connection.execute(
            sa.text("UPDATE products SET head_rows = 0, head = '' WHERE product_id = :id"), {"id": product}
        )


def path(product: object, rest: str) -> str:
    return f"/api/v1/products/{product}/{rest}"


async def test_a_trend_is_as_in_the_contract(database: Database, client: httpx2.AsyncClient) -> None:
    product = uuid4()
    await observe(database, product, [("a", 1000, 5), ("b", 1010, 5)], [("a", 990, 5)], [], [("b", 995, 5)])
    query = "trend?from=2026-03-01T12:00:30Z&to=2026-03-01T12:04:00Z&resolution=1m"
    answer = await client.get(path(product, query))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    # 30 s of 1000, 60 s of 990, 60 s of nothing, 60 s of 995: 149100 / 150 = 994
    assert answer.json() == {
        "product_id": str(product),
        "offer_id": None,
        "basis": "best_in_stock",
        "from": "2026-03-01T12:00:30Z",
        "to": "2026-03-01T12:04:00Z",
        "resolution_seconds": 60,
        "prices": [1000, 990, None, 995],
        "points": [
            {"at": "2026-03-01T12:00:00Z", "price": 1000, "lowest": 1000, "highest": 1000},
            {"at": "2026-03-01T12:01:00Z", "price": 990, "lowest": 990, "highest": 990},
            {"at": "2026-03-01T12:02:00Z", "price": None, "lowest": None, "highest": None},
            {"at": "2026-03-01T12:03:00Z", "price": 995, "lowest": 995, "highest": 995},
        ],
        "start": {"price": 1000, "at": "2026-03-01T12:00:30Z", "carried": True},
        "end": {"price": 995, "at": "2026-03-01T12:04:00Z"},
        "change": -5,
        "change_percent": -0.5,
        "reason": None,
        "lowest": {"price": 990, "at": "2026-03-01T12:01:00Z"},
        "highest": {"price": 1000, "at": "2026-03-01T12:00:30Z"},
        "average": 994,
    }
    assert b'"change_percent":-0.5,' in answer.content
    schemas.Trend.model_validate(answer.json(), extra="forbid")


async def test_raw_has_a_point_for_each_change_of_the_best_price(
    database: Database, client: httpx2.AsyncClient
) -> None:
    product = uuid4()
    lists = [("a", 10, 5), ("b", 20, 5)], [("a", 10, 5), ("b", 21, 5)], [("a", 10, 0), ("b", 21, 5)]
    await observe(database, product, *map(list, lists))
    period = "from=2026-03-01T11:00:00Z&to=2026-03-01T13:00:00Z&resolution=raw"
    in_stock = (await client.get(path(product, f"trend?{period}"))).json()
    assert in_stock["resolution_seconds"] is None
    assert in_stock["prices"] == [10, 21]
    assert in_stock["start"] == {"price": 10, "at": "2026-03-01T12:00:00Z", "carried": False}
    best = (await client.get(path(product, f"trend?{period}&basis=best"))).json()
    assert (best["basis"], best["prices"]) == ("best", [10])


async def test_an_offers_trend_is_its_own_price_whatever_its_stock(
    database: Database, client: httpx2.AsyncClient
) -> None:
    product = uuid4()
    await observe(database, product, [("a", 10, 5), ("b", 1, 1)], [("a", 10, 0)], [("a", 12, 0)], [], [("a", 13, 1)])
    period = "from=2026-03-01T12:00:30Z&to=2026-03-01T13:00:00Z&resolution=raw"
    trend = (await client.get(path(product, f"offers/a/trend?{period}"))).json()
    assert (trend["offer_id"], trend["basis"]) == ("a", None)
    assert trend["prices"] == [10, 12, None, 13]
    gone = (await client.get(path(product, f"offers/b/trend?{period}"))).json()
    assert gone["prices"] == [1, None]
    assert gone["end"] == {"price": 1, "at": "2026-03-01T12:01:00Z"}


async def test_an_offer_that_seldom_changes_among_others_that_do_is_found(
    database: Database, client: httpx2.AsyncClient
) -> None:
    product = uuid4()
    await observe(database, product, *([("a", 7, 1), ("b", n, 1)] for n in range(200)))
    period = "from=2026-03-01T14:30:00Z&to=2026-03-01T15:00:00Z&resolution=raw"
    trend = (await client.get(path(product, f"offers/a/trend?{period}"))).json()
    assert trend["points"] == [{"at": "2026-03-01T14:30:00Z", "price": 7, "lowest": 7, "highest": 7}]


@pytest.mark.parametrize("offer", ["a/b", "/", "a/trend", "%", "č ř", "..", "?#&", "a\\b", "😀"])
async def test_an_offer_id_may_be_anything(database: Database, client: httpx2.AsyncClient, offer: str) -> None:
    product = uuid4()
    await observe(database, product, [(offer, 10, 5)])
    quoted = "".join(f"%{byte:02X}" for byte in offer.encode())
    trend = await client.get(path(product, f"offers/{quoted}/trend?from=2026-03-01T00:00:00Z"))
    assert trend.json()["offer_id"] == offer
    assert trend.json()["end"]["price"] == 10


async def test_the_last_24_hours_take_288_buckets_of_five_minutes(
    database: Database, client: httpx2.AsyncClient
) -> None:
    product = uuid4()
    await AddProduct(database)(product)
    trend = (await client.get(path(product, "trend"))).json()
    assert trend["resolution_seconds"] == 300
    assert len(trend["points"]) in {288, 289}
    assert set(trend["prices"]) == {None}
    assert trend["reason"] == "no_price_in_period"
    empty = [trend[name] for name in ("start", "end", "change", "change_percent", "lowest", "highest", "average")]
    assert empty == [None] * 7
    begins, ends = datetime.fromisoformat(trend["from"]), datetime.fromisoformat(trend["to"])
    assert ends - begins == timedelta(hours=24)
    assert (await client.get(path(product, "trend?resolution=raw&period=P7D"))).json()["points"] == []


async def test_the_largest_prices_are_told_digit_by_digit(database: Database, client: httpx2.AsyncClient) -> None:
    product = uuid4()
    await observe(database, product, [("a", 2**63 - 1, 5)], [("a", 2**63 - 2, 5)])
    answer = await client.get(path(product, "trend?from=2026-03-01T12:00:00Z&to=2026-03-01T12:02:00Z"))
    assert b'"average":9223372036854775806.5' in answer.content
    assert answer.json()["start"]["price"] == 2**63 - 1


class TestHistory:
    async def test_pages_join_to_the_whole(self, database: Database, client: httpx2.AsyncClient) -> None:
        product = uuid4()
        await observe(database, product, *([("a", n, 1), ("b", 2 * n, n % 2), ("c", 5, 0)] for n in range(20)))
        whole = (await client.get(path(product, "history"))).json()
        assert whole["next_cursor"] is None
        assert whole["items"][:3] == [
            {"at": "2026-03-01T12:00:00Z", "offer_id": "a", "price": 0, "items_in_stock": 1},
            {"at": "2026-03-01T12:00:00Z", "offer_id": "b", "price": 0, "items_in_stock": 0},
            {"at": "2026-03-01T12:00:00Z", "offer_id": "c", "price": 5, "items_in_stock": 0},
        ]
        assert len(whole["items"]) == 3 + 19 * 2
        for limit in (1, 2, 7, 40, 41, 42):
            items, cursor = [], ""
            while cursor is not None:
                page = (await client.get(path(product, f"history?limit={limit}{cursor}"))).json()
                assert len(page["items"]) <= limit
                items += page["items"]
                cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
            assert items == whole["items"]
        schemas.History.model_validate(whole, extra="forbid")

    async def test_from_and_to_are_included(self, database: Database, client: httpx2.AsyncClient) -> None:
        product = uuid4()
        await observe(database, product, *([("a", n, 1)] for n in range(5)))
        period = "from=2026-03-01T12:01:00Z&to=2026-03-01T12:03:00Z"
        items = (await client.get(path(product, f"history?{period}"))).json()["items"]
        assert [item["price"] for item in items] == [1, 2, 3]
        first = (await client.get(path(product, f"history?{period}&limit=2"))).json()
        rest = (await client.get(path(product, f"history?{period}&limit=2&cursor={first['next_cursor']}"))).json()
        assert [item["price"] for item in rest["items"]] == [3]

    async def test_an_offer_that_ended_has_no_price_and_no_stock(
        self, database: Database, client: httpx2.AsyncClient
    ) -> None:
        product = uuid4()
        await observe(database, product, [("a", 1, 1)], [])
        items = (await client.get(path(product, "history"))).json()["items"]
        assert items[-1] == {"at": "2026-03-01T12:01:00Z", "offer_id": "a", "price": None, "items_in_stock": None}

    async def test_csv_is_the_whole_period(self, database: Database, client: httpx2.AsyncClient) -> None:
        product = uuid4()
        # More rows than are read at once, and more changes than are sent at once.
        lists = ([('a,"b"', n, 1), *((offer, n, 1) for offer in "bcde")] for n in range(1, 521))
        await observe(database, product, *lists, [])
        items = []
        cursor = ""
        while cursor is not None:
            page = (await client.get(path(product, f"history?limit=1000{cursor}"))).json()
            items += page["items"]
            cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        answer = await client.get(path(product, "history?limit=1"), headers={"Accept": "text/csv"})
        assert answer.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert len(rows) == 521 * 5
        assert rows == [{name: "" if value is None else str(value) for name, value in item.items()} for item in items]
        assert answer.text.startswith('at,offer_id,price,items_in_stock\r\n2026-03-01T12:00:00Z,"a,""b""",1,1\r\n')

    @pytest.mark.parametrize(
        ("accept", "form"),
        [
            ("", "application/json"),
            ("*/*", "application/json"),
            ("text/html,*/*;q=0.8", "application/json"),
            ("text/csv;q=0", "application/json"),
            ("application/json, text/csv;q=0.5", "application/json"),
            ("text/csv;q=x", "application/json"),
            (";;,,", "application/json"),
            ("text/csv", "text/csv"),
            ("TEXT/CSV; q=0.9, application/json;q=0.8", "text/csv"),
            ("text/csv, */*;q=0.1", "text/csv"),
        ],
    )
    async def test_the_form_is_what_the_client_prefers(
        self, database: Database, client: httpx2.AsyncClient, accept: str, form: str
    ) -> None:
        product = uuid4()
        await AddProduct(database)(product)
        answer = await client.get(path(product, "history"), headers={"Accept": accept})
        assert answer.headers["content-type"].startswith(form)
        assert answer.headers["vary"] == "Accept"

    async def test_csv_of_an_unknown_product_is_a_problem(self, client: httpx2.AsyncClient) -> None:
        answer = await client.get(path(uuid4(), "history"), headers={"Accept": "text/csv"})
        assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)

    async def test_csv_that_breaks_off_does_not_look_complete(self, history_dsn: str, database: Database) -> None:
        product = uuid4()
        await observe(database, product, [("a", 1, 1)])
        # More than any socket buffers, so that the answer is under way while the product is deleted.
        await add_minutes(database, product, 5_000)
        async with (
            served(history_dsn) as url,
            httpx2.AsyncClient(base_url=url) as client,
            client.stream("GET", path(product, "history"), headers={"Accept": "text/csv"}) as answer,
        ):
            assert answer.status_code == 200
            chunks = answer.aiter_bytes()
            await anext(chunks)
            await DeleteProduct(database)(product, NOON)
            with pytest.raises(httpx2.RemoteProtocolError):
                async for _ in chunks:
                    pass


class TestUnknown:
    async def test_a_product_that_is_unknown_or_deleted_is_404(
        self, database: Database, client: httpx2.AsyncClient
    ) -> None:
        deleted = uuid4()
        await observe(database, deleted, [("a", 1, 1)])
        await DeleteProduct(database)(deleted, NOON)
        for product in (uuid4(), deleted):
            for rest in ("trend", "offers/a/trend", "history"):
                answer = await client.get(path(product, rest))
                assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)
                assert answer.json()["status"] == 404

    async def test_an_offer_that_never_was_is_404(self, database: Database, client: httpx2.AsyncClient) -> None:
        product = uuid4()
        await observe(database, product, [("a", 1, 1)])
        for offer in ("b", "%00", "", "a%20"):
            assert (await client.get(path(product, f"offers/{offer}/trend"))).status_code == 404

    async def test_a_product_that_the_catalog_vouches_for_has_an_empty_trend(
        self, database: Database, client: httpx2.AsyncClient
    ) -> None:
        vouched = {"Product-Known": "true"}
        answer = await client.get(path(uuid4(), "trend?resolution=raw"), headers=vouched)
        assert (answer.status_code, answer.json()["points"]) == (200, [])
        assert (await client.get(path(uuid4(), "trend"), headers={"Product-Known": "false"})).status_code == 404
        page = await client.get(path(uuid4(), "history"), headers=vouched)
        assert (page.status_code, page.json()) == (200, {"items": [], "next_cursor": None})
        lines = await client.get(path(uuid4(), "history"), headers={**vouched, "Accept": "text/csv"})
        assert (lines.status_code, lines.text) == (200, "at,offer_id,price,items_in_stock\r\n")
        # It may exist, but no offer of it is known.
        assert (await client.get(path(uuid4(), "offers/a/trend"), headers=vouched)).status_code == 404
        deleted = uuid4()
        await DeleteProduct(database)(deleted, NOON)
        for rest in ("trend", "history"):
            assert (await client.get(path(deleted, rest), headers=vouched)).status_code == 404

    @pytest.mark.parametrize("url", ["/nope", "/api/v1/products", "/api/v1/products/x/trend/", "/api/v2"])
    async def test_other_routes_are_404(self, client: httpx2.AsyncClient, url: str) -> None:
        answer = await client.get(url)
        assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW"])
    async def test_other_methods_are_405(self, client: httpx2.AsyncClient, method: str) -> None:
        answer = await client.request(method, path(uuid4(), "trend"))
        assert (answer.status_code, answer.headers["content-type"]) == (405, PROBLEM)
        assert answer.headers["allow"] == "GET, HEAD"


class TestInvalid:
    @pytest.mark.parametrize(
        ("rest", "pointer"),
        [
            ("trend?period=0h", "/query/period"),
            ("trend?period=24h&from=2026-03-01T12:00:00Z", "/query/period"),
            ("trend?from=yesterday", "/query/from"),
            ("trend?from=2026-03-01T12:00:00Z&to=2026-03-01T12:00:00Z", "/query/from"),
            ("trend?to=%00", "/query/to"),
            ("trend?resolution=fine", "/query/resolution"),
            ("trend?resolution=1s", "/query/resolution"),
            ("trend?basis=worst", "/query/basis"),
            ("trend?unknown=1", "/query/unknown"),
            ("trend?a~b/c=1", "/query/a~0b~1c"),
            ("trend?%ED%A0%80=1", None),
            ("offers/a/trend?basis=best", "/query/basis"),
            ("history?limit=0", "/query/limit"),
            ("history?limit=1001", "/query/limit"),
            ("history?limit=ten", "/query/limit"),
            ("history?cursor=", "/query/cursor"),
            ("history?cursor=AAAA", "/query/cursor"),
            ("history?cursor=%C4%8D", "/query/cursor"),
            ("history?cursor=ks8AAAAAAAAAAQE", "/query/cursor"),
            ("history?resolution=raw", "/query/resolution"),
            ("history?from=2026-03-02T12:00:00Z&to=2026-03-01T12:00:00Z", "/query/from"),
            ("history?period=24h", "/query/period"),
        ],
    )
    async def test_what_makes_no_sense_is_422_and_says_where(
        self, database: Database, client: httpx2.AsyncClient, rest: str, pointer: str | None
    ) -> None:
        product = uuid4()
        await observe(database, product, [("a", 1, 1)])
        answer = await client.get(path(product, rest))
        assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
        body = answer.json()
        schemas.Problem.model_validate(body, extra="forbid")
        assert body["errors"]
        assert pointer is None or [error["pointer"] for error in body["errors"]] == [pointer]

    async def test_a_cursor_of_another_period_is_refused(self, database: Database, client: httpx2.AsyncClient) -> None:
        product = uuid4()
        await observe(database, product, *([("a", n, 1)] for n in range(3)))
        cursor = (await client.get(path(product, "history?limit=2"))).json()["next_cursor"]
        answer = await client.get(path(product, f"history?to=2026-03-01T12:01:00Z&cursor={cursor}"))
        assert answer.json()["errors"][0]["pointer"] == "/query/cursor"

    @pytest.mark.parametrize("product", ["x", "%00", "1234", "01939e3c-0000-7000-8000-00000000000"])
    async def test_an_id_that_is_none_is_422(self, client: httpx2.AsyncClient, product: str) -> None:
        for rest in ("trend", "history", "offers/a/trend"):
            answer = await client.get(path(product, rest))
            assert answer.status_code == 422
            assert [error["pointer"] for error in answer.json()["errors"]] == ["/path/product_id"]

    async def test_more_changes_than_are_given_raw_are_refused(
        self, database: Database, client: httpx2.AsyncClient
    ) -> None:
        product = uuid4()
        await observe(database, product, [("a", 1, 1)])
        await add_minutes(database, product, 417)
        period = "from=2026-03-01T12:00:00Z&to=2026-03-01T20:00:00Z"
        answer = await client.get(path(product, f"trend?{period}&resolution=raw"))
        assert answer.status_code == 422
        # What reads several pages is cut finely enough as well.
        trend = (await client.get(path(product, f"trend?{period}&resolution=1m"))).json()
        assert len(trend["points"]) == 480
        assert {tuple(p.values())[1:] for p in trend["points"][1:417]} == {(0, 0, 1)}
        assert trend["end"] == {"price": 0, "at": "2026-03-01T20:00:00Z"}


class TestAway:
    async def test_a_database_that_is_away_is_503_with_retry_after(self) -> None:
        async with client_of(database_url="postgresql://nobody@127.0.0.1:1/none") as client:
            for rest in ("trend", "offers/a/trend", "history"):
                answer = await client.get(path(uuid4(), rest))
                assert (answer.status_code, answer.headers["content-type"]) == (503, PROBLEM)
                assert int(answer.headers["retry-after"]) > 0
            ready = await client.get("/readyz")
            assert ready.status_code == 503
            assert "database" in ready.json()["failing"]
            assert (await client.get("/healthz")).status_code == 200

    async def test_a_database_that_was_not_migrated_is_not_ready(self, make_database: Callable[..., str]) -> None:
        async with client_of(database_url=make_database()) as client:
            assert (await client.get("/readyz")).status_code == 503

    async def test_an_exhausted_pool_is_503_in_bounded_time(self, history_dsn: str, database: Database) -> None:
        product = uuid4()
        await AddProduct(database)(product)
        one = {"database_pool_size": 1, "database_pool_timeout_seconds": 0.2, "database_statement_timeout_seconds": 60}
        async with client_of(database_url=history_dsn, **one) as client:
            async with database.transaction() as connection:
                await connection.execute(sa.text("LOCK TABLE chunks IN ACCESS EXCLUSIVE MODE"))
                stuck = asyncio.create_task(client.get(path(product, "trend")))
                while not await _waiting(database):  # noqa: ASYNC110 - the condition is the database's
                    await asyncio.sleep(0.01)
                assert (await client.get(path(product, "trend"))).status_code == 503
            assert (await stuck).status_code == 200

    async def test_a_connection_that_died_is_replaced(self, database: Database, client: httpx2.AsyncClient) -> None:
        product = uuid4()
        await AddProduct(database)(product)
        assert (await client.get(path(product, "trend"))).status_code == 200
        async with database.reading() as connection:
            await connection.execute(
                sa.text("""
                SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                WHERE application_name = 'price-history-serve' AND datname = current_database()
                """)
            )
        assert (await client.get(path(product, "trend"))).status_code == 200

    async def test_a_database_that_hangs_is_503_in_bounded_time_and_its_connection_is_given_up(
        self, private_postgres: PostgresServer
    ) -> None:
        migrate(private_postgres.dsn())
        one = {"database_pool_size": 1, "database_pool_timeout_seconds": 0.5, "database_statement_timeout_seconds": 1}
        async with client_of(database_url=private_postgres.dsn(), **one) as client:
            assert (await client.get(path(uuid4(), "trend"))).status_code == 404
            with closing(psycopg2.connect(private_postgres.dsn())) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'price-history-serve'")
                ((pid,),) = cursor.fetchall()
            os.kill(pid, signal.SIGSTOP)
            try:
                async with asyncio.timeout(30):  # it hangs until it is continued, below
                    assert (await client.get(path(uuid4(), "trend"))).status_code == 503
                    assert (await client.get(path(uuid4(), "trend"))).status_code == 404
            finally:
                os.kill(pid, signal.SIGCONT)


async def _waiting(database: Database) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with database.reading() as connection:
        return bool(await connection.scalar(sa.text(query)))


async def test_required_access_lets_in_who_knows_the_secret(history_dsn: str) -> None:
    secret = "between-the-services-0123"
    async with client_of(database_url=history_dsn, api_auth="required", price_history_token=secret) as client:
        for url in (path(uuid4(), "trend"), path(uuid4(), "history"), "/api/v1/anything"):
            assert (await client.get(url, headers={"Authorization": f"Bearer {secret}"})).status_code == 404
            for shown in ({}, {"Authorization": f"Bearer {secret}4"}, {"Authorization": secret}):
                answer = await client.get(url, headers=shown)
                assert (answer.status_code, answer.headers["content-type"]) == (401, PROBLEM)
                assert answer.headers["www-authenticate"] == "Bearer"
        assert (await client.get("/healthz")).status_code == 200


async def test_required_access_without_a_secret_lets_nobody_in_and_says_so(
    history_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with client_of(database_url=history_dsn, api_auth="required") as client:
        for shown in ("", "None", "agg_1_2"):
            answer = await client.get(path(uuid4(), "trend"), headers={"Authorization": f"Bearer {shown}"})
            assert answer.status_code == 401
        assert (await client.get("/healthz")).status_code == 200
    assert capsys.readouterr().out.count("PRICE_HISTORY_TOKEN") == 1


async def test_it_documents_and_measures_itself(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/docs")).status_code == 200
    document = (await client.get("/openapi.json")).json()
    assert set(document["paths"]) == {
        "/api/v1/products/{product_id}/trend",
        "/api/v1/products/{product_id}/offers/{offer_id}/trend",
        "/api/v1/products/{product_id}/history",
    }
    text = json.dumps(document)
    referred = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert referred <= set(document["components"]["schemas"])
    await client.get(path(uuid4(), "trend"))
    metrics = (await client.get("/metrics")).text
    assert 'route="/api/v1/products/{product_id}/trend",status="404"' in metrics


def answered_200() -> dict[str, float]:
    """How many requests under the API were answered 200, by route."""
    return {
        sample.labels["route"]: sample.value
        for metric in REQUEST_SECONDS.collect()
        for sample in metric.samples
        if sample.name.endswith("_count") and sample.labels["status"] == "200" and "/api/" in sample.labels["route"]
    }


@pytest.mark.timeout(300)
async def test_schemathesis_finds_nothing(history_dsn: str, database: Database, tmp_path: Path) -> None:
    product = uuid4()
    await observe(database, product, [("a", 1, 1)], [("a", 2, 1)])
    before = answered_200()
    # What a schema can't say of a request that it allows: this period ends before it begins.
    (tmp_path / "schemathesis.toml").write_text(
        f"""
        [checks.positive_data_acceptance]
        expected-statuses = ["2xx", "422"]
        [parameters]
        "path.product_id" = "{product}"
        "path.offer_id" = "a"
        """
    )
    async with served(history_dsn) as url:
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("schemathesis"),
            "run",
            f"{url}/openapi.json",
            *("--checks", "all", "--max-examples", "20", "--seed", "20261122", "--no-color"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
        )
        found, _ = await process.communicate()
    assert process.returncode == 0, found.decode()
    after = answered_200()
    assert len(after) == 3
    assert all(after[route] > before.get(route, 0) for route in after), "it was refused whatever it asked"
