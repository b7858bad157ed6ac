"""One or several real `offers-sync work` between a real database, a real broker and the simulator."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import dropwhile, pairwise
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen
from uuid import UUID, uuid4

import aio_pika
import psycopg2
import pytest

from aggregator_contracts import (
    Event,
    OffersUpdate,
    OffersUpdated,
    ProductCreated,
    ProductDeleted,
    ProductState,
    ProductUpdated,
    parse_event,
)
from aggregator_contracts.topology import EXCHANGE
from devstack.ports import free_port
from event_bus import EventPublisher
from offers_simulator.launch import LaunchedSimulator, launched

CLI = str(Path(sys.executable).parent / "offers-sync")
STOP_SECONDS = 10.0
OWN_SETTINGS = ("OFFERS_", "DATABASE_URL", "RABBITMQ_URL", "HEALTH_", "LOG_")


def environment(**settings: object) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(OWN_SETTINGS)}
    return own | {name.upper(): str(value) for name, value in settings.items()}


class Worker:
    """A process of `offers-sync work`."""

    def __init__(self, settings: dict[str, object], log: Path) -> None:
        self.health_port = free_port()
        self.log_path = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [CLI, "work"],
                env=environment(log_format="json", health_port=self.health_port, **settings),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of its health server; status 0 while there is none."""
        try:
            with urlopen(f"http://127.0.0.1:{self.health_port}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except (URLError, OSError):
            return 0, ""

    def ready(self) -> bool:
        assert self.process.poll() is None, self.log
        return self.get("/readyz")[0] == 200

    def metric(self, line_start: str) -> float:
        """The sum of all samples whose line starts so."""
        lines = [line for line in self.get("/metrics")[1].splitlines() if line.startswith(line_start)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM; the exit code, within the ten seconds of the contract."""
        self.process.terminate()
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Sync:
    """What a test drives and watches."""

    dsn: str
    broker_url: str
    simulator: LaunchedSimulator
    publisher: EventPublisher
    folder: Path
    close: ExitStack
    events: list[Event] = field(default_factory=list)
    """All events that any system would have received, in order."""
    connections: list[aio_pika.abc.AbstractConnection] = field(default_factory=list)

    def settings(self, **settings: object) -> dict[str, object]:
        """Polled each second; leases and calls outlast a machine that is busy, unless a test waits for their end."""
        return {
            "database_url": self.dsn,
            "rabbitmq_url": self.broker_url,
            "offers_base_url": self.simulator.base_url,
            "offers_poll_interval_seconds": 1,
            "offers_lease_seconds": 15,
            "offers_request_timeout_seconds": 10,
            **settings,
        }

    async def listen(self, url: str) -> None:
        """Collect events from the first call on, over plain AMQP; the queue keeps what comes while nobody listens."""

        async def receive(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            self.events.append(parse_event(message.body))

        connection = await aio_pika.connect(url)
        self.connections.append(connection)
        channel = await connection.channel()
        queue = await channel.declare_queue("subscriber.test", durable=True)
        await queue.bind(EXCHANGE, "#")
        await queue.consume(receive, no_ack=True)

    @staticmethod
    async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
        """Return when the condition holds; fail when it does not in time."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - what is waited for happens in other processes
                await asyncio.sleep(0.02)

    @staticmethod
    def created(product_id: UUID) -> ProductCreated:
        return ProductCreated.of(_state(product_id, 1, "Lawn mower"))

    @staticmethod
    def updated(product_id: UUID, version: int, name: str = "Better mower") -> ProductUpdated:
        return ProductUpdated.of(_state(product_id, version, name))

    @staticmethod
    def deleted(product_id: UUID, version: int = 2) -> ProductDeleted:
        return ProductDeleted.of(product_id, version)

    def start(self, **settings: object) -> Worker:
        worker = Worker(self.settings(**settings), self.folder / f"{uuid4()}.log")
        self.close.callback(worker.kill)
        return worker

    async def started(self, **settings: object) -> Worker:
        worker = self.start(**settings)
        await self.until(worker.ready, 60)
        return worker

    def cli(self, *arguments: str, stdin: str = "", **settings: object) -> "subprocess.CompletedProcess[str]":
        known = {"database_url": self.dsn, "offers_base_url": self.simulator.base_url, **settings}
        return subprocess.run(
            [CLI, *arguments],
            env=environment(**known),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    async def create(self, count: int = 1) -> list[UUID]:
        ids = [uuid4() for _ in range(count)]
        await self.publisher.publish([self.created(product_id) for product_id in ids])
        return ids

    async def registered(self, count: int = 1, seconds: float = 30) -> list[UUID]:
        ids = await self.create(count)
        await self.until(lambda: set(ids) <= self.subjects("ProductRegistered"), seconds)
        return ids

    def subjects(self, kind: str) -> set[UUID]:
        return {event.subject for event in list(self.events) if type(event).__name__ == kind}  # type: ignore[attr-defined]

    def updates(self, product_id: UUID) -> list[OffersUpdate]:
        return [
            update
            for event in list(self.events)
            if isinstance(event, OffersUpdated)
            for update in event.data.updates
            if update.product_id == product_id
        ]

    def prices(self, product_id: UUID) -> dict[str, int] | None:
        """The offers last published for a product; None when none ever were."""
        updates = self.updates(product_id)
        return {offer.id: offer.price for offer in updates[-1].offers} if updates else None

    def set_offers(self, product_id: UUID, prices: dict[int, int]) -> None:
        offers = [{"id": offer, "price": price, "items_in_stock": 1} for offer, price in prices.items()]
        self.simulator.admin("PUT", f"/products/{product_id}/offers", offers)

    def fault(self, kind: str, endpoint: str = "offers", **parameters: Any) -> None:
        self.simulator.admin("POST", "/faults", {"kind": kind, "endpoint": endpoint, **parameters})

    def end_faults(self) -> None:
        self.simulator.admin("DELETE", "/faults")

    def calls(self, endpoint: str, product_id: UUID | None = None) -> list[dict[str, Any]]:
        product = "" if product_id is None else f"&product={product_id}"
        calls: list[dict[str, Any]] = self.simulator.admin("GET", f"/ledger?endpoint={endpoint}{product}")["calls"]
        return calls

    def pauses(self, polled: int) -> list[float]:
        """Seconds before each poll after the first so many, which stopped; those that were under way are left out."""
        moments = [call["at"] for call in self.calls("offers")[polled - 1 :]]
        return list(dropwhile(lambda pause: pause < 2.5, (later - earlier for earlier, later in pairwise(moments))))

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(self.dsn)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql, [str(value) if isinstance(value, UUID) else value for value in parameters] or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


def _state(product_id: UUID, version: int, name: str) -> ProductState:
    return ProductState(product_id=product_id, version=version, name=name, description="Cuts")


@pytest.fixture(scope="session")
def migrated(service_database: Callable[[Callable[[str], object]], str]) -> str:
    """A database to copy; nobody stays connected to it."""
    return service_database(
        lambda dsn: subprocess.run([CLI, "migrate"], env=environment(database_url=dsn), check=True, timeout=60)
    )


@pytest.fixture
def simulator_settings() -> dict[str, object]:
    """Override to speak generation 2."""
    return {}


@pytest.fixture
def simulator(simulator_settings: dict[str, object]) -> Iterator[LaunchedSimulator]:
    with launched(**simulator_settings) as simulator:
        yield simulator


@pytest.fixture
async def sync(
    migrated: str,
    make_database: Callable[..., str],
    broker_accounts: Callable[[str], str],
    simulator: LaunchedSimulator,
    tmp_path: Path,
) -> AsyncIterator[Sync]:
    publisher = EventPublisher(broker_accounts("catalog-api"), timeout=30)
    await publisher.start()
    with ExitStack() as close:
        dsn, broker_url = make_database(template=migrated), broker_accounts("offers-sync")
        system = Sync(dsn, broker_url, simulator, publisher, tmp_path, close)
        await system.listen(broker_accounts("subscriber"))
        yield system
        for connection in system.connections:
            await connection.close()
    await publisher.stop()
