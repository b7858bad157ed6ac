"""Eight workers start at once on an empty database, and the one that asks for the token freezes (F8)."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from tests.faults.laboratory.offers_ms import OffersMs
from tests.faults.laboratory.processes import owner_of_port
from tests.faults.laboratory.report import Report

from aggregator_contracts import ProductCreated, ProductState
from devstack.child import Child, Command
from devstack.conditions import wait_until
from devstack.linux_processes import frozen
from devstack.plan import console_script
from event_bus import EventPublisher
from offers_simulator.launch import launched
from offers_sync.db.access_tokens import LOCK_KEY
from offers_sync.db.migrate import migrate

WORKERS = 8
PRODUCTS = 40
TIMEOUT_SECONDS = 8
START_SECONDS = 60
ASKING = """
SELECT client_port FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objid = %s::bigint::oid
"""


@pytest.fixture
def offers_ms() -> Iterator[OffersMs]:
    with launched() as simulator:
        yield OffersMs(simulator.origin)


@pytest.fixture
def dsn(service_database: Callable[[Callable[[str], object]], str]) -> str:
    return service_database(migrate)


def rows(dsn: str, sql: str, *parameters: object) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchall()


@pytest.fixture
def workers(
    dsn: str, broker_accounts: Callable[[str], str], offers_ms: OffersMs, tmp_path: Path
) -> Iterator[list[Child]]:
    # The token is given late, so that the one that asks can be found while it waits, and not so late that it is given
    # up: eight processes that start take all of a machine.
    offers_ms.fault("delay", "auth", delay_seconds=TIMEOUT_SECONDS / 2)
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "DATABASE_URL": dsn,
        "RABBITMQ_URL": broker_accounts("offers-sync"),
        "OFFERS_BASE_URL": f"{offers_ms.origin}/api/v1",
        "OFFERS_POLL_INTERVAL_SECONDS": "1",
        "OFFERS_REQUEST_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
    }
    script = console_script("offers-sync")
    started = [
        Child(Command(f"worker {number}", [script, "work"], tmp_path / f"{number}.log", environment))
        for number in range(WORKERS)
    ]
    yield started
    for worker in started:
        worker.request_stop()
    for worker in started:
        if not worker.ended_within(worker.command.stop_seconds):
            worker.kill()
        assert worker.exit_code == 0, worker.last_lines()


async def publish_products(rabbitmq_url: str) -> None:
    publisher = EventPublisher(rabbitmq_url)
    states = [ProductState(product_id=uuid4(), version=1, name="Mower", description="") for _ in range(PRODUCTS)]
    await publisher.publish([ProductCreated.of(state) for state in states])
    await publisher.stop()


@pytest.mark.fault("F8")
@pytest.mark.timeout(300)
def test_one_token_is_stored_and_one_used_though_the_one_that_asks_for_it_freezes(
    workers: list[Child], dsn: str, broker_accounts: Callable[[str], str], offers_ms: OffersMs, report: Report
) -> None:
    asking: list[int] = []

    def someone_asks() -> bool:
        for (port,) in rows(dsn, ASKING, LOCK_KEY & 0xFFFFFFFF):
            pid = owner_of_port(int(str(port)), [worker.pid for worker in workers])
            asking.extend([] if pid is None else [pid])
        return bool(asking)

    def stored() -> bool:
        return rows(dsn, "SELECT count(*) FROM access_tokens") == [(1,)]

    def registered() -> bool:
        return rows(dsn, "SELECT count(*) FROM products WHERE status = 'registered'") == [(PRODUCTS,)]

    assert wait_until(someone_asks, seconds=START_SECONDS), "nobody asks for a token"
    with frozen(asking[0]):
        assert not stored(), "frozen too late"
        asyncio.run(publish_products(broker_accounts("catalog-api")))
        assert wait_until(stored, seconds=60), "nobody took over"
        token = rows(dsn, "SELECT value FROM access_tokens")
        assert wait_until(registered, seconds=60), "not all products are registered"
    polled = len(offers_ms.calls("offers"))
    assert wait_until(lambda: len(offers_ms.calls("offers")) > polled + 2 * PRODUCTS, seconds=60)
    assert rows(dsn, "SELECT value FROM access_tokens") == token, "the frozen worker stored what it had got"
    asked = offers_ms.calls("auth")
    report.note(f"{WORKERS} workers, {len(asked)} calls for a token, 1 used")
    assert offers_ms.tokens_used("register") == offers_ms.tokens_used("offers") == {token[0][0]}
    assert len(asked) <= 2
    report.lost, report.duplicated = "0", "0"
