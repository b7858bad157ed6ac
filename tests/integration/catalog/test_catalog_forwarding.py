"""Trends and history, forwarded to price-history."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from .conftest import UNKNOWN, Api, StandInHistory, serving, settings


@pytest.fixture
async def api(catalog_dsn: str, history: StandInHistory) -> AsyncIterator[Api]:
    async with serving(settings(catalog_dsn, price_history_url=history.url)) as served:
        yield served


async def test_the_request_is_passed_on_as_it_is(api: Api, history: StandInHistory) -> None:
    product = (await api.create())["id"]
    for path in (
        "/trend?period=24h&basis=best&x=%2F%20+%C3%A9",
        "/trend",
        "/history?from=2026-01-01T00:00:00%2B02:00&limit=x&cursor=a%3D%3D&from=2",
    ):
        assert (await api("GET", f"/products/{product}{path}")).status == 200
        asked, headers = history.asked[-1]
        assert asked == f"/api/v1/products/{product}{path}"
        assert headers["Product-Known"] == "true"
    await api("GET", f"/products/{product}/history", headers={"Accept": "text/csv;q=0.5"})
    assert history.asked[-1][1]["Accept"] == "text/csv;q=0.5"


@pytest.mark.parametrize(
    "offer_id", ["42", "a%2Fb", "%2F", "..%2F..%2Fadmin", "a%3Fb%23c", "%25", "%C5%99 %22".replace(" ", "%20"), "trend"]
)
async def test_any_offer_id_is_passed_on_encoded(api: Api, history: StandInHistory, offer_id: str) -> None:
    product = (await api.create())["id"]
    assert (await api("GET", f"/products/{product}/offers/{offer_id}/trend?period=1h")).status == 200
    assert history.asked[-1][0] == f"/api/v1/products/{product}/offers/{offer_id}/trend?period=1h"


@pytest.mark.parametrize("status", [200, 404, 503])
async def test_a_product_that_is_not_here_is_404_whatever_price_history_says(
    api: Api, history: StandInHistory, status: int
) -> None:
    history.answer = lambda _: web.json_response({}, status=status)
    product = (await api.create())["id"]
    await api("DELETE", f"/products/{product}")
    (await api("GET", f"/products/{product}/trend")).problem(404)


async def test_a_product_that_is_not_here_is_404_at_once_and_no_stream_is_begun_for_it(
    catalog_dsn: str, history: StandInHistory
) -> None:
    async def never(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    history.answer = never
    deadline = {"price_history_timeout_seconds": 600, "price_history_csv_timeout_seconds": 600}
    async with serving(settings(catalog_dsn, price_history_url=history.url, **deadline)) as api, asyncio.timeout(60):
        (await api("GET", f"/products/{UNKNOWN}/trend")).problem(404)
        (await api("GET", f"/products/{UNKNOWN}/history", headers={"Accept": "text/CSV"})).problem(404)
    assert not [asked for asked, _ in history.asked if asked.endswith("/history")]


@pytest.mark.parametrize("status", [200, 404, 422])
async def test_answers_are_passed_on(api: Api, history: StandInHistory, status: int) -> None:
    product = (await api.create())["id"]
    history.answer = lambda _: web.Response(body=b'{"a": 1}', status=status, content_type="application/x+json")
    reply = await api("GET", f"/products/{product}/trend")
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (status, b'{"a": 1}', "application/x+json")


@pytest.mark.parametrize("status", [201, 302, 400, 401, 403, 429, 500, 502, 503])
async def test_other_answers_are_503(api: Api, history: StandInHistory, status: int) -> None:
    product = (await api.create())["id"]
    history.answer = lambda _: web.Response(status=status, headers={"Location": "/elsewhere"})
    reply = await api("GET", f"/products/{product}/trend")
    reply.problem(503)
    assert int(reply.headers["Retry-After"]) >= 1
    assert len(history.asked) == 1


async def test_an_absent_price_history_is_503_and_leaves_the_catalog_alone(catalog_dsn: str) -> None:
    async with serving(settings(catalog_dsn)) as api:
        product = (await api.create())["id"]
        for path in ("trend", "history", "offers/1/trend"):
            reply = await api("GET", f"/products/{product}/{path}")
            reply.problem(503)
            assert "Retry-After" in reply.headers
        assert (await api("GET", f"/products/{product}")).status == 200


@pytest.mark.parametrize("dribbles", [False, True])
async def test_a_slow_price_history_is_503_at_the_deadline(
    catalog_dsn: str, history: StandInHistory, *, dribbles: bool
) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        if dribbles:
            await response.prepare(request)
        while True:
            if dribbles:
                await response.write(b" ")
            await asyncio.sleep(0.05)

    history.answer = slow
    limits = settings(catalog_dsn, price_history_url=history.url, price_history_timeout_seconds=0.3)
    async with serving(limits) as api:
        product = (await api.create())["id"]
        async with asyncio.timeout(30):
            (await api("GET", f"/products/{product}/trend")).problem(503)


async def test_csv_streams_through_beyond_the_deadline_of_json(catalog_dsn: str, history: StandInHistory) -> None:
    release = asyncio.Event()

    async def rows(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/csv; charset=utf-8"})
        await response.prepare(request)
        await response.write(b"at,offer_id,price,items_in_stock\r\n")
        await release.wait()
        await response.write(b"x" * 3_000_000)
        return response

    history.answer = rows
    limits = settings(catalog_dsn, price_history_url=history.url, price_history_timeout_seconds=0.2)
    async with serving(limits) as api:
        product = (await api.create())["id"]
        url = f"{api.url}/api/v1/products/{product}/history"
        async with api.session.get(url, headers={"Accept": "text/csv"}) as response:
            assert response.content_type == "text/csv"
            assert await response.content.readline() == b"at,offer_id,price,items_in_stock\r\n"
            asyncio.get_running_loop().call_later(0.4, release.set)
            assert len(await response.read()) == 3_000_000


async def test_csv_that_breaks_off_is_not_taken_for_whole(api: Api, history: StandInHistory) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/csv"})
        await response.prepare(request)
        await response.write(b"at\r\n")
        assert request.transport is not None
        request.transport.abort()
        return response

    history.answer = broken
    product = (await api.create())["id"]
    with pytest.raises(Exception, match=r"payload|disconnected|reset"):
        await api("GET", f"/products/{product}/history", headers={"Accept": "text/csv"})


async def test_connections_are_shared(api: Api, history: StandInHistory) -> None:
    product = (await api.create())["id"]
    peers: set[Any] = set()

    def note(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.json_response({})

    history.answer = note
    for _ in range(5):
        await api("GET", f"/products/{product}/trend")
    assert len(peers) == 1
