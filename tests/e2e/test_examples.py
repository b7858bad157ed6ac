"""The examples for other systems, on a live stack with the account that other systems have."""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import aio_pika
import pytest
import standardwebhooks
from tests.e2e.event_log import make_log_anew
from tests.node_tools import NODE, ROOT, require

from aggregator_contracts import OffersUpdated, ProductCreated, ProductState
from aggregator_contracts.topology import EXCHANGE, LOG
from devstack import loopback_http
from devstack.conditions import wait_until
from devstack.ports import free_port
from devstack.settings import StackSettings
from devstack.stack import Stack

SECONDS: Final = 60.0
STOP_SECONDS: Final = 15.0
Json = dict[str, Any]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    ports = ("CATALOG_PORT", "PRICE_HISTORY_PORT", "SIMULATOR_PORT", "RABBITMQ_PORT")
    environment = {"STACK_DIR": str(tmp_path_factory.mktemp("stack")), **dict.fromkeys(ports, "0"), "DEMO": "0"}
    with Stack(StackSettings.from_environment({**environment, "OFFERS_POLL_INTERVAL_SECONDS": "1"})) as stack:
        yield stack


class Example:
    """An example as a process, with all that it said over its runs."""

    def __init__(self, command: list[str | Path], stack: Stack, folder: Path, *, start: str | None = None) -> None:
        self.queue = f"subscriber.test-{uuid4().hex}" if start is None else LOG
        self.state = folder / "state.sqlite3"
        url = stack.description()["rabbitmq_subscriber_url"]
        self._command = [*command, url, self.state, self.queue, *(() if start is None else ("--from", start))]
        self._out, self._err = folder / "out", folder / "err"
        self._process: subprocess.Popen[bytes] | None = None
        self._said_before = 0

    def start(self) -> None:
        self._said_before = self.subscribed()
        with self._out.open("ab") as out, self._err.open("ab") as err:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=err)
        self.until(lambda: self.subscribed() > self._said_before)

    def stop(self) -> int:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_SECONDS)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def subscribed(self) -> int:
        return self.log().count(f"subscribed to {self.queue}")

    def log(self) -> str:
        return self._err.read_text() if self._err.exists() else ""

    def news(self) -> list[Json]:
        """Its whole lines."""
        lines = self._out.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def until(self, condition: Callable[[], bool]) -> None:
        assert wait_until(condition, seconds=SECONDS), f"{self.news()}\n{self.log()}"


@pytest.fixture(params=["python", "node"])
def example(request: pytest.FixtureRequest, stack: Stack, tmp_path: Path) -> Iterator[Example]:
    command: list[str | Path] = [sys.executable, ROOT / "examples/python/subscriber.py"]
    if request.param == "node":
        require(ROOT / "examples/node/node_modules/amqplib")
        command = [require(NODE), ROOT / "examples/node/subscriber.js"]
    example = Example(command, stack, tmp_path)
    example.start()
    yield example
    example.kill()


@pytest.fixture
def products(stack: Stack) -> str:
    return f"{stack.description()['catalog_url']}/api/v1/products"


def deliver(stack: Stack, queue: str, bodies: list[bytes]) -> None:
    """Put messages straight into a queue, as a broker that delivers again would, or somebody who errs."""

    async def publish() -> None:
        async with await aio_pika.connect(stack.description()["rabbitmq_url"]) as connection:
            channel = await connection.channel()
            for body in bodies:
                await channel.default_exchange.publish(aio_pika.Message(body, message_id="by hand"), queue)

    asyncio.run(publish())


def state(product_id: str, version: int, name: str) -> bytes:
    whole = {"product_id": product_id, "version": version, "name": name, "description": ""}
    return ProductCreated.of(ProductState.model_validate_json(json.dumps(whole))).to_json()


def offers(product_id: str, revision: int, observed_at: str, price: int) -> bytes:
    offer = {"id": "1", "price": price, "items_in_stock": 1}
    update = {"product_id": product_id, "revision": revision, "observed_at": observed_at, "offers": [offer]}
    envelope = {"specversion": "1.0", "id": str(uuid4()), "source": OffersUpdated.SOURCE, "type": OffersUpdated.TYPE}
    return json.dumps({**envelope, "time": observed_at, "data": {"updates": [update]}}).encode()


def versions(example: Example, product_id: str) -> list[tuple[int, str | None]]:
    mine = [line for line in example.news() if line["product"] == product_id]
    return [(line["version"], line["name"]) for line in mine if "version" in line]


def prices(example: Example, product_id: str) -> list[tuple[int, int | None]]:
    mine = [line for line in example.news() if line["product"] == product_id]
    return [(line["revision"], line["lowest"]) for line in mine if "revision" in line]


def test_an_example_follows_the_system_through_a_lost_connection_and_an_absence(
    example: Example, stack: Stack, products: str
) -> None:
    product = loopback_http.call("POST", products, {"name": "Sekačka", "description": ""})
    mine = f"{products}/{product['id']}"
    example.until(lambda: versions(example, product["id"]) == [(1, "Sekačka")])
    example.until(lambda: bool(prices(example, product["id"])))

    assert stack.broker is not None
    management = stack.broker.management

    def cut_off() -> bool:
        # That of whoever consumes its queue: in the list of all there may be one that has ended already.
        consumers = management.call("GET", f"/queues/aggregator/{example.queue}").get("consumer_details", [])
        for consumer in consumers:
            name = consumer["channel_details"]["connection_name"]
            management.call("DELETE", f"/connections/{quote(name, safe='')}")
        return bool(consumers)

    example.until(cut_off)
    example.until(lambda: example.subscribed() == 2)
    loopback_http.call("PATCH", mine, {"name": "Mower"}, headers={"Content-Type": "application/merge-patch+json"})
    example.until(lambda: versions(example, product["id"]) == [(1, "Sekačka"), (2, "Mower")])

    assert example.stop() == 0
    loopback_http.call("DELETE", mine)
    example.start()
    expected = [(1, "Sekačka"), (2, "Mower"), (3, None)]
    example.until(lambda: versions(example, product["id"]) == expected)
    revisions = [revision for revision, _ in prices(example, product["id"])]
    assert revisions == sorted(set(revisions)), "no update twice, none out of order"


def test_an_example_takes_each_event_once_and_nothing_that_is_old(example: Example, stack: Stack) -> None:
    product = str(uuid4())
    again = state(product, 2, "two")
    deliver(stack, example.queue, [again, again, state(product, 1, "one"), state(product, 2, "also two")])
    whole, fraction, later = (f"2026-11-22T10:00:{second}Z" for second in ("00", "00.25", "01"))
    observed = [(5, fraction, 50), (5, whole, 51), (4, later, 52), (5, later, 53), (6, whole, 54)]
    deliver(stack, example.queue, [offers(product, *update) for update in observed])
    deliver(stack, example.queue, [state(product, 3, "three")])
    example.until(lambda: versions(example, product)[-1:] == [(3, "three")])
    assert versions(example, product) == [(2, "two"), (3, "three")]
    assert prices(example, product) == [(5, 50), (5, 53), (6, 54)]


def test_an_example_puts_away_what_is_no_event_and_goes_on(example: Example, stack: Stack) -> None:
    product = str(uuid4())
    incomplete = json.dumps({"id": str(uuid4()), "type": ProductCreated.TYPE, "data": {}}).encode()
    deliver(stack, example.queue, [b"nonsense", b"[]", b"null", incomplete, state(product, 1, "one")])
    example.until(lambda: versions(example, product) == [(1, "one")])
    assert example.log().count("refused by hand") == 4
    assert example.stop() == 0


class Receiving:
    """The example that receives webhooks, as a process."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *secrets: str) -> None:
        example: list[str | Path] = [sys.executable, ROOT / "examples/python/webhook_receiver.py", str(self.port)]
        with (self._folder / "out").open("ab") as out, (self._folder / "err").open("wb") as err:
            self._process = subprocess.Popen(
                [*example, self._folder / "state.sqlite3"],
                env={**os.environ, "WEBHOOK_SECRET": " ".join(secrets)},
                stdout=out,
                stderr=err,
            )
        assert wait_until(lambda: f"receiving on port {self.port}" in self.log(), seconds=SECONDS), self.log()

    def stop(self) -> int:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_SECONDS)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        return (self._folder / "err").read_text()

    def taken(self) -> list[Json]:
        lines = (self._folder / "out").read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def refuses(self, headers: Mapping[str, str], body: bytes) -> bool:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/", data=body, headers=dict(headers))
        try:
            urllib.request.urlopen(request, timeout=SECONDS).close()  # noqa: S310 - ours
        except urllib.error.HTTPError as error:
            with error:
                return error.code == HTTPStatus.BAD_REQUEST
        return False


@pytest.fixture
def receiving(tmp_path: Path) -> Iterator[Receiving]:
    receiving = Receiving(tmp_path)
    yield receiving
    receiving.kill()


def test_the_example_receives_what_is_signed_and_takes_it_once(stack: Stack, receiving: Receiving) -> None:
    webhooks = f"{stack.description()['catalog_url']}/api/v1/webhooks"
    webhook = loopback_http.call("POST", webhooks, {"url": f"http://127.0.0.1:{receiving.port}/"})
    mine = f"{webhooks}/{webhook['id']}"

    def tested() -> Json:
        test: Json = loopback_http.call("POST", f"{mine}/test")
        return test

    def attempts(delivery: Json) -> list[Json]:
        found = {item["id"]: item["attempts"] for item in loopback_http.call("GET", f"{mine}/deliveries")["items"]}
        return [attempt for attempt in found[delivery["id"]] if attempt["status"] == HTTPStatus.NO_CONTENT]

    def taken(*deliveries: Json) -> bool:
        expected = [{"id": delivery["id"], **delivery["payload"]} for delivery in deliveries]
        return wait_until(lambda: receiving.taken() == expected, seconds=SECONDS)

    receiving.start(webhook["secret"])
    first = tested()
    assert taken(first), receiving.log()
    loopback_http.call("POST", f"{mine}/deliveries/{first['id']}/redeliver")
    assert wait_until(lambda: len(attempts(first)) == 2, seconds=SECONDS)
    assert taken(first), "once, though it came twice"

    now = datetime.now(UTC)
    genuine = standardwebhooks.Webhook(webhook["secret"]).sign("forged", now, "{}")
    named = {"webhook-id": "forged", "webhook-timestamp": str(int(now.timestamp()))}
    assert receiving.refuses(named | {"webhook-signature": genuine}, b'{"more": 1}')
    assert receiving.refuses(named | {"webhook-signature": "v1,bm90aGluZw=="}, b"{}")
    assert receiving.refuses({}, b"{}")
    assert taken(first)

    # While nobody receives it waits, and comes when there is somebody again, who has the new secret already.
    assert receiving.stop() == 0
    newer = loopback_http.call("POST", f"{mine}/rotate-secret", {})
    second = tested()
    failing = wait_until(lambda: loopback_http.call("GET", mine)["failing_since"] is not None, seconds=SECONDS)
    assert failing
    receiving.start(newer["secret"])
    assert taken(first, second), receiving.log()

    # So does whoever has only the old one, until that ends.
    assert receiving.stop() == 0
    receiving.start(webhook["secret"])
    third = tested()
    assert taken(first, second, third), receiving.log()


def test_a_subscriber_that_comes_late_reads_every_event_once_from_the_log(
    stack: Stack, products: str, tmp_path: Path
) -> None:
    record = f"record-{uuid4().hex}"
    asyncio.run(_record(stack, record))
    product = loopback_http.call("POST", products, {"name": "Sekačka", "description": ""})
    mine = f"{products}/{product['id']}"
    assert wait_until(lambda: loopback_http.call("GET", mine)["offers_count"] > 0, seconds=SECONDS)
    loopback_http.call("PATCH", mine, {"name": "Mower"}, headers={"Content-Type": "application/merge-patch+json"})
    asyncio.run(_publish_again(stack, state(product["id"], 2, "Mower"), times=3))
    loopback_http.call("DELETE", mine)
    assert wait_until(lambda: _length(stack, record) >= 7, seconds=SECONDS)
    published = asyncio.run(_taken(stack, record))
    assert len(published) > len({event["id"] for event in published}), "something was published twice"

    command: list[str | Path] = [sys.executable, ROOT / "examples/python/subscriber.py"]
    late = Example(command, stack, tmp_path, start="first")
    late.start()
    try:
        late.until(lambda: {event["id"] for event in published} <= _seen(late))
        # It is seen before it is told of, and the deletion may be published later than the others were taken.
        expected = [(1, "Sekačka"), (2, "Mower"), (3, None)]
        late.until(lambda: versions(late, product["id"]) == expected)
        revisions = [revision for revision, _ in prices(late, product["id"])]
        assert revisions == sorted(set(revisions))
        # It goes on where it was, and with what comes.
        assert late.stop() == 0
        told = len(late.news())
        late.start()
        another = loopback_http.call("POST", products, {"name": "Rake", "description": ""})
        late.until(lambda: versions(late, another["id"]) == [(1, "Rake")])
        assert all(line["product"] != product["id"] for line in late.news()[told:])
    finally:
        late.kill()


class Following:
    """The example with curl, as a process group, with all that it printed over its runs."""

    def __init__(self, stack: Stack, folder: Path, query: str) -> None:
        url = stack.description()["catalog_url"]
        self._command = [ROOT / "examples/curl/follow.sh", url, folder / "place", query]
        self._out, self._err = folder / "out", folder / "err"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._out.open("ab") as out, self._err.open("ab") as err:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=err, start_new_session=True)

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def log(self) -> str:
        return self._err.read_text()

    def events(self) -> list[Json]:
        """Each once: the last one before the end of a run may come again."""
        lines = self._out.read_text().splitlines(keepends=True)
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        return list({event["id"]: event for event in events}.values())


@pytest.fixture
def following(stack: Stack, tmp_path: Path) -> Iterator[Following]:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    following = Following(stack, tmp_path, "from=first&type=catalog.product-created.v1")
    following.start()
    yield following
    following.kill()


def test_the_example_with_curl_goes_on_where_it_was_through_all_that_happens(
    stack: Stack, products: str, following: Following
) -> None:
    created: list[str] = []

    def create() -> None:
        created.append(loopback_http.call("POST", products, {"name": "Sekačka", "description": ""})["id"])

    def told() -> bool:
        return [event["subject"] for event in following.events() if event["subject"] in created] == created

    create()
    assert wait_until(told, seconds=SECONDS), following.log()
    stack.kill_process("catalog-api-serve")
    stack.start_process("catalog-api-serve")
    assert wait_until(lambda: loopback_http.failure(products) is None, seconds=SECONDS)
    create()
    assert wait_until(told, seconds=SECONDS), following.log()
    assert "the stream ended" in following.log()
    following.kill()
    create()
    create()
    following.start()
    assert wait_until(told, seconds=SECONDS), following.log()
    assert {event["type"] for event in following.events()} == {ProductCreated.TYPE}


@pytest.mark.parametrize(
    ("under", "query", "told"), [("", "from=x", "must be 'first' or 'now'"), ("/elsewhere", "", "Nothing is here.")]
)
def test_the_example_with_curl_shows_what_refuses_it_and_ends(
    stack: Stack, tmp_path: Path, under: str, query: str, told: str
) -> None:
    command = [ROOT / "examples/curl/follow.sh", stack.description()["catalog_url"] + under, tmp_path / "place", query]
    refused = subprocess.run(command, timeout=SECONDS, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert told in refused.stderr


def test_the_example_with_curl_ends_when_nobody_reads_it(stack: Stack, products: str, tmp_path: Path) -> None:
    for _ in range(2):
        loopback_http.call("POST", products, {"name": "Mower", "description": ""})
    command = [ROOT / "examples/curl/follow.sh", stack.description()["catalog_url"], tmp_path / "place", "from=first"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as following:
        assert following.stdout is not None
        following.stdout.close()
        assert following.wait(SECONDS) != 0


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["curl/follow.sh"], "usage: "),
        (["python/webhook_receiver.py"], "WEBHOOK_SECRET is missing"),
        (["python/subscriber.py", "amqp://nowhere", "--from", "yesterday"], "2026-11-23T10:00:00Z"),
    ],
)
def test_an_example_that_is_not_told_what_it_needs_says_so(command: list[str], told: str) -> None:
    example = ROOT / "examples" / command[0]
    python = [sys.executable] if example.suffix == ".py" else []
    bare = {name: value for name, value in os.environ.items() if name != "WEBHOOK_SECRET"}
    refused = subprocess.run(
        [*python, example, *command[1:]], timeout=SECONDS, capture_output=True, text=True, check=False, env=bare
    )
    assert refused.returncode != 0
    assert told in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("longer", [False, True])
def test_a_log_that_was_made_anew_is_read_from_its_first_event(
    stack: Stack, products: str, tmp_path: Path, *, longer: bool
) -> None:
    product = loopback_http.call("POST", products, {"name": "Mower", "description": ""})
    late = Example([sys.executable, ROOT / "examples/python/subscriber.py"], stack, tmp_path, start="first")
    late.start()
    try:
        late.until(lambda: versions(late, product["id"]) == [(1, "Mower")])
        # Offsets that another log does not reach soon.
        asyncio.run(_publish_again(stack, state(product["id"], 1, "Mower"), times=500))
        last = str(uuid4())
        asyncio.run(_publish_again(stack, state(last, 1, "last"), times=1))
        late.until(lambda: versions(late, last) == [(1, "last")])
        assert late.stop() == 0

        asyncio.run(make_log_anew(stack))
        missed = str(uuid4())
        asyncio.run(_publish_again(stack, state(missed, 1, "missed"), times=1))
        if longer:
            asyncio.run(_publish_again(stack, state(last, 1, "last"), times=5000))
        late.start()
        late.until(lambda: versions(late, missed) == [(1, "missed")])
        assert late.log().count("made anew") == 1
    finally:
        late.kill()


def _seen(example: Example) -> set[str]:
    with closing(sqlite3.connect(example.state)) as connection:
        return {event_id for (event_id,) in connection.execute("SELECT event_id FROM seen")}


def _length(stack: Stack, queue: str) -> int:
    assert stack.broker is not None
    return int(stack.broker.management.call("GET", f"/queues/aggregator/{queue}").get("messages", 0))


async def _record(stack: Stack, name: str) -> None:
    async with await aio_pika.connect(stack.description()["rabbitmq_url"]) as connection:
        queue = await (await connection.channel()).declare_queue(name, durable=True)
        await queue.bind(EXCHANGE, "#")


async def _publish_again(stack: Stack, body: bytes, *, times: int) -> None:
    """As a relay does that had no confirm."""
    async with await aio_pika.connect(stack.description()["rabbitmq_url"]) as connection:
        exchange = await (await connection.channel()).get_exchange(EXCHANGE)
        for _ in range(times):
            message = aio_pika.Message(body, type=ProductCreated.TYPE, message_id=json.loads(body)["id"])
            await exchange.publish(message, ProductCreated.TYPE)


async def _taken(stack: Stack, name: str) -> list[Json]:
    async with await aio_pika.connect(stack.description()["rabbitmq_url"]) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(name)
        found = []
        while (message := await queue.get(fail=False, no_ack=True)) is not None:
            found.append(json.loads(message.body))
        await channel.queue_delete(name)
        return found
