"""What travels over the network, in bytes: a poll and its answer, and a product in an event."""

import socket
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import uuid4

from aggregator_contracts.envelope import MAX_TOGETHER
from bench.events import bodies, observation
from bench.system import System

END_OF_HEAD = b"\r\n\r\n"


def poll_bytes(system: System, product_id: str) -> int:
    """Request and answer of one poll, as HTTP has them."""
    url = urlsplit(system.offers_base_url)
    request = (
        f"GET {url.path}/products/{product_id}/offers HTTP/1.1\r\nHost: {url.netloc}\r\nAccept: application/json\r\n"
        f"Accept-Encoding: identity\r\nUser-Agent: product-aggregator\r\nBearer: {system.token()}\r\n\r\n"
    ).encode()
    with socket.create_connection((url.hostname or "", url.port or 80), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while END_OF_HEAD not in answer or len(answer) < _whole(answer):
            answer += connection.recv(65_536)
    return len(request) + len(answer)


def _whole(answer: bytes) -> int:
    head, _, _ = answer.partition(END_OF_HEAD)
    [length] = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(head) + len(END_OF_HEAD) + int(length.partition(b":")[2])


def event_bytes() -> float:
    """One product's share of a full `OffersUpdated`, five offers each."""
    now = datetime.now(UTC)
    [body] = bodies([observation(uuid4(), 1, now) for _ in range(MAX_TOGETHER)])
    return len(body) / MAX_TOGETHER
