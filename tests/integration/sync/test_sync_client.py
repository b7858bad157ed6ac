"""What each answer on the wire means to the client, and that no answer costs more than it may."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import web

from offers_simulator.launch import LaunchedSimulator, launched
from offers_sync.domain.answers import (
    BadAnswer,
    Granted,
    Listed,
    NotRegistered,
    Refused,
    Registered,
    SameBody,
    StillValid,
    Throttled,
    TokenRejected,
    Unavailable,
)
from offers_sync.domain.products import Product
from offers_sync.offers_ms.client import OffersClient
from offers_sync.offers_ms.http import HttpCaller

TIMEOUT = 60.0
SHORT_TIMEOUT = 2.0


@dataclass
class Line:
    """The client at one end, the simulator at the other, and a registered product."""

    client: OffersClient
    simulator: LaunchedSimulator
    token: str
    product: UUID

    def fault(self, kind: str, endpoint: str = "offers", **parameters: Any) -> None:
        self.simulator.admin("POST", "/faults", {"kind": kind, "endpoint": endpoint, **parameters})

    async def offers(self) -> Any:
        return await self.client.offers(self.token, self.product)


@pytest.fixture(scope="module")
def simulator() -> Any:
    with launched() as simulator:
        yield simulator


@pytest.fixture
async def line(simulator: LaunchedSimulator) -> AsyncIterator[Line]:
    simulator.admin("POST", "/reset")
    async with HttpCaller(TIMEOUT, 4) as http:
        client = OffersClient(http, simulator.base_url)
        granted = await client.authenticate(None)
        assert isinstance(granted, Granted)
        assert granted.lifetime_seconds is None
        product = uuid4()
        assert await client.register(granted.token, Product(product, 1, "Sekačka", "Žádná")) == Registered()
        simulator.admin("PUT", f"/products/{product}/offers", [{"id": 7, "price": 1, "items_in_stock": 1}])
        yield Line(client, simulator, granted.token, product)


async def test_a_body_that_is_known_is_not_read_again(line: Line) -> None:
    first = await line.offers()
    known = first.offer_list.body_digest
    assert await line.client.offers(line.token, line.product, known) == SameBody()
    line.simulator.admin("PUT", f"/products/{line.product}/offers", [{"price": 1, "id": "7", "items_in_stock": 1}])
    again = await line.client.offers(line.token, line.product, known)
    assert (again.offer_list.digest, again.offer_list.body_digest == known) == (first.offer_list.digest, False)  # type: ignore[union-attr]


async def test_the_happy_path(line: Line) -> None:
    answer = await line.offers()
    assert isinstance(answer, Listed)
    assert [(offer.id, offer.price) for offer in answer.offer_list.offers] == [("7", 1)]
    assert await line.client.offers(line.token, uuid4()) == NotRegistered()
    assert await line.client.offers("wrong", line.product) == TokenRejected()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "status", "status": 401}, TokenRejected()),
        ({"kind": "status", "status": 403}, BadAnswer("status_403")),
        ({"kind": "status", "status": 204}, BadAnswer("status_204")),
        ({"kind": "status", "status": 429}, Throttled(None)),
        ({"kind": "status", "status": 429, "retry_after": 7}, Throttled(7.0)),
        ({"kind": "status", "status": 429, "retry_after": "soon"}, Throttled(None)),
        ({"kind": "status", "status": 429, "retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, Throttled(0.0)),
        ({"kind": "status", "status": 503, "retry_after": 3}, Unavailable("status_503", 3.0)),
        ({"kind": "redirect", "location": "http://127.0.0.1:1/"}, BadAnswer("status_302")),
        ({"kind": "content_type"}, BadAnswer("content_type")),
        ({"kind": "truncated_json"}, BadAnswer("malformed_JSON")),
        ({"kind": "deep_nesting"}, BadAnswer("malformed_JSON")),
        ({"kind": "object"}, BadAnswer("not_a_list")),
        ({"kind": "price", "price": -1}, BadAnswer("no_valid_row")),
        ({"kind": "huge_body"}, BadAnswer("too_large")),
        ({"kind": "gzip_bomb"}, BadAnswer("too_large")),
    ],
)
async def test_what_an_answer_to_a_poll_means(line: Line, fault: dict[str, Any], expected: object) -> None:
    line.fault(**fault)
    assert await line.offers() == expected


@pytest.mark.parametrize("kind", ["black_hole", "drip"])
async def test_an_answer_that_takes_too_long_is_given_up(line: Line, kind: str) -> None:
    line.fault(kind)
    async with HttpCaller(SHORT_TIMEOUT, 4) as http:
        begun = time.monotonic()
        answer = await OffersClient(http, line.simulator.base_url).offers(line.token, line.product)
    assert answer == Unavailable("timeout")
    assert SHORT_TIMEOUT - 0.1 < time.monotonic() - begun < SHORT_TIMEOUT + 15, "all of it would take much longer"


@pytest.mark.parametrize("at", ["start", "headers", "body"])
async def test_a_broken_connection_is_no_answer(line: Line, at: str) -> None:
    line.fault("reset", at=at)
    assert isinstance(await line.offers(), Unavailable)


async def test_ten_thousand_offers_are_read(line: Line) -> None:
    line.fault("many_offers")
    answer = await line.offers()
    assert len(answer.offer_list.offers) == 10_000


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"code": "BAD_REQUEST", "msg": "too\x00 long"}, Refused("400 too long")),
        (422, {"detail": [{"loc": ["name"], "msg": "missing"}]}, Refused('422 [{"loc": ["name"], "msg": "missing"}]')),
        (400, "x" * 10, Refused("400")),
        (409, {}, Registered()),
        (200, {}, Registered()),
        (403, {}, BadAnswer("status_403")),
        (500, {}, Unavailable("status_500")),
        (401, {}, TokenRejected()),
    ],
)
async def test_what_an_answer_to_a_registration_means(line: Line, status: int, body: Any, expected: object) -> None:
    line.fault("status", "register", status=status, body=body)
    assert await line.client.register(line.token, Product(uuid4(), 1, "n", "")) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"access_token": "a b"}', BadAnswer("no_token")),
        ('{"access_token": 17}', BadAnswer("no_token")),
        ("[]", BadAnswer("no_token")),
        ("<html>", BadAnswer("no_token")),
        ('{"access_token": "abc"}', Granted("abc", None)),
    ],
)
async def test_what_an_answer_to_asking_for_a_token_means(line: Line, text: str, expected: object) -> None:
    line.fault("body", "auth", text=text)
    assert await line.client.authenticate(None) == expected
    line.simulator.admin("DELETE", "/faults")
    line.fault("status", "auth", status=400)
    assert await line.client.authenticate("refresh") == StillValid()


async def test_the_request_is_as_documented_and_no_redirect_is_followed() -> None:
    seen: list[tuple[str, str, dict[str, str], bytes]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, dict(request.headers), await request.read()))
        return web.Response(status=307, headers={"Location": f"http://{request.host}/elsewhere"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        async with HttpCaller(TIMEOUT, 1) as http:
            client = OffersClient(http, f"http://127.0.0.1:{port}/a/b")
            product = uuid4()
            await client.offers("secret", product)
            await client.register("secret", Product(product, 1, "Sekačka", ""))
            await client.authenticate(None)
    finally:
        await runner.cleanup()
    assert [(method, path) for method, path, _, _ in seen] == [
        ("GET", f"/a/b/products/{product}/offers"),
        ("POST", "/a/b/products/register"),
        ("POST", "/a/b/auth"),
    ]
    (_, _, poll, _), (_, _, register, body), (_, _, auth, nothing) = seen
    assert poll["Bearer"] == register["Bearer"] == "secret"
    assert register["Content-Type"] == "application/json"
    assert "Authorization" not in poll
    assert body.decode() == f'{{"id": "{product}", "name": "Seka\\u010dka", "description": ""}}'
    assert "Bearer" not in auth
    assert "Content-Type" not in auth
    assert nothing == b""
