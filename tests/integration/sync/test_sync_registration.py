"""From an event about a product to its registration with the Offers microservice."""

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from aggregator_contracts import ProductRegistered, ProductRegistrationFailed
from catalog_api.db.database import Database
from catalog_api.db.migrate import migrate as migrate_catalog
from catalog_api.db.product_reads import ProductReads
from catalog_api.domain.product import ProductText, Registration
from catalog_api.use_cases.apply_registration import ApplyRegistration
from catalog_api.use_cases.create_products import CreateProducts
from devstack.linux_processes import frozen
from offers_sync.use_cases.registrar import LEASE_SECONDS

if TYPE_CHECKING:
    from tests.integration.sync.conftest import Sync


async def test_a_product_is_registered_within_a_second_and_polled_in_its_next_slot(sync: "Sync") -> None:
    await sync.started()
    seconds: list[float] = []
    for _ in range(5):
        begun = time.monotonic()
        (product,) = await sync.registered()
        seconds.append(time.monotonic() - begun)
    # A machine that is busy for a moment is not busy most of the time.
    assert statistics.median(seconds) < 1
    await sync.until(lambda: bool(sync.updates(product)))
    (call,) = sync.calls("register", product)
    registered = sync.simulator.admin("GET", "/products")["items"][-1]
    assert (registered["id"], registered["name"]) == (str(product), "Lawn mower")
    assert call["token"] == registered["token"] == sync.query("SELECT value FROM access_tokens")[0][0]


async def test_a_refused_product_fails_with_the_reason_until_it_is_changed(sync: "Sync") -> None:
    worker = await sync.started()
    product = uuid4()
    sync.fault(
        "status", "register", status=400, body={"code": "BAD_REQUEST", "msg": "no such name"}, product=str(product)
    )
    await sync.publisher.publish([sync.created(product)])
    await sync.until(lambda: product in sync.subjects("ProductRegistrationFailed"))
    (failed,) = [event for event in sync.events if event.type == "offers.product-registration-failed.v1"]
    assert failed.data.reason == "400 no such name"  # type: ignore[attr-defined]
    sync.end_faults()
    await sync.registered()
    assert len(sync.calls("register", product)) == 1, "a refused product must not be tried again by itself"

    await sync.publisher.publish([sync.updated(product, 2)])
    await sync.until(lambda: product in sync.subjects("ProductRegistered"))
    assert worker.metric('aggregator_offers_sync_registrations_total{outcome="refused"}') == 1


async def test_a_refusal_of_an_older_version_does_not_fail_the_changed_product(sync: "Sync") -> None:
    await sync.started(offers_request_timeout_seconds=30)
    product = uuid4()
    sync.fault("status", "register", status=400, product=str(product), times=1)
    with frozen(sync.simulator.process.pid):
        await sync.publisher.publish([sync.created(product)])
        await sync.until(lambda: sync.query("SELECT fence FROM products WHERE product_id = %s", [product]) == [(1,)])
        await sync.publisher.publish([sync.updated(product, 2)])
        await sync.until(lambda: sync.query("SELECT version FROM products WHERE product_id = %s", [product]) == [(2,)])
    await sync.until(lambda: product in sync.subjects("ProductRegistered"))
    assert product not in sync.subjects("ProductRegistrationFailed")


@pytest.mark.parametrize(
    "fault", [{"status": 503}, {"status": 500}, {"status": 403}, {"status": 429, "retry_after": 1}]
)
async def test_whatever_else_goes_wrong_is_tried_again(sync: "Sync", fault: dict[str, int]) -> None:
    await sync.started()
    sync.fault("status", "register", times=2, **fault)
    (product,) = await sync.registered()
    statuses = [call["status"] for call in sync.calls("register", product)]
    assert statuses == [fault["status"]] * 2 + [201]


async def test_a_lost_answer_and_a_conflict_count_as_registered(sync: "Sync") -> None:
    await sync.started(offers_request_timeout_seconds=5)
    sync.fault("black_hole", "register", times=1, applied=True)
    sync.fault("status", "register", status=409, times=1)
    (product,) = await sync.registered()
    await sync.until(lambda: bool(sync.updates(product)))
    assert len(sync.calls("register", product)) == 2


async def test_a_slow_registration_holds_nobody_back(sync: "Sync") -> None:
    await sync.started(offers_request_timeout_seconds=30)
    slow = uuid4()
    sync.fault("delay", "register", delay_seconds=8, product=str(slow))
    await sync.publisher.publish([sync.created(slow)])
    await sync.until(lambda: bool(sync.calls("register", slow)))
    await sync.registered(20)
    assert slow not in sync.subjects("ProductRegistered")
    await sync.until(lambda: slow in sync.subjects("ProductRegistered"))


async def test_an_update_keeps_the_registration(sync: "Sync") -> None:
    await sync.started()
    (product,) = await sync.registered()
    await sync.publisher.publish([sync.updated(product, 2)])
    await sync.until(
        lambda: sync.query("SELECT version, name, status FROM products") == [(2, "Better mower", "registered")]
    )
    await sync.registered()
    assert len(sync.calls("register", product)) == 1


async def test_events_out_of_order_and_repeated_do_no_harm(sync: "Sync") -> None:
    await sync.started()
    changed, gone = uuid4(), uuid4()
    await sync.publisher.publish([sync.updated(changed, 3, "Third"), sync.deleted(gone, 3)])
    await sync.until(lambda: sync.query("SELECT count(*) FROM products") == [(2,)])
    await sync.publisher.publish(
        [sync.created(changed), sync.updated(changed, 2, "Second"), sync.created(gone), sync.updated(gone, 2)] * 2
    )
    await sync.registered()
    await sync.until(lambda: changed in sync.subjects("ProductRegistered"))
    assert sync.query("SELECT version, name FROM products WHERE product_id = %s", [changed]) == [(3, "Third")]
    assert sync.query("SELECT status FROM products WHERE product_id = %s", [gone]) == [("deleted",)]
    assert sync.calls("register", gone) == []
    assert len(sync.calls("register", changed)) == 1


async def test_a_deleted_product_is_not_polled(sync: "Sync") -> None:
    await sync.started()
    gone, kept = await sync.registered(2)
    await sync.until(lambda: bool(sync.updates(gone)))
    await sync.publisher.publish([sync.deleted(gone)])
    await sync.until(lambda: sync.query("SELECT 1 FROM products WHERE status = 'deleted'") == [(1,)])
    polls, others = len(sync.calls("offers", gone)), len(sync.calls("offers", kept))
    await sync.until(lambda: len(sync.calls("offers", kept)) >= others + 3)
    assert len(sync.calls("offers", gone)) <= polls + 1, "one poll may have been claimed already"


async def test_a_late_answer_does_not_resurrect_a_deleted_product(sync: "Sync") -> None:
    await sync.started()
    (product,) = await sync.registered()
    sync.fault("delay", delay_seconds=1, product=str(product))
    await sync.until(lambda: bool(sync.query("SELECT 1 FROM buckets WHERE leased_until IS NOT NULL")))
    await sync.publisher.publish([sync.deleted(product)])
    await sync.until(lambda: sync.query("SELECT status FROM products") == [("deleted",)])
    await sync.until(lambda: not sync.query("SELECT 1 FROM buckets WHERE leased_until IS NOT NULL"))
    assert sync.query("SELECT 1 FROM polled_products") == []
    assert sync.query("SELECT name, description, status FROM products") == [("", "", "deleted")]


async def test_a_late_registration_does_not_resurrect_a_deleted_product(sync: "Sync") -> None:
    await sync.started(offers_request_timeout_seconds=30)
    product = uuid4()
    with frozen(sync.simulator.process.pid):
        await sync.publisher.publish([sync.created(product)])
        await sync.until(lambda: sync.query("SELECT fence FROM products") == [(1,)])
        await sync.publisher.publish([sync.deleted(product)])
        await sync.until(lambda: sync.query("SELECT status FROM products") == [("deleted",)])
    await sync.until(lambda: len(sync.calls("register", product)) == 1)
    await sync.registered()
    await sync.until(lambda: len(sync.simulator.admin("GET", "/products")["items"]) == 2)
    assert sync.query("SELECT status FROM products WHERE product_id = %s", [product]) == [("deleted",)]
    assert product not in sync.subjects("ProductRegistered")


async def test_a_forgotten_product_is_registered_again_once_an_hour_and_keeps_its_list(sync: "Sync") -> None:
    worker = await sync.started()
    (product,) = await sync.registered()
    sync.set_offers(product, {7: 100})
    await sync.until(lambda: sync.prices(product) == {"7": 100})

    sync.simulator.admin("DELETE", f"/products/{product}")
    await sync.until(lambda: len(sync.calls("register", product)) == 2)
    sync.set_offers(product, {7: 90})
    await sync.until(lambda: sync.prices(product) == {"7": 90})
    assert all(update.offers for update in sync.updates(product)[1:])

    sync.simulator.admin("DELETE", f"/products/{product}")
    unknown = 'aggregator_offers_sync_polls_total{outcome="not_registered"}'
    await sync.until(lambda: worker.metric(unknown) >= 4)
    assert len(sync.calls("register", product)) == 2
    assert sync.prices(product) == {"7": 90}


async def test_two_copies_register_each_product_once_and_say_so_once(sync: "Sync") -> None:
    await sync.started()
    await sync.started()
    products = await sync.registered(300)
    assert len(sync.calls("register")) == 300
    names = [event for event in sync.events if event.type == "offers.product-registered.v1"]
    assert len(names) == len(products)


async def test_a_registration_whose_worker_died_is_made_by_another_within_seconds(sync: "Sync") -> None:
    settings = {"offers_request_timeout_seconds": 30}
    sync.fault("black_hole", "register")
    dying = await sync.started(**settings)
    (product,) = await sync.create()
    await sync.until(lambda: len(sync.calls("register", product)) == 1)
    await sync.started(**settings)
    sync.end_faults()
    dying.kill()
    # Long before the call that hangs would be given up.
    await sync.until(lambda: product in sync.subjects("ProductRegistered"), LEASE_SECONDS + 15)


async def test_a_registration_slower_than_its_lease_is_made_once(sync: "Sync") -> None:
    settings = {"offers_request_timeout_seconds": 30}
    sync.fault("delay", "register", delay_seconds=1.5 * LEASE_SECONDS)
    for _ in range(2):
        await sync.started(**settings)
    (product,) = await sync.registered()
    assert len(sync.calls("register", product)) == 1


async def test_a_clock_set_back_makes_no_registration_wait_for_the_length_of_the_step(sync: "Sync") -> None:
    sync.fault("status", "register", status=503)
    worker = await sync.started()
    (product,) = await sync.create()
    await sync.until(lambda: bool(sync.calls("register", product)))
    worker.kill()
    sync.end_faults()
    sync.query("UPDATE products SET next_attempt_at = next_attempt_at + interval '1 h'")
    await sync.started()
    await sync.until(lambda: product in sync.subjects("ProductRegistered"))


async def test_a_refused_product_that_is_registered_after_the_clock_was_set_back_ends_as_registered(
    sync: "Sync", make_database: Callable[..., str]
) -> None:
    catalog_dsn = make_database()
    migrate_catalog(catalog_dsn)
    catalog = Database(catalog_dsn, application_name="test", pool_size=1, pool_timeout=5, statement_timeout=10)
    async with catalog:
        [product] = [created.id for created in await CreateProducts(catalog)([ProductText("Mower", "Cuts")])]
        await sync.started()
        sync.fault("status", "register", status=400, product=str(product))
        await sync.publisher.publish([sync.created(product)])
        await sync.until(lambda: product in sync.subjects("ProductRegistrationFailed"))
        # What was said while the clock was an hour ahead.
        [(ahead,)] = sync.query("UPDATE products SET outcome_at = outcome_at + interval '1 h' RETURNING outcome_at")
        sync.end_faults()
        await sync.publisher.publish([sync.updated(product, 2)])
        await sync.until(lambda: product in sync.subjects("ProductRegistered"))

        [failed] = [event for event in sync.events if isinstance(event, ProductRegistrationFailed)]
        [registered] = [event for event in sync.events if isinstance(event, ProductRegistered)]
        apply = ApplyRegistration(catalog)
        await apply(failed.model_copy(update={"time": ahead}))
        await apply(registered)
        assert (await ProductReads(catalog).get(product)).registration == Registration.REGISTERED
