"""The whole system under test, on its real parts, with what a benchmark asks of it."""

import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg2

from bench.programs import put_first
from devstack import linux_processes, loopback_http
from devstack.broker_management import BrokerManagement
from devstack.conditions import wait_until
from devstack.rabbitmq import VHOST
from devstack.service_process import ServiceProcess
from devstack.settings import StackSettings
from devstack.stack import Stack

BATCH: Final = 1000
SIMULATOR: Final = "offers-simulator"
#: Offers of each product, all of whose prices move at each tick of the simulator.
OFFERS: Final = 5
POLLED: Final = """
SELECT count(*) FROM products JOIN product_offers ON product_id = id
WHERE observed_at IS NOT NULL AND registration = 'registered'
"""
_PORTS: Final = ("CATALOG_PORT", "PRICE_HISTORY_PORT", "SIMULATOR_PORT", "RABBITMQ_PORT")

Say = Callable[[str], None]


class BenchmarkFailed(Exception):  # noqa: N818 - says what happened
    """The system did not do what was to be measured."""


@contextmanager
def running(say: Say, environment: Mapping[str, object] | None = None) -> Iterator["System"]:
    """A stack of its own in a temporary folder, with the simulator, while inside."""
    with tempfile.TemporaryDirectory(prefix="aggregator-bench-") as folder:
        given = {
            "STACK_DIR": folder,
            **dict.fromkeys(_PORTS, 0),
            "DEMO": 0,
            "LOG_FORMAT": "json",
            "SIMULATOR_STEADY_OFFERS": OFFERS,
            **(environment or {}),
        }
        settings = StackSettings.from_environment({name: str(value) for name, value in given.items()})
        say("starting a stack")
        with Stack(settings) as stack:
            yield System(stack, say)


class System:
    """A running stack."""

    def __init__(self, stack: Stack, say: Say) -> None:
        self.stack = stack
        self.say = say
        described = stack.description()
        self.catalog_url: str = described["catalog_url"]
        self.price_history_url: str = described["price_history_url"]
        self.offers_base_url: str = described["offers_base_url"]
        self.rabbitmq_url: str = described["rabbitmq_url"]
        self._management_url: str = described["rabbitmq_management_url"]
        self.databases: Mapping[str, str] = described["databases"]

    def pid(self, name: str) -> int:
        """The process id of a part, such as `offers-sync-work`."""
        child = self.stack.parts[name].child
        if child is None:
            raise BenchmarkFailed(f"{name} does not run")
        return child.pid

    def cpu(self) -> dict[str, float]:
        """CPU seconds of every part since it began."""
        return {name: linux_processes.cpu_seconds(self.pid(name)) for name in self.stack.parts}

    def cpu_of(self, name: str) -> float:
        """CPU seconds of one part since it began."""
        return linux_processes.cpu_seconds(self.pid(name))

    def put_first(self, name: str) -> bool:
        """Have a part, and what it starts from now on, run before all ordinary programs; whether that is allowed."""
        return put_first(self.pid(name))

    def restart(self, name: str, environment: Mapping[str, object] | None = None) -> None:
        """Stop a part, start it again, with these variables set, and wait until it is ready.

        What it has used so far counts no more.
        """
        self.stack.stop_process(name)
        part = self.stack.parts[name]
        if isinstance(part, ServiceProcess):
            part.environment |= {variable: str(value) for variable, value in (environment or {}).items()}
        self.stack.start_process(name)
        self.stack.parts[name].wait_until_ready()

    def metric(self, name: str, sample: str) -> float:
        """The value of one sample, such as `things_total{kind="good"}`, of a part; 0 where there is none."""
        with urllib.request.urlopen(f"{self.stack.parts[name].health_url}/metrics", timeout=10) as answer:  # noqa: S310 - ours
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == sample)

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the simulator's admin API."""
        origin = self.offers_base_url.partition("/api/")[0]
        return loopback_http.call(method, f"{origin}/admin{path}", body)

    def freeze_prices(self) -> None:
        """No price changes from now on."""
        self.admin("PATCH", "/clock", {"frozen": True})

    def move_prices(self) -> None:
        """All prices move at each tick again."""
        self.admin("PATCH", "/clock", {"frozen": False})

    def calls_answered(self) -> int:
        """Calls that the simulator has answered."""
        return int(self.admin("GET", "")["ledger"]["next"])

    def token(self) -> str:
        """The access token that products are registered with."""
        return str(self.admin("GET", "/tokens")["items"][0]["token"])

    def queue_lengths(self) -> dict[str, int]:
        """Messages in each queue, those in the hands of consumers included; at most a second old."""
        url = urlsplit(self.rabbitmq_url)
        management = BrokerManagement(self._management_url, url.username or "", url.password or "")
        return {queue["name"]: queue.get("messages", 0) for queue in management.call("GET", f"/queues/{VHOST}")}

    def query(self, database: str, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Rows of a query, as the administrator. Nothing stays open."""
        with closing(psycopg2.connect(self.databases[database])) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def create_products(self, count: int) -> None:
        """Add products to the catalog."""
        for first in range(0, count, BATCH):
            items = [
                {"name": f"Product {number}", "description": "one of many, with a description of usual length"}
                for number in range(first, min(first + BATCH, count))
            ]
            url = f"{self.catalog_url}/api/v1/products/batch"
            loopback_http.call("POST", url, {"items": items}, seconds=60.0)

    def product_ids(self) -> list[str]:
        """Ids of all products."""
        return [row[0] for row in self.query("catalog", "SELECT id::text FROM products ORDER BY id")]

    def wait_until_polled(self, count: int, seconds: float) -> None:
        """Wait until so many products have been registered and polled, and the catalog knows of both."""
        self.say(f"waiting until {count:,} products are registered and polled")

        def polled() -> bool:
            return bool(self.query("catalog", POLLED)[0][0] >= count)

        self.until(polled, seconds, f"{count} products are polled")

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> float:
        """Wait for a condition; how long that took. Raises BenchmarkFailed when it does not hold in time."""
        began = time.monotonic()
        if not wait_until(condition, seconds=seconds):
            raise BenchmarkFailed(f"{what}: not within {seconds:.0f} s")
        return time.monotonic() - began

    def log_of(self, name: str) -> Path:
        """Where a part writes its log."""
        return self.stack.folder.log(name)
