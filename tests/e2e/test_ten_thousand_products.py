"""Ten thousand products at once: all registered, all polled, and no process of ours grows large."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from devstack.conditions import wait_until
from devstack.linux_processes import peak_megabytes
from devstack.settings import StackSettings
from devstack.stack import Stack

PRODUCTS = 10_000
BATCH = 1000
INTERVAL = 10
MEGABYTES_AT_MOST = 250
OURS = ("catalog-api", "offers-sync", "price-history")

Json = dict[str, Any]


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Json]:
    settings = StackSettings.from_environment(
        {
            "STACK_DIR": str(tmp_path_factory.mktemp("stack")),
            **dict.fromkeys(("CATALOG_PORT", "PRICE_HISTORY_PORT", "SIMULATOR_PORT", "RABBITMQ_PORT"), "0"),
            "OFFERS_POLL_INTERVAL_SECONDS": str(INTERVAL),
            "SIMULATOR_TICK_SECONDS": "60",
            "DEMO": "0",
        }
    )
    with Stack(settings) as stack:
        yield json.loads((Path(stack.settings.folder) / "stack.json").read_text())


def call(url: str, body: Json | None = None) -> Json:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own server
        answered: Json = json.load(answer)
        return answered


def all_products(catalog_url: str) -> list[Json]:
    products: list[Json] = []
    cursor = ""
    while True:
        page = call(f"{catalog_url}/api/v1/products?limit=100{cursor}")
        products += page["items"]
        if page["next_cursor"] is None:
            return products
        cursor = f"&cursor={page['next_cursor']}"


def polled_products(database: psycopg2.extensions.connection) -> int:
    with database, database.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM products JOIN product_offers ON product_id = id"
            " WHERE registration = 'registered' AND observed_at IS NOT NULL"
        )
        [(count,)] = cursor.fetchall()
        return int(count)


@pytest.mark.timeout(400)
def test_ten_thousand_products_are_registered_and_polled_in_little_memory(description: Json) -> None:
    catalog_url = description["catalog_url"]
    for first in range(0, PRODUCTS, BATCH):
        items = [{"name": f"Product {number}", "description": "one of many"} for number in range(first, first + BATCH)]
        results = call(f"{catalog_url}/api/v1/products/batch", {"items": items})["results"]
        assert [(result["index"], result["status"]) for result in results] == [(i, 201) for i in range(BATCH)]
    # Counting in the database spares the API, and so the measurement, a walk through all pages at each look.
    with closing(psycopg2.connect(description["databases"]["catalog"])) as database:
        assert wait_until(lambda: polled_products(database) == PRODUCTS, seconds=180), polled_products(database)
    products = all_products(catalog_url)
    assert {product["registration"] for product in products} == {"registered"}
    assert None not in {product["offers_observed_at"] for product in products}
    assert len({product["id"] for product in products}) == PRODUCTS
    peaks = {
        name: peak_megabytes(process["pid"])
        for name, process in description["processes"].items()
        if name.startswith(OURS)
    }
    assert len(peaks) == 5
    assert max(peaks.values()) < MEGABYTES_AT_MOST, peaks
