"""A whole stack behind proxies, with everything that a fault and its bookkeeping need."""

import contextlib
import time
import urllib.request
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from tests.faults.laboratory.books import PARKED, Balance, Books
from tests.faults.laboratory.load import Load
from tests.faults.laboratory.offers_ms import OffersMs
from tests.faults.laboratory.proxy import Proxies
from tests.faults.laboratory.record import Record

from aggregator_contracts.topology import SUBSCRIPTIONS
from devstack import loopback_http
from devstack.conditions import wait_until
from devstack.part import Part
from devstack.private_broker import OpenBroker, private_broker
from devstack.rabbitmq import VHOST
from devstack.settings import StackSettings
from devstack.stack import Stack

INTERVAL_SECONDS: Final = 1
TIMEOUT_SECONDS: Final = 2
LEASE_SECONDS: Final = 3
DRAIN_SECONDS: Final = 120.0
OURS: Final = ("catalog-api", "offers-sync", "price-history")


class Laboratory:
    """A running stack. Its processes reach PostgreSQL, RabbitMQ and the Offers MS through `proxies`."""

    def __init__(
        self, folder: Path, close: ExitStack, *, open_broker: OpenBroker = private_broker, **settings: object
    ) -> None:
        self.proxies = close.enter_context(Proxies())
        ports = ("CATALOG_PORT", "PRICE_HISTORY_PORT", "SIMULATOR_PORT", "RABBITMQ_PORT")
        environment = {
            "STACK_DIR": folder,
            **dict.fromkeys(ports, 0),
            "DEMO": 0,
            "LOG_FORMAT": "json",
            "OFFERS_POLL_INTERVAL_SECONDS": INTERVAL_SECONDS,
            "OFFERS_REQUEST_TIMEOUT_SECONDS": TIMEOUT_SECONDS,
            "OFFERS_LEASE_SECONDS": LEASE_SECONDS,
            "SIMULATOR_TICK_SECONDS": 2,
            **settings,
        }
        given = {name: str(value) for name, value in environment.items()}
        self.stack = close.enter_context(
            Stack(StackSettings.from_environment(given), reach=self.proxies.reach, open_broker=open_broker)
        )
        described = self.stack.description()
        self.catalog_url: str = described["catalog_url"]
        self.offers_ms = OffersMs(described["offers_base_url"].partition("/api/")[0])
        assert self.stack.broker is not None
        record = Record(described["rabbitmq_url"].partition(",")[0])
        self.books = Books(described["databases"], self.stack.broker.management, self.offers_ms, record)
        self.books.record.begin()
        self._loads = 0

    @property
    def ours(self) -> dict[str, Part]:
        """The processes of our services, by name."""
        return {name: part for name, part in self.stack.parts.items() if name.startswith(OURS)}

    def load(self, seed: int, rate: float = 30.0, timeout_seconds: float = 6.0) -> Load:
        """Writes on the catalog, which no other load in the life of this laboratory is taken for."""
        self._loads += 1
        return Load(self.catalog_url, self._loads, seed, rate, timeout_seconds)

    def part(self, name: str) -> Part:
        """A process by its name."""
        return self.stack.parts[name]

    def pid(self, name: str) -> int:
        """Its process id."""
        child = self.part(name).child
        assert child is not None
        return child.pid

    def restart(self, name: str) -> None:
        """Kill it as a crash would, and start it again."""
        self.stack.kill_process(name)
        self.stack.start_process(name)

    def not_ready(self) -> list[str]:
        """The processes of ours that do not say that they are ready."""
        return [name for name, part in self.ours.items() if part.why_not_ready() is not None]

    def readiness(self, name: str, words: str) -> bool:
        """Whether a process says that it is not ready, in words that include these."""
        return words in (self.part(name).why_not_ready() or "")

    def metric(self, name: str, sample: str) -> float:
        """The value of one sample, such as `things_total{kind="good"}`, of a process; 0 where there is none."""
        with urllib.request.urlopen(f"{self.part(name).health_url}/metrics", timeout=30) as answer:  # noqa: S310 - ours
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == sample)

    def recovery_seconds(self, within: float) -> float:
        """Until every process is ready and a product goes all the way from the API to its offers; fails after `within`.

        Call it at the moment in which the fault ends.
        """
        began = time.monotonic()
        canary: list[str] = []

        def made() -> bool:
            with contextlib.suppress(OSError):
                body = {"name": "canary", "description": ""}
                canary.append(self.call("POST", "/products", body, seconds=5.0)["id"])
            return bool(canary)

        def whole() -> bool:
            with contextlib.suppress(OSError):
                product = self.call("GET", f"/products/{canary[0]}", seconds=5.0)
                return product["registration"] == "registered" and product["offers_observed_at"] is not None
            return False

        def ready() -> bool:
            return not self.not_ready()

        for step in (made, whole, ready):
            left = within - (time.monotonic() - began)
            assert wait_until(step, seconds=left), f"not {step.__name__} {within:.0f} s after the fault: {self.state()}"
        seconds = time.monotonic() - began
        with contextlib.suppress(OSError):
            self.call("DELETE", f"/products/{canary[0]}")
        return seconds

    def outbox(self) -> int:
        """Events of the catalog that wait to be published."""
        [(waiting,)] = self.books.query("catalog", "SELECT count(*) FROM outbox")
        return int(waiting)

    def postgres_answers(self, seconds: float) -> bool:
        """Whether PostgreSQL runs and answers within so many seconds."""
        part = self.part("postgresql")
        return wait_until(lambda: part.why_not_ready() is None, seconds=seconds)

    def state(self) -> str:
        """What is known of what does not work."""
        return f"not ready: {self.not_ready()}; {self.books.queue_lengths()}"

    def call(self, method: str, path: str, body: Any = None, *, seconds: float = 30.0) -> Any:
        """One request to the catalog. Raises OSError for any answer but a success within so many seconds."""
        return loopback_http.call(method, f"{self.catalog_url}/api/v1{path}", body, seconds=seconds)

    def poison(self) -> list[str]:
        """Put a message that no one can read into each of our queues; their ids."""
        messages = {f"poison {uuid4()}": subscription.queue for subscription in SUBSCRIPTIONS}
        for message_id, queue in messages.items():
            body = {
                "routing_key": queue,
                "properties": {"message_id": message_id, "delivery_mode": 2},
                "payload": "poison",
                "payload_encoding": "string",
            }
            self.books.management.call("POST", f"/exchanges/{VHOST}/amq.default/publish", body)
        return list(messages)

    def take_poison(self) -> None:
        """Empty the parked queues."""
        for queue in PARKED:
            self.books.messages(queue, take=True)

    def drain(self, load: Load, *, seconds: float = DRAIN_SECONDS, poison: Collection[str] = ()) -> Balance:
        """Let everything come to rest; the balance once it holds, or as it stands after so many seconds."""
        self.offers_ms.freeze()
        balance = Balance(unsettled=["never looked"])

        def balanced() -> bool:
            nonlocal balance
            balance = self.books.balance(load, poison=poison)
            return balance.holds

        try:
            wait_until(balanced, seconds=seconds)
        finally:
            self.offers_ms.thaw()
        return balance

    def clear(self, load: Load) -> None:
        """Delete what a load has left, so that the next one is not polled beside it."""
        rows = self.books.query("catalog", "SELECT id::text FROM products WHERE name LIKE %s", [load.names])
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda row: self.call("DELETE", f"/products/{row[0]}"), rows))

    def until(self, condition: Callable[[], object], seconds: float, what: str) -> float:
        """Wait for a condition; how long that took. Fails when it does not hold in time."""
        began = time.monotonic()
        assert wait_until(lambda: bool(condition()), seconds=seconds), (
            f"{what}: not within {seconds:.0f} s; {self.state()}"
        )
        return time.monotonic() - began
