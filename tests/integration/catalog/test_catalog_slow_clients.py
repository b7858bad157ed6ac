"""Clients that do not read what they asked for, or do not send what they announced, take nothing from the others."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from tests.integration.processes import eventually

from .conftest import PRODUCT, Api, StandInHistory, serving, settings

CSV = {"Accept": "text/csv"}
STREAMS = 3
SEND_SECONDS = 6.0
"""Long enough for all that is to be seen meanwhile."""
ESTABLISHED = "01"
"""In /proc/net/tcp."""


@contextlib.contextmanager
def silent_clients(api: Api, count: int, request: bytes) -> Iterator[list[socket.socket]]:
    """Clients that send these bytes, and then neither send nor read."""
    address = urlsplit(api.url)
    with contextlib.ExitStack() as sockets:
        clients = []
        for _ in range(count):
            client = sockets.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((address.hostname, address.port))
            client.sendall(request)
            clients.append(client)
        yield clients


async def test_readers_that_stall_are_cut_off_and_trends_go_on_meanwhile(
    catalog_dsn: str, history: StandInHistory
) -> None:
    broken_off: list[str] = []

    async def without_end(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/csv"})
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        except ConnectionError:
            broken_off.append(request.path)
            raise

    history.answer = lambda request: (
        without_end(request) if request.path.endswith("/history") else web.json_response({"prices": []})
    )
    limits = settings(
        catalog_dsn, price_history_url=history.url, http_max_csv_in_flight=STREAMS, http_send_seconds=SEND_SECONDS
    )
    async with serving(limits) as api:
        product = (await api.create())["id"]
        path = f"/products/{product}/history"

        async def all_stream() -> bool:
            return len(history.asked) == STREAMS

        began = time.monotonic()
        with silent_clients(
            api, STREAMS, f"GET /api/v1{path} HTTP/1.1\r\nHost: a\r\nAccept: text/csv\r\n\r\n".encode()
        ):
            await eventually(all_stream)
            one_more = await api("GET", path, headers=CSV)
            one_more.problem(503)
            assert "Retry-After" in one_more.headers
            assert (await api("GET", f"/products/{product}/trend")).status == 200

            async def all_cut_off() -> bool:
                assert (await api("GET", f"/products/{product}/trend")).status == 200
                return len(broken_off) == STREAMS

            await eventually(all_cut_off)
            assert time.monotonic() - began >= SEND_SECONDS
            history.answer = lambda _: web.Response(text="at\r\n", content_type="text/csv")
            assert (await api("GET", path, headers=CSV)).body == b"at\r\n"


def is_served(client: socket.socket) -> bool:
    """Whether the server's end of a client's connection is open."""
    end = f":{client.getsockname()[1]:04X}"
    rows = (line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:])
    return any(remote.endswith(end) and state == ESTABLISHED for _, _, remote, state, *_ in rows)


async def test_an_answer_that_waits_in_whole_does_not_keep_its_connection(catalog_dsn: str) -> None:
    body = json.dumps({"items": [PRODUCT | {"description": "x" * 10_000}] * 800}).encode()
    head = (
        "POST /api/v1/products/batch HTTP/1.1\r\nHost: a\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    async with serving(settings(catalog_dsn, http_send_seconds=SEND_SECONDS)) as api:
        with silent_clients(api, 1, head.encode()) as [client]:
            client.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(client, body)
            assert is_served(client)

            async def dropped() -> bool:
                return not is_served(client)

            await eventually(dropped)


async def test_batches_that_do_not_arrive_hold_up_nothing_else(catalog_dsn: str) -> None:
    limits = settings(catalog_dsn, http_max_batches_in_flight=2, http_body_seconds=SEND_SECONDS)
    batch = {"items": [PRODUCT]}
    async with serving(limits) as api:

        async def refused() -> bool:
            reply = await api("POST", "/products/batch", json=batch)
            return reply.status == 503 and "Retry-After" in reply.headers

        async def taken() -> bool:
            return (await api("POST", "/products/batch", json=batch)).status == 200

        announced = (
            b"POST /api/v1/products/batch HTTP/1.1\r\nHost: a\r\n"
            b"Content-Type: application/json\r\nContent-Length: 8000000\r\n\r\n{"
        )
        with silent_clients(api, 2, announced):
            await eventually(refused)
            await api.create()
            await eventually(taken)
