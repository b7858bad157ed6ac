"""The JavaScript of the README, as it stands there, on a live stack; Node.js stands for the browser."""

import asyncio
import json
import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.e2e.event_log import make_log_anew
from tests.node_tools import NODE, ROOT, require

from aggregator_contracts import OffersUpdated
from devstack import loopback_http
from devstack.conditions import wait_until
from devstack.settings import StackSettings
from devstack.stack import Stack

SECONDS: Final = 60.0
PORTS: Final = ("CATALOG_PORT", "PRICE_HISTORY_PORT", "SIMULATOR_PORT", "RABBITMQ_PORT")
CATALOG: Final = "http://127.0.0.1:8000"
"""As the README has it."""
BROWSER: Final = """
const write = console.log;
console.log = (...said) => write(JSON.stringify(said));
globalThis.location = { reload: () => console.log("reload") };
setInterval(() => {}, 60_000);
"""
"""What a page has, written so that it can be read; and it stays open, though nothing is connected."""
Json = dict[str, Any]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = str(tmp_path_factory.mktemp("stack"))
    environment = {"STACK_DIR": folder, **dict.fromkeys(PORTS, "0"), "DEMO": "0", "OFFERS_POLL_INTERVAL_SECONDS": "1"}
    with Stack(StackSettings.from_environment(environment)) as stack:
        yield stack


class Page:
    """A page that runs a script, with all that the script said."""

    def __init__(self, script: str, folder: Path) -> None:
        self._source, self._out, self._err = folder / "page.mjs", folder / "out", folder / "err"
        self._source.write_text(BROWSER + script)
        self._process: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        command: list[str | Path] = [require(NODE), "--experimental-eventsource", "--no-warnings", self._source]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(command, stdout=out, stderr=err)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def said(self) -> list[list[Any]]:
        lines = self._out.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def events(self) -> list[tuple[int, Json]]:
        return [(int(said[0]), said[1]) for said in self.said() if said != ["reload"]]

    def prices(self, product: str) -> list[int]:
        updates = [update for _, event in self.events() for update in event["data"]["updates"]]
        return [offer["price"] for update in updates if update["product_id"] == product for offer in update["offers"]]

    def until(self, condition: Callable[[], bool]) -> None:
        assert wait_until(condition, seconds=SECONDS), f"{self.said()}\n{self._err.read_text()}"


@pytest.fixture
def page(stack: Stack, tmp_path: Path) -> Iterator[Page]:
    [script] = re.findall(r"^```js\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert script.count(CATALOG) == 1
    page = Page(script.replace(CATALOG, stack.description()["catalog_url"]), tmp_path)
    yield page
    page.close()


def streams(catalog: str) -> bool:
    """Whether the page is the one client."""
    with urllib.request.urlopen(f"{catalog}/metrics", timeout=SECONDS) as answer:  # noqa: S310 - ours
        return b"aggregator_catalog_streams_open 1.0" in answer.read()


def test_the_readme_s_javascript_misses_nothing_through_a_restart_and_learns_of_a_gap(stack: Stack, page: Page) -> None:
    described = stack.description()
    catalog, history = described["catalog_url"], f"{described['price_history_url']}/api/v1/products"
    market = described["offers_base_url"].partition("/api/")[0] + "/admin/products"
    product = loopback_http.call("POST", f"{catalog}/api/v1/products", {"name": "Sekačka", "description": ""})["id"]

    def sell_at(price: int) -> None:
        """As the Offers MS does from now on; it is recorded, so it was published."""
        loopback_http.call("PUT", f"{market}/{product}/offers", [{"id": "1", "price": price, "items_in_stock": 5}])
        changes = f"{history}/{product}/history?limit=1000"
        assert wait_until(
            lambda: any(change["price"] == price for change in loopback_http.call("GET", changes)["items"]),
            seconds=SECONDS,
        )

    assert wait_until(lambda: loopback_http.failure(f"{history}/{product}/history") is None, seconds=SECONDS)
    sell_at(1001)
    page.open()
    page.until(lambda: streams(catalog))
    sell_at(1000)
    page.until(lambda: page.prices(product) == [1000])

    # The server goes, and what happens meanwhile comes with the rest.
    stack.kill_process("catalog-api-serve")
    sell_at(900)
    stack.start_process("catalog-api-serve")
    sell_at(800)
    page.until(lambda: page.prices(product) == [1000, 900, 800])
    ids = [event_id for event_id, _ in page.events()]
    assert ids == sorted(set(ids))
    assert {event["type"] for _, event in page.events()} == {OffersUpdated.TYPE}

    # What was told is gone for good, so what the page shows may be wrong.
    assert ["reload"] not in page.said()
    stack.kill_process("catalog-api-serve")  # whoever comes while there is no log is refused
    asyncio.run(make_log_anew(stack))
    sell_at(700)
    stack.start_process("catalog-api-serve")
    page.until(lambda: page.said().count(["reload"]) == 1 and page.prices(product) == [1000, 900, 800, 700])


def test_the_readme_s_javascript_comes_again_though_it_was_refused(stack: Stack, page: Page) -> None:
    page.open()
    page.until(lambda: streams(stack.description()["catalog_url"]))
    stack.kill_process("rabbitmq")
    page.until(lambda: page.said() == [["reload"]])
