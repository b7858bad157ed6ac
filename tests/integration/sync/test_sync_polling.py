"""Every product is polled once in each of its slots, and what differs is published, once."""

import itertools
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from devstack.broker_management import BrokerManagement
from devstack.rabbitmq import RabbitNode

if TYPE_CHECKING:
    from tests.integration.sync.conftest import Sync

LEAST_PAUSE_SECONDS = 2.5
"""Between two probes, five seconds apart, of which the first may arrive late."""


def gaps(sync: "Sync", product: UUID) -> list[float]:
    moments = [call["at"] for call in sync.calls("offers", product)]
    return [later - earlier for earlier, later in itertools.pairwise(moments)]


async def test_two_copies_poll_each_product_once_in_each_slot(sync: "Sync") -> None:
    workers = [await sync.started(offers_poll_interval_seconds=5) for _ in range(2)]
    products = await sync.registered(60)
    sync.simulator.admin("DELETE", "/ledger")
    await sync.until(lambda: len(sync.calls("offers")) >= 4 * len(products), 60)
    for product in products:
        # Each is due at the same phase of every interval, give or take what a busy machine adds.
        assert gaps(sync, product), product
        assert min(gaps(sync, product)) > 2.5, "polled twice in a slot"
        assert max(gaps(sync, product)) < 9.9, "a slot was left out"
    polled = [worker.metric('aggregator_offers_sync_polls_total{outcome="unchanged"}') for worker in workers]
    assert min(polled) > 0, "the copies share the load"


async def test_slots_are_spread_evenly_over_the_interval(sync: "Sync") -> None:
    await sync.started(offers_poll_interval_seconds=4)
    await sync.registered(400)
    dues = sync.query("SELECT mod(extract(epoch FROM due_at), 4)::float8 FROM buckets")
    seconds = [sum(second <= due < second + 0.5 for (due,) in dues) for second in (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5)]
    assert max(seconds) <= 1.1 * 400 / 8


async def test_a_change_is_published_and_what_is_unchanged_is_not(sync: "Sync") -> None:
    worker = await sync.started()
    product, other = await sync.registered(2)
    sync.set_offers(product, {8: 200, 7: 100})
    sync.set_offers(other, {7: 55})
    await sync.until(lambda: sync.prices(product) == {"7": 100, "8": 200} and sync.prices(other) == {"7": 55})
    # Another body, of which nothing is known, and the same list.
    sync.simulator.admin("PUT", f"/products/{other}/offers", [{"price": 55, "id": "7", "items_in_stock": 1, "x": {}}])

    sync.set_offers(product, {7: 90, 8: 200})
    changed_at = time.time()
    await sync.until(lambda: sync.prices(product) == {"7": 90, "8": 200})
    told_at = sync.updates(product)[-1].observed_at.timestamp()
    asked = [call["at"] for call in sync.calls("offers", product) if changed_at < call["at"] < told_at]
    assert len(asked) <= 1, "the first poll that could find it did not tell it"
    sync.set_offers(product, {})
    await sync.until(lambda: sync.prices(product) == {})

    updates = sync.updates(product)
    assert [update.revision for update in updates] == list(range(1, len(updates) + 1))
    assert all(earlier.observed_at < later.observed_at for earlier, later in itertools.pairwise(updates))
    assert [offer.id for offer in updates[-2].offers] == ["7", "8"]
    polls = len(sync.calls("offers", other))
    await sync.until(lambda: len(sync.calls("offers", other)) >= polls + 2)
    told = [{offer.id: offer.price for offer in update.offers} for update in sync.updates(other)]
    assert told.count({"7": 55}) == 1
    assert worker.metric('aggregator_offers_sync_polls_total{outcome="unchanged"}') > 0
    revision = "SELECT revision FROM polled_products WHERE product_id = %s"
    await sync.until(lambda: sync.query(revision, [product]) == [(len(updates),)])


MISBEHAVIOURS: list[dict[str, Any]] = [
    *({"kind": "status", "status": status} for status in (400, 401, 403, 422, 429, 500, 502, 503)),
    {"kind": "status", "status": 429, "retry_after": 1},
    {"kind": "status", "status": 204},
    *({"kind": "reset", "at": at} for at in ("start", "headers", "body")),
    {"kind": "black_hole"},
    {"kind": "drip"},
    {"kind": "truncated_json"},
    {"kind": "nan", "rows": "all"},
    {"kind": "deep_nesting"},
    {"kind": "object"},
    {"kind": "huge_body"},
    {"kind": "gzip_bomb"},
    {"kind": "content_type"},
    {"kind": "redirect", "location": "http://127.0.0.1:1/"},
    *({"kind": "price", "price": price, "rows": "all"} for price in (-1, 2**63, 10.5, "12", True, None)),
    {"kind": "body", "text": '[{"id": 7, "price": 1e400, "items_in_stock": 1}]'},
    *({"kind": "missing_field", "field": field, "rows": "all"} for field in ("id", "price", "items_in_stock")),
]


async def test_no_misbehaviour_changes_a_list_or_touches_other_products(sync: "Sync") -> None:
    worker = await sync.started(offers_request_timeout_seconds=2)
    products = await sync.registered(len(MISBEHAVIOURS) + 10)
    for product in products:
        sync.set_offers(product, {7: 100, 8: 200})
    await sync.until(lambda: all(sync.prices(product) == {"7": 100, "8": 200} for product in products))
    spoiled, well = products[: len(MISBEHAVIOURS)], products[len(MISBEHAVIOURS) :]
    for product, fault in zip(spoiled, MISBEHAVIOURS, strict=True):
        sync.set_offers(product, {7: 1})
        sync.fault(product=str(product), **fault)
    known = {product: len(sync.calls("offers", product)) for product in spoiled}
    await sync.until(
        lambda: all(len(sync.calls("offers", product)) > count + 1 for product, count in known.items()), 60
    )
    for product in well:
        sync.set_offers(product, {9: 300})
    # If calls were stopped, with one product in five seconds, they would take minutes.
    await sync.until(lambda: all(sync.prices(product) == {"9": 300} for product in well))
    for product, fault in zip(spoiled, MISBEHAVIOURS, strict=True):
        assert sync.prices(product) == {"7": 100, "8": 200}, fault

    sync.end_faults()
    await sync.until(lambda: all(sync.prices(product) == {"7": 1} for product in spoiled))
    await sync.until(worker.ready)
    assert "loop_failed" not in worker.log


async def test_bad_rows_are_left_out_and_counted(sync: "Sync") -> None:
    worker = await sync.started()
    product, many = await sync.registered(2)
    rows = [{"id": 1, "price": -1, "items_in_stock": 1}, {"id": "two", "price": 5, "items_in_stock": 0}]
    sync.simulator.admin("PUT", f"/products/{product}/offers", rows)
    sync.fault("many_offers", product=str(many))
    await sync.until(lambda: sync.prices(product) == {"two": 5})
    await sync.until(lambda: len(sync.prices(many) or ()) == 10_000)
    assert worker.metric('aggregator_offers_sync_dropped_rows_total{reason="price"}') > 0


async def test_a_frozen_worker_loses_its_buckets_and_polls_nothing_when_it_wakes(sync: "Sync") -> None:
    settings = {"offers_poll_interval_seconds": 3, "offers_lease_seconds": 3}
    frozen = await sync.started(offers_max_concurrency=4, **settings)
    products = await sync.registered(40)
    await sync.until(lambda: all(sync.updates(product) for product in products))
    sync.fault("delay", delay_seconds=0.5)
    await sync.until(lambda: len(sync.query("SELECT 1 FROM buckets WHERE leased_until > now()")) >= 5)
    frozen.signal(signal.SIGSTOP)
    worker = await sync.started(**settings)
    sync.end_faults()
    sync.simulator.admin("DELETE", "/ledger")
    for product in products:
        sync.set_offers(product, {1: 11})
    await sync.until(lambda: all(sync.prices(product) == {"1": 11} for product in products))
    frozen.signal(signal.SIGCONT)
    polled = len(sync.calls("offers"))
    await sync.until(lambda: len(sync.calls("offers")) > polled + 3 * len(products))
    for product in products:
        assert min(gaps(sync, product)) > 1.5, "polled twice in a slot"
    for product in products:
        sync.set_offers(product, {1: 12})
    await sync.until(lambda: all(sync.prices(product) == {"1": 12} for product in products))
    assert worker.stop() == 0
    assert frozen.stop() == 0


async def test_a_killed_worker_costs_a_slot_and_leaves_nothing_in_doubt(sync: "Sync") -> None:
    settings = {"offers_lease_seconds": 3, "offers_request_timeout_seconds": 30}
    killed = await sync.started(**settings)
    products = await sync.registered(20)
    await sync.until(lambda: all(sync.updates(product) for product in products))
    sync.fault("black_hole")
    await sync.until(lambda: len(sync.query("SELECT 1 FROM buckets WHERE leased_until IS NOT NULL")) >= 10)
    killed.signal(signal.SIGSTOP)  # what it holds now, it holds when it dies
    orphans = [product for (product,) in sync.query(
        "SELECT product_id::text FROM polled_products JOIN buckets USING (bucket) WHERE leased_until IS NOT NULL"
    )]  # fmt: skip
    killed.kill()
    sync.end_faults()
    published = {orphan: len(sync.updates(UUID(orphan))) for orphan in orphans}
    await sync.started(**settings)
    # What the dead worker published last is unknown, so even an unchanged list is published again.
    await sync.until(lambda: all(len(sync.updates(UUID(orphan))) > count for orphan, count in published.items()))


async def test_sigterm_in_the_middle_of_calls_stores_what_is_complete_and_releases_the_rest(sync: "Sync") -> None:
    worker = await sync.started(offers_max_concurrency=4, offers_request_timeout_seconds=20)
    products = await sync.registered(40)
    await sync.until(lambda: all(sync.updates(product) for product in products))
    for product in products:
        sync.set_offers(product, {1: 11})
    sync.fault("delay", delay_seconds=8)
    await sync.until(lambda: len(sync.query("SELECT 1 FROM buckets WHERE leased_until IS NOT NULL")) >= 8)
    worker.signal(signal.SIGTERM)
    assert worker.process.wait(10) == 0
    assert sync.query("SELECT count(*) FROM buckets WHERE leased_until IS NOT NULL") == [(0,)]
    sync.end_faults()
    await sync.started()
    await sync.until(lambda: all(sync.prices(product) == {"1": 11} for product in products))


async def test_another_interval_moves_every_bucket_to_its_slots(sync: "Sync") -> None:
    worker = await sync.started(offers_poll_interval_seconds=3600)
    products = await sync.registered(30)
    assert worker.stop() == 0
    await sync.started(offers_poll_interval_seconds=1)
    await sync.until(lambda: all(sync.updates(product) for product in products))


async def test_calls_stop_while_the_offers_ms_is_away_and_resume_when_it_is_back(sync: "Sync") -> None:
    worker = await sync.started()
    products = await sync.registered(20)
    await sync.until(lambda: all(sync.updates(product) for product in products))
    sync.fault("status", "*", status=503)
    await sync.until(lambda: worker.metric('aggregator_offers_sync_calls_state{state="unavailable"}') == 1)
    polled = len(sync.calls("offers"))
    await sync.until(lambda: len(sync.pauses(polled)) >= 2)
    assert min(sync.pauses(polled)) > LEAST_PAUSE_SECONDS, "a probe in five seconds is enough"
    sync.end_faults()
    for product in products:
        sync.set_offers(product, {1: 11})
    await sync.until(lambda: all(sync.prices(product) == {"1": 11} for product in products), 15)
    await sync.until(lambda: worker.metric('aggregator_offers_sync_calls_state{state="open"}') == 1)


async def test_a_call_for_a_pause_is_honoured(sync: "Sync") -> None:
    worker = await sync.started()
    await sync.registered(20)
    sync.fault("status", status=429, retry_after=4)
    await sync.until(lambda: worker.metric('aggregator_offers_sync_calls_state{state="throttled"}') == 1)
    sync.end_faults()
    await sync.until(lambda: sync.calls("offers")[-1]["status"] == 200)
    since = list(itertools.dropwhile(lambda call: call["status"] != 429, sync.calls("offers")))
    assert max(later["at"] - earlier["at"] for earlier, later in itertools.pairwise(since)) > 3.5


async def test_requests_in_a_second_are_limited(sync: "Sync") -> None:
    await sync.started(offers_max_requests_per_second=10)
    await sync.registered(20)
    sync.simulator.admin("DELETE", "/ledger")
    await sync.until(lambda: len(sync.calls("offers")) >= 100)
    moments = [call["at"] for call in sync.calls("offers")]
    # Twenty are due in each second; the first may arrive late on a busy machine.
    assert moments[-1] - moments[0] > 0.75 * (len(moments) - 1) / 10


class TestBrokerAway:
    @pytest.fixture
    def rabbitmq_url(self, private_broker: RabbitNode) -> str:
        return private_broker.url()

    @pytest.fixture
    def rabbitmq_management(self, private_broker: RabbitNode) -> BrokerManagement:
        return private_broker.management

    async def test_the_latest_truth_is_published_when_the_broker_is_back(
        self, sync: "Sync", private_broker: RabbitNode, broker_accounts: Callable[[str], str]
    ) -> None:
        worker = await sync.started()
        products = await sync.registered(20)
        for product in products:
            sync.set_offers(product, {1: 10})
        await sync.until(lambda: all(sync.prices(product) == {"1": 10} for product in products))
        private_broker.kill()
        for product in products:
            sync.set_offers(product, {1: 11})
        doubtful = "SELECT count(*) FROM polled_products WHERE digest IS NULL"
        await sync.until(lambda: sync.query(doubtful) == [(len(products),)], 30)
        for product in products:
            # Whether the change before was published is unknown, so even going back must be.
            sync.set_offers(product, {1: 10})
        polled = len(sync.calls("offers"))
        await sync.until(lambda: len(sync.calls("offers")) > polled, 20)
        private_broker.start()
        private_broker.wait_until_ready()
        sync.events.clear()
        # Its queue has been there all the time: the worker may be back before it.
        await sync.listen(broker_accounts("subscriber"))
        await sync.until(lambda: all(sync.prices(product) == {"1": 10} for product in products), 20)
        assert worker.stop() == 0
