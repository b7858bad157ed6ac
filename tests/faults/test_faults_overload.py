"""More requests than the API can answer: some are answered, the others told to come again, and nothing grows."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
import pytest
from tests.faults.laboratory.laboratory import Laboratory
from tests.faults.laboratory.report import Report

from devstack.linux_processes import megabytes

pytestmark = pytest.mark.thorough

CLIENTS = 600
SECONDS = 6.0
SLOWEST_SECONDS = 15.0
GROWTH_MEGABYTES = 100
PATHS = ("/products?limit=100", "/products?q=load&sort=name", "/products?sort=-best_price")
SERVER = "catalog-api-serve"
STALLED = 100
BATCH = (
    b"POST /api/v1/products/batch HTTP/1.1\r\nHost: a\r\n"
    b"Content-Type: application/json\r\nContent-Length: 8388608\r\n\r\n"
)


class Answered(NamedTuple):
    status: int
    seconds: float
    told_when: bool


@pytest.mark.fault("OVERLOAD")
@pytest.mark.timeout(180)
def test_more_requests_than_the_api_can_answer(laboratory: Laboratory, report: Report) -> None:
    with laboratory.load(31, rate=10, timeout_seconds=SLOWEST_SECONDS) as load:
        laboratory.until(lambda: load.count("accepted") > 20, 30, "load")
        before = megabytes(laboratory.pid(SERVER))
        with stalled_batches(laboratory.catalog_url):
            answers = asyncio.run(overload(f"{laboratory.catalog_url}/api/v1"))
        grown = megabytes(laboratory.pid(SERVER)) - before
        report.recovered(laboratory.recovery_seconds(within=15))
    report.loaded(load)
    statuses = Counter(answer.status for answer in answers)
    slowest = max(answer.seconds for answer in answers)
    report.note(
        f"{CLIENTS} clients and {STALLED} batches that stall beside it: {dict(statuses)}, "
        f"slowest {slowest:.1f} s, memory +{grown:.0f} MB"
    )
    assert statuses.keys() == {200, 503}
    assert all(answer.told_when for answer in answers if answer.status == 503)
    assert slowest < SLOWEST_SECONDS
    assert grown < GROWTH_MEGABYTES
    report.balanced(laboratory.drain(load))
    laboratory.clear(load)


@contextmanager
def stalled_batches(url: str) -> Iterator[None]:
    """Clients that announce a batch of 8 MiB, send some of it and then nothing."""
    address = urlsplit(url)
    with ExitStack() as clients:
        for _ in range(STALLED):
            client = clients.enter_context(socket.create_connection((address.hostname, address.port), timeout=5))
            client.sendall(BATCH + b" " * 1024)
        yield


async def overload(api: str) -> list[Answered]:
    """What clients were answered, each of whom asks again as soon as it has an answer."""
    answers: list[Answered] = []
    ends_at = time.monotonic() + SECONDS

    async def client(number: int) -> None:
        while time.monotonic() < ends_at:
            began = time.monotonic()
            async with session.get(f"{api}{PATHS[number % len(PATHS)]}") as response:
                await response.read()
            answers.append(Answered(response.status, time.monotonic() - began, "Retry-After" in response.headers))

    timeout = aiohttp.ClientTimeout(total=2 * SLOWEST_SECONDS)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return answers
