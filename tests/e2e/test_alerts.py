"""An alert from end to end: a price set at the Offers MS becomes a signed message, which a dry run knows of."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import standardwebhooks
from aiohttp import web
from tests.integration.processes import eventually

from devstack.settings import StackSettings
from devstack.stack import Stack

PORTS = ("CATALOG_PORT", "PRICE_HISTORY_PORT", "SIMULATOR_PORT", "RABBITMQ_PORT")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = StackSettings.from_environment(
        {
            "STACK_DIR": str(tmp_path_factory.mktemp("stack")),
            **dict.fromkeys(PORTS, "0"),
            "DEMO": "0",
            "OFFERS_POLL_INTERVAL_SECONDS": "1",
            # A copy that stands by, as in production.
            "SCALE": "catalog-api-work=2",
        }
    )
    with Stack(settings) as stack:
        yield stack


class System:
    """The stack as its user sees it, with the simulator's market in hand, and a webhook."""

    def __init__(self, session: aiohttp.ClientSession, stack: Stack) -> None:
        described = stack.description()
        self._session = session
        self._api = f"{described['catalog_url']}/api/v1"
        self._market = described["offers_base_url"].partition("/api/")[0] + "/admin"
        self.received: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        async with self._session.request(method, self._api + path, json=body) as answer:
            assert answer.status < 300, f"{method} {path}: {answer.status} {await answer.text()}"
            return None if answer.status == 204 else await answer.json()

    async def sell_at(self, product: str, price: int | None) -> None:
        """One offer for it from now on, with none in stock where there is no price; seen by the catalog."""
        offers = [{"id": "1", "price": price or 1, "items_in_stock": 0 if price is None else 5}]
        async with self._session.put(f"{self._market}/products/{product}/offers", json=offers) as answer:
            assert answer.status < 300, await answer.text()

        async def shown() -> bool:
            return bool((await self.call("GET", f"/products/{product}"))["best_price"] == price)

        await eventually(shown, seconds=40)

    async def registered(self) -> str:
        product: str = (await self.call("POST", "/products", {"name": "Sekačka", "description": ""}))["id"]

        async def is_registered() -> bool:
            return bool((await self.call("GET", f"/products/{product}"))["registration"] == "registered")

        await eventually(is_registered, seconds=40)
        return product

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.put_nowait((headers, await request.read()))
        return web.Response(status=204)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def system(stack: Stack) -> AsyncIterator[System]:
    async with aiohttp.ClientSession() as session:
        yield System(session, stack)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def webhook(system: System) -> AsyncIterator[dict[str, str]]:
    """With its secret."""
    app = web.Application()
    app.router.add_post("/prices", system.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/prices"
    yield await system.call("POST", "/webhooks", {"url": url})
    await runner.cleanup()


async def test_a_price_that_falls_is_told_to_the_webhook_once_and_found_by_a_dry_run(
    system: System, webhook: dict[str, str]
) -> None:
    product, other = await system.registered(), await system.registered()
    await system.sell_at(product, 1000)
    await system.sell_at(other, 1000)
    wanted = {
        "name": "cheap mower",
        "product_id": product,
        "condition": {"type": "best_price_at_or_below", "price": 900},
        "webhook_id": webhook["id"],
        "cooldown_seconds": 0,
    }
    alert = await system.call("POST", "/alerts", wanted)
    await system.sell_at(other, 800)
    # Around the price, within the hysteresis, and then away and back.
    for price in (901, 900, 905, 899, 1000, 890):
        await system.sell_at(product, price)
    told = []
    for _ in range(2):
        headers, body = await asyncio.wait_for(system.received.get(), 40)
        message = standardwebhooks.Webhook(webhook["secret"]).verify(body, headers)
        assert message["type"] == "alert.fired"
        data = message["data"]
        assert (data["alert_id"], data["name"], data["product_id"]) == (alert["id"], "cheap mower", product)
        assert (data["condition"], data["reference"]) == (wanted["condition"], 900)
        told.append((headers["webhook-id"], data["at"], data["price"]))
    assert [price for *_, price in told] == [900, 890]
    logged = (await system.call("GET", f"/alerts/{alert['id']}/firings"))["items"]
    assert [(one["id"], one["at"], one["price"]) for one in reversed(logged)] == told
    assert (await system.call("GET", f"/alerts/{alert['id']}"))["firings_count"] == 2
    found = await system.call("POST", "/alerts/dry-run", wanted)
    assert [(one["at"], one["price"]) for one in found["firings"]] == [(at, price) for _, at, price in told]
    assert found["examined"]["complete"]
    assert system.received.empty()


async def test_an_alert_on_all_products_tells_of_each_that_is_back_in_stock(
    system: System, webhook: dict[str, str]
) -> None:
    product = await system.registered()
    await system.sell_at(product, 500)
    wanted = {"condition": {"type": "back_in_stock"}, "webhook_id": webhook["id"]}
    await system.call("POST", "/alerts", wanted)
    await system.sell_at(product, None)
    await system.sell_at(product, 510)
    headers, body = await asyncio.wait_for(system.received.get(), 40)
    data = standardwebhooks.Webhook(webhook["secret"]).verify(body, headers)["data"]
    assert (data["product_id"], data["price"], data["reference"], data["name"]) == (product, 510, None, None)
    found = await system.call("POST", "/alerts/dry-run", wanted)
    assert [(one["product_id"], one["at"]) for one in found["firings"]] == [(product, data["at"])]
