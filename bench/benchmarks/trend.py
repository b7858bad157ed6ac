"""How long a trend takes next to reading one product, and whether it takes longer as the database grows."""

import asyncio
import http.client
import time
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from bench.history import resting
from bench.outcome import Figure, Outcome, Target
from bench.past import Past
from bench.sizes import Sizes
from bench.system import OFFERS, BenchmarkFailed, Say, System, running

PERIODS: Final = {"24 h": "24h", "30 d": "30d", "1 y": "P365D"}
PRODUCT: Final = "product"
#: Requests of each kind in a round, one kind after the other in turn.
REQUESTS: Final = 40
#: Of how many products the other changes are, for each change of a million.
OTHERS_FOR_A_MILLION: Final = 500
MILLI: Final = 1e3

Latencies = dict[str, list[float]]


def measure(sizes: Sizes, say: Say) -> Outcome:
    """Read with few and with many changes of other products in the database."""
    with running(say) as system:
        system.stack.stop_process("offers-sync-work")
        system.create_products(1)
        product_id = UUID(system.product_ids()[0])
        ends = datetime.now(UTC).replace(second=0, microsecond=0)
        begins = ends - timedelta(days=sizes.trend_days)
        asyncio.run(_grow(system, (begins, ends), [product_id], sizes.trend_changes))
        few = _read(system, product_id, sizes.rounds)
        asyncio.run(_grow(system, (begins, ends), [], sizes.trend_changes_grown - sizes.trend_changes))
        many = _read(system, product_id, sizes.rounds)
    figures = []
    for name in PERIODS:
        of_product = Target("ratio", "under", 3.0)
        figures.append(
            Figure(f"{name}, {_size(sizes.trend_changes)}", "ms", few[name], few[PRODUCT], "GET", of_product)
        )
    for name in PERIODS:
        then, now = (
            [trend / product for trend, product in zip(found[name], found[PRODUCT], strict=True)]
            for found in (few, many)
        )
        growth = Target("ratio", "at most", 1.3)
        size = _size(sizes.trend_changes_grown)
        figures.append(Figure(f"{name}, {size}", "times a GET", now, then, _size(sizes.trend_changes), growth))
    return Outcome(
        "trend",
        "Trends",
        figures,
        [
            f"A product whose five offers all changed every minute for {sizes.trend_days} days",
            "Wall-clock time of one request after the other through catalog-api, each next to GET /products/{id}",
        ],
    )


def _size(changes: int) -> str:
    return f"{changes / 1e6:g} M changes"


async def _grow(system: System, span: tuple[datetime, datetime], every_minute: list[UUID], changes: int) -> None:
    system.say(f"writing a past with {changes:,} price changes of other products")
    others = [uuid4() for _ in range(max(1, changes * OTHERS_FOR_A_MILLION // 10**6))]
    past = Past(system.databases["price_history"], *span)
    try:
        await past.make_partitions()
        await past.write(every_minute, others, changes // OFFERS)
    finally:
        await past.close()
    resting(system)
    system.query("price_history", "VACUUM ANALYZE")
    system.query("price_history", "CHECKPOINT")


def _read(system: System, product_id: UUID, rounds: int) -> Latencies:
    """Median latency in ms of each kind of request in each round."""
    path = f"/api/v1/products/{product_id}"
    paths = {PRODUCT: path, **{name: f"{path}/trend?period={period}" for name, period in PERIODS.items()}}
    url = urlsplit(system.catalog_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=60)
    found: Latencies = {name: [] for name in paths}
    for number in range(rounds):
        seconds: Latencies = {name: [] for name in paths}
        for _ in range(REQUESTS):
            for name, asked in paths.items():
                seconds[name].append(_get(connection, asked))
        for name, each in seconds.items():
            found[name].append(median(each) * MILLI)
        system.say(f"round {number + 1}: " + ", ".join(f"{name} {each[-1]:.2f} ms" for name, each in found.items()))
    connection.close()
    return found


def _get(connection: http.client.HTTPConnection, path: str) -> float:
    began = time.perf_counter()
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    seconds = time.perf_counter() - began
    if response.status != http.client.OK:
        raise BenchmarkFailed(f"GET {path}: {response.status} {body[:200]!r}")
    return seconds
