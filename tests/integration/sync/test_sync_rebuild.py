"""What no queue told offers-sync of products, it learns from the log."""

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import aio_pika
import pytest

from aggregator_contracts import ProductCreated, ProductDeleted, ProductUpdated
from aggregator_contracts.topology import EXCHANGE, LOG, SYNC_PRODUCTS

if TYPE_CHECKING:
    from tests.integration.sync.conftest import Sync

KNOWN = "SELECT product_id, version, name, status FROM products ORDER BY product_id"


@pytest.fixture
async def administrator(rabbitmq_url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """A channel of an account that may do anything."""
    async with await aio_pika.connect(rabbitmq_url) as connection:
        yield await connection.channel()


async def _unbind(administrator: aio_pika.abc.AbstractChannel) -> None:
    queue = await administrator.get_queue(SYNC_PRODUCTS.queue)
    for event in (ProductCreated, ProductUpdated, ProductDeleted):
        await queue.unbind(EXCHANGE, routing_key=event.TYPE)


async def test_what_was_published_while_its_queue_was_not_bound_is_made_up_for_beside_a_worker(
    sync: "Sync", administrator: aio_pika.abc.AbstractChannel
) -> None:
    worker = await sync.started()
    changed, deleted = await sync.registered(2)
    await _unbind(administrator)
    unknown, short_lived = uuid4(), uuid4()
    # Confirmed, as the log takes them.
    await sync.publisher.publish(
        [
            sync.updated(changed, 2, "Better mower"),
            sync.deleted(deleted),
            sync.created(unknown),
            sync.updated(unknown, 2),
            sync.created(short_lived),
            sync.deleted(short_lived),
        ]
    )
    done = sync.cli("rebuild-products", "--from-log", rabbitmq_url=sync.broker_url, log_format="json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["event"], told["events"], told["unreadable"]) == ("products_rebuilt", 8, 0)
    await sync.until(lambda: unknown in sync.subjects("ProductRegistered"))
    await sync.until(lambda: bool(sync.updates(unknown)))
    states = {row[0]: row[1:] for row in sync.query(KNOWN)}
    assert states == {
        str(changed): (2, "Better mower", "registered"),
        str(deleted): (2, "", "deleted"),
        str(unknown): (2, "Better mower", "registered"),
        str(short_lived): (2, "", "deleted"),
    }
    # Once more: nothing new, and nothing is registered again.
    calls = len(sync.calls("register"))
    (another,) = await sync.create()
    assert sync.cli("rebuild-products", "--from-log", rabbitmq_url=sync.broker_url).returncode == 0
    await sync.until(lambda: another in sync.subjects("ProductRegistered"))
    assert {row[0]: row[1:] for row in sync.query(KNOWN) if row[0] != str(another)} == states
    assert len(sync.calls("register")) == calls + 1
    assert worker.stop() == 0


async def test_a_log_that_does_not_join_what_is_there_is_refused_unless_it_is_forced(
    sync: "Sync", administrator: aio_pika.abc.AbstractChannel
) -> None:
    worker = await sync.started()
    await sync.registered()
    assert worker.stop() == 0
    await administrator.queue_delete(LOG)
    arguments: Any = {"x-queue-type": "stream"}
    await (await administrator.declare_queue(LOG, durable=True, arguments=arguments)).bind(EXCHANGE, "#")
    unknown = uuid4()
    await sync.publisher.publish([sync.created(unknown)])
    await (await administrator.get_queue(SYNC_PRODUCTS.queue)).purge()
    refused = sync.cli("rebuild-products", "--from-log", rabbitmq_url=sync.broker_url)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert refused.stderr.startswith("offers-sync: refused (--force does it), as something would be missing: ")
    assert sync.query("SELECT 1 FROM products WHERE product_id = %s", [unknown]) == []
    assert sync.cli("rebuild-products", "--from-log", "--force", rabbitmq_url=sync.broker_url).returncode == 0
    assert sync.query("SELECT status FROM products WHERE product_id = %s", [unknown]) == [("pending",)]


async def test_what_makes_no_sense_or_can_not_be_done_is_said_in_one_line(sync: "Sync") -> None:
    assert sync.cli("rebuild-products", rabbitmq_url=sync.broker_url).returncode == 2
    for absent in (
        {"rabbitmq_url": "amqp://127.0.0.1:1/"},
        {"rabbitmq_url": sync.broker_url, "database_url": "postgresql://nobody@127.0.0.1:1/none"},
    ):
        failed = sync.cli("rebuild-products", "--from-log", **absent)
        assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
        assert failed.stderr.startswith("offers-sync: not done, do it again: ")
