"""Every misbehaviour as a client meets it on the wire: a real process, real sockets."""

import asyncio
import json
import socket
import struct
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from offers_simulator.launch import LaunchedSimulator, launched

ROWS = [{"id": 7, "price": 100, "items_in_stock": 1}, {"id": 8, "price": 200, "items_in_stock": 2}]
ABSENT = 0.3
"""Seconds in which an answer that is not held back would have come many times over."""


@dataclass(frozen=True)
class Client:
    simulator: LaunchedSimulator
    session: aiohttp.ClientSession
    product: str

    def fault(self, kind: str, endpoint: str = "offers", **parameters: Any) -> None:
        self.simulator.admin("POST", "/faults", {"kind": kind, "endpoint": endpoint, **parameters})

    def offers(self) -> Any:
        return self.session.get(f"{self.simulator.base_url}/products/{self.product}/offers", allow_redirects=False)

    async def json(self) -> Any:
        async with self.offers() as answer:
            return await answer.json()

    def raw(self) -> socket.socket:
        """A socket on which the offers have been asked for."""
        url = urlsplit(self.simulator.base_url)
        raw = socket.create_connection((str(url.hostname), int(url.port or 0)), timeout=30)
        token = self.session.headers["Bearer"]
        path = f"{url.path}/products/{self.product}/offers"
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nBearer: {token}\r\n\r\n".encode())
        return raw


@pytest.fixture(scope="module")
def simulator() -> Iterator[LaunchedSimulator]:
    with launched() as simulator:
        yield simulator


@pytest.fixture
async def client(simulator: LaunchedSimulator) -> AsyncIterator[Client]:
    simulator.admin("POST", "/reset")
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{simulator.base_url}/auth") as answer:
            session.headers["Bearer"] = (await answer.json())["access_token"]
        product = str(uuid.uuid4())
        body = {"id": product, "name": "n", "description": "d"}
        async with session.post(f"{simulator.base_url}/products/register", json=body) as answer:
            assert answer.status == 201
        simulator.admin("PUT", f"/products/{product}/offers", ROWS)
        yield Client(simulator, session, product)


async def test_it_behaves_unless_told_otherwise(client: Client) -> None:
    assert await client.json() == ROWS


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 502, 503, 599])
async def test_any_status_for_so_many_calls(client: Client, status: int) -> None:
    client.fault("status", status=status, times=2)
    for _ in range(2):
        async with client.offers() as answer:
            assert answer.status == status
            assert "Retry-After" not in answer.headers
    assert await client.json() == ROWS


@pytest.mark.parametrize("retry_after", [7, "Wed, 21 Oct 2026 07:28:00 GMT"])
async def test_retry_after(client: Client, retry_after: int | str) -> None:
    client.fault("status", status=429, retry_after=retry_after, body={"slow": "down"})
    async with client.offers() as answer:
        assert answer.headers["Retry-After"] == str(retry_after)
        assert await answer.json() == {"slow": "down"}


async def test_auth_and_register_misbehave_too(client: Client) -> None:
    client.fault("status", "auth", status=500)
    client.fault("status", "register", status=503, times=1, applied=True)
    body = {"id": str(uuid.uuid4()), "name": "n", "description": "d"}
    async with client.session.post(f"{client.simulator.base_url}/auth") as answer:
        assert answer.status == 500
    async with client.session.post(f"{client.simulator.base_url}/products/register", json=body) as answer:
        assert answer.status == 503
    registered = client.simulator.admin("GET", f"/products/{body['id']}/offers")["registered"]
    assert registered, "the work was done, only the answer was lost"


@pytest.mark.parametrize(("at", "seen"), [("start", 0), ("headers", 1), ("body", 2)])
def test_reset(client: Client, at: str, seen: int) -> None:
    client.fault("reset", at=at)
    received = b""

    def receive_all() -> None:
        nonlocal received
        while data := raw.recv(10_000):
            received += data

    with closing(client.raw()) as raw, pytest.raises(ConnectionResetError):
        receive_all()
    head, _, body = received.partition(b"\r\n\r\n")
    assert bool(head) == (seen > 0)
    assert bool(body) == (seen > 1)
    assert len(body) < len(json.dumps(ROWS, separators=(",", ":")))


async def test_black_hole(client: Client) -> None:
    def calls() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.simulator.admin(
            "GET", f"/ledger?product={client.product}&endpoint=offers"
        )["calls"]
        return found

    client.fault("black_hole", times=1)
    asking = asyncio.create_task(client.json())
    async with asyncio.timeout(30):
        while not calls():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.01)
    answered, _ = await asyncio.wait([asking], timeout=ABSENT)
    assert not answered
    asking.cancel()
    assert await client.json() == ROWS, "other connections go on"
    call = calls()[0]
    assert (call["status"], call["fault"]) == (None, "black_hole")


def test_a_black_hole_forgets_a_client_that_has_left(client: Client) -> None:
    def open_files() -> int:
        with closing(socket.create_connection((host, port), timeout=30)) as raw:
            raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            text = b"".join(iter(lambda: raw.recv(65_536), b"")).decode()
        return int(float(next(line.split()[1] for line in text.splitlines() if line.startswith("process_open_fds"))))

    url = urlsplit(client.simulator.base_url)
    host, port = str(url.hostname), int(url.port or 0)
    before = open_files()
    client.fault("black_hole")
    sockets = [client.raw() for _ in range(20)]
    deadline = time.monotonic() + 30
    while open_files() < before + 20 and time.monotonic() < deadline:
        pass
    assert open_files() >= before + 20
    for raw in sockets:
        raw.close()
    while open_files() > before and time.monotonic() < deadline:
        pass
    assert open_files() <= before


async def test_drip(client: Client) -> None:
    client.fault("drip", bytes_per_second=25)
    started = time.monotonic()
    async with client.offers() as answer:
        headers_after = time.monotonic() - started
        sizes = [len(piece) async for piece in answer.content.iter_any()]
    body_after = time.monotonic() - started
    assert headers_after < body_after / 2, "headers come at once"
    # A client that is held up finds several.
    assert len(sizes) > sum(sizes) / 2, "the body byte by byte"
    assert body_after > sum(sizes) / 25


async def test_drip_is_one_byte_a_second_by_default(client: Client) -> None:
    client.fault("drip")
    started = time.monotonic()
    async with client.offers() as answer:
        assert await answer.content.readexactly(2) == b"[{"
        assert 1.9 < time.monotonic() - started < 10


async def test_delay(client: Client) -> None:
    client.fault("delay", delay_seconds=0.25, times=1)
    client.fault("status", status=503, delay_seconds=0.25, times=1)
    started = time.monotonic()
    assert await client.json() == ROWS
    assert time.monotonic() - started >= 0.25
    async with client.offers() as answer:
        assert answer.status == 503
    assert time.monotonic() - started >= 0.5


async def test_answers_that_are_not_the_json_they_should_be(client: Client) -> None:
    client.fault("truncated_json", times=1)
    client.fault("nan", times=1)
    client.fault("body", text="<html>", times=1)
    for _ in range(3):
        async with client.offers() as answer:
            assert (answer.status, answer.content_type) == (200, "application/json")
            text = await answer.text()
        with pytest.raises(ValueError, match=r"Expecting|delimiter|NaN|property"):
            json.loads(text, parse_constant=lambda name: int(name + "NaN"))
    client.fault("object", times=1)
    assert await client.json() == {"offers": ROWS, "total": 2}


async def test_deep_nesting(client: Client) -> None:
    client.fault("deep_nesting", depth=100_000)
    async with client.offers() as answer:
        text = await answer.text()
    assert text == "[" * 100_000 + "]" * 100_000


async def test_wrong_content_type(client: Client) -> None:
    client.fault("content_type")
    async with client.offers() as answer:
        assert answer.content_type == "text/html"
        assert json.loads(await answer.read()) == ROWS


async def test_redirect(client: Client) -> None:
    client.fault("redirect", location="http://elsewhere.invalid/offers", status=307)
    async with client.offers() as answer:
        assert answer.status == 307
        assert answer.headers["Location"] == "http://elsewhere.invalid/offers"


async def test_exact_bytes_as_a_body(client: Client) -> None:
    client.fault("body", base64="/wAB", status=203, content_type="application/octet-stream")
    async with client.offers() as answer:
        assert (answer.status, answer.content_type) == (203, "application/octet-stream")
        assert await answer.read() == b"\xff\x00\x01"


@pytest.mark.parametrize("price", ["-1", "9223372036854775808", "1e400", "10.5", '"12"', "true", "null"])
async def test_bad_prices(client: Client, price: str) -> None:
    fault = f'{{"kind": "price", "endpoint": "offers", "price": {price}}}'.encode()
    client.simulator.admin("POST", "/faults", fault)
    async with client.offers() as answer:
        assert f'"price":{price},' in await answer.text()


async def test_other_spoiled_lists(client: Client) -> None:
    client.fault("missing_field", field="price", times=1)
    assert await client.json() == [{"id": 7, "items_in_stock": 1}, ROWS[1]]
    client.fault("duplicate_ids", times=1)
    assert [row["id"] for row in await client.json()] == [7, 8, 7]
    client.fault("many_offers", times=1)
    assert len(await client.json()) == 10_000
    client.fault("offer_ids", style="uuids", times=1)
    assert all(uuid.UUID(row["id"]) for row in await client.json())
    client.fault("empty", times=1)
    assert await client.json() == []


async def test_huge_body_is_a_valid_list_of_200_megabytes_and_costs_no_memory(client: Client) -> None:
    client.fault("huge_body")
    size, last = 0, b""
    async with client.session.get(f"{client.simulator.origin}/metrics") as answer:
        before = resident(await answer.text())
    async with client.offers() as answer:
        announced = answer.content_length
        first = await answer.content.readexactly(43)
        async for piece in answer.content.iter_any():
            size, last = size + len(piece), piece
    assert first.startswith(b'[{"id":1,"price":10000,"items_in_stock":5},')
    assert last.endswith(b"]")
    assert announced == size + 43 >= 200_000_000
    async with client.session.get(f"{client.simulator.origin}/metrics") as answer:
        assert resident(await answer.text()) - before < 50_000_000


async def test_gzip_bomb_is_small_on_the_wire_and_expands_to_a_valid_list(client: Client) -> None:
    client.fault("gzip_bomb", megabytes=20, times=1)
    async with client.offers() as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert (answer.content_length or 0) < 20_000_000 / 200
        body = await answer.read()
    assert len(body) > 20_000_000
    assert json.loads(body)[-1] == {"id": 1, "price": 10_000, "items_in_stock": 5}


async def test_a_client_that_leaves_in_the_middle_of_a_huge_body_harms_nobody(client: Client) -> None:
    client.fault("huge_body", times=1)
    with closing(client.raw()) as raw:
        assert raw.recv(1000)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert await client.json() == ROWS


async def test_faults_on_one_connection_are_answered_in_order(client: Client) -> None:
    client.fault("delay", delay_seconds=0.1, times=1)
    with closing(client.raw()) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: raw.recv(65_536), b""))
    assert 0 < text.index(b'"price"') < text.index(b'"alive"')


async def test_connection_refused_is_the_process_being_stopped() -> None:
    with launched() as simulator:
        simulator.stop()
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(simulator.base_url)


def resident(metrics: str) -> float:
    return next(
        float(line.split()[1]) for line in metrics.splitlines() if line.startswith("process_resident_memory_bytes ")
    )
