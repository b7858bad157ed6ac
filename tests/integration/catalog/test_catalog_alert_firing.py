"""Alerts as prices change: from events to deliveries, each firing once."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from tests.integration.processes import eventually

from aggregator_contracts import (
    BackInStock,
    BestPriceChange,
    BestPriceChanged,
    Event,
    LowReached,
    NewLow,
    StockReturned,
)
from aggregator_contracts.topology import CATALOG_ALERTS
from catalog_api.db import alert_states
from catalog_api.db.database import Database
from catalog_api.domain.errors import DatabaseUnavailableError
from catalog_api.use_cases.fire_alerts import FireAlerts
from catalog_api.use_cases.manage_alerts import ForgetOldFirings
from event_bus import EventConsumer, EventPublisher, decode_event

from .conftest import UNKNOWN, Api, make_webhook

START = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
"""After the alerts are made, as they go by nothing that happened before."""
BELOW = {"type": "best_price_at_or_below", "price": 900}
DROP = {"type": "drop", "percent": 10, "window": "24h"}


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def changed(*changes: tuple[str, float, int | None, int | None]) -> BestPriceChanged:
    """From product, minute, and the prices before and after."""
    return BestPriceChanged.of(
        [
            BestPriceChange(
                product_id=UUID(product),
                revision=max(1, int(minute) + 1),
                at=at(minute),
                old_price=old,
                new_price=new,
                change_percent=None,
                offer_id=None if new is None else "1",
                cause="repriced",
                cause_offer_id="1",
            )
            for product, minute, old, new in changes
        ]
    )


def new_low(product: str, minute: float, price: int, days: int | None, ever: int) -> NewLow:
    low = LowReached(
        product_id=UUID(product),
        revision=int(minute) + 1,
        at=at(minute),
        price=price,
        offer_id="1",
        previous_low_30_days=days,
        lowest_ever=price < ever,
        previous_low_ever=ever,
        watched_since=START - timedelta(days=100),
    )
    return NewLow.of([low])


def back(product: str, minute: float, price: int) -> BackInStock:
    returned = StockReturned(
        product_id=UUID(product),
        revision=int(minute) + 1,
        at=at(minute),
        price=price,
        offer_id="1",
        out_of_stock_since=START,
    )
    return BackInStock.of([returned])


async def handle(database: Database, *events: Event) -> None:
    """As a worker does that has just started."""
    fire = FireAlerts(database)
    for event in events:
        received: Any = decode_event(event.to_json())
        await fire(received)


@pytest.fixture
async def webhook(database: Database) -> str:
    return str(await make_webhook(database))


async def make(api: Api, webhook: str, **fields: Any) -> Any:
    body = {"condition": BELOW, "webhook_id": webhook, "cooldown_seconds": 0, "hysteresis_percent": 0} | fields
    reply = await api("POST", "/alerts", json=body)
    assert reply.status == 201, reply
    return reply.json


async def deliveries(sql: Any) -> list[Any]:
    """What webhooks are to be told, oldest firing first."""
    rows = await sql.fetch("SELECT webhook_id, id, type, body FROM webhook_deliveries")
    told = [{**json.loads(row["body"]), "webhook_id": str(row["webhook_id"]), "id": str(row["id"])} for row in rows]
    assert all(row["type"] == one["type"] for row, one in zip(rows, told, strict=True))
    return sorted(told, key=lambda one: (one["timestamp"], one["data"]["product_id"], one["id"]))


async def told_prices(sql: Any) -> list[int]:
    return [one["data"]["price"] for one in await deliveries(sql)]


async def test_a_firing_is_told_to_the_webhook_and_counted(
    api: Api, webhook: str, database: Database, sql: Any
) -> None:
    product = (await api.create())["id"]
    alert = await make(api, webhook, product_id=product, name="mower")
    await handle(database, changed((product, 1, 950, 901)), changed((product, 2, 901, 900)))
    [told] = await deliveries(sql)
    assert told == {
        "type": "alert.fired",
        "timestamp": text(at(2)),
        "data": {
            "alert_id": alert["id"],
            "name": "mower",
            "product_id": product,
            "condition": BELOW,
            "price": 900,
            "reference": 900,
            "at": text(at(2)),
        },
        "webhook_id": webhook,
        "id": told["id"],
    }
    shown = (await api("GET", f"/alerts/{alert['id']}")).json
    assert (shown["firings_count"], shown["last_fired_at"]) == (1, text(at(2)))
    firing = {"id": told["id"], "product_id": product, "at": text(at(2)), "price": 900, "reference": 900}
    assert (await api("GET", f"/alerts/{alert['id']}/firings")).json == {"items": [firing], "next_cursor": None}


async def test_an_alert_on_all_products_knows_each_by_itself(
    api: Api, webhook: str, database: Database, sql: Any
) -> None:
    one, other = sorted([(await api.create())["id"], (await api.create())["id"]])
    await make(api, webhook, cooldown_seconds=3600)
    await handle(database, changed((one, 1, None, 850)), changed((one, 2, 850, 840), (other, 2, 950, 860)))
    assert [(t["data"]["product_id"], t["data"]["price"]) for t in await deliveries(sql)] == [(one, 850), (other, 860)]


async def test_an_alert_on_a_product_hears_of_no_other(api: Api, webhook: str, database: Database, sql: Any) -> None:
    one, other = (await api.create())["id"], (await api.create())["id"]
    await make(api, webhook, product_id=one)
    await handle(database, changed((other, 1, 950, 850)), changed((other, 2, 850, 840), (one, 2, 950, 901)))
    assert await deliveries(sql) == []
    assert await sql.fetchval("SELECT count(*) FROM alert_states") == 0


async def test_each_condition_hears_of_what_it_goes_by(api: Api, webhook: str, database: Database, sql: Any) -> None:
    product = (await api.create())["id"]
    for condition in (DROP, DROP | {"type": "rise"}, {"type": "new_low", "over": "30d"}, {"type": "back_in_stock"}):
        await make(api, webhook, product_id=product, condition=condition)
    await handle(
        database,
        changed((product, 1, 1000, 950)),
        changed((product, 2, 950, 899)),
        new_low(product, 2, 899, 950, 940),
        changed((product, 3, 899, None)),
        changed((product, 4, None, 990)),
        back(product, 4, 990),
    )
    told = {t["data"]["condition"]["type"]: (t["data"]["price"], t["data"]["reference"]) for t in await deliveries(sql)}
    assert told == {"drop": (899, 1000), "new_low": (899, 950), "rise": (990, 899), "back_in_stock": (990, None)}


async def test_a_disabled_alert_is_not_evaluated_and_starts_anew_when_enabled(
    api: Api, webhook: str, database: Database, sql: Any
) -> None:
    product = (await api.create())["id"]
    path = f"/alerts/{(await make(api, webhook, product_id=product))['id']}"
    await handle(database, changed((product, 1, 950, 900)))
    await api("PATCH", path, json={"enabled": False})
    await handle(database, changed((product, 2, 900, 899)))
    assert await told_prices(sql) == [900]
    await api("PATCH", path, json={"enabled": True})
    await handle(database, changed((product, 3, 899, 898)))
    assert await told_prices(sql) == [900, 898]


async def test_what_happened_before_an_alert_was_made_enabled_or_changed_is_nothing_to_it(
    api: Api, webhook: str, database: Database, sql: Any
) -> None:
    product = (await api.create())["id"]
    ago = (datetime.now(UTC) - START) / timedelta(minutes=1)
    path = f"/alerts/{(await make(api, webhook, product_id=product))['id']}"
    await handle(database, changed((product, ago, 950, 890)))
    assert await sql.fetchval("SELECT count(*) FROM alert_states") == 0
    await api("PATCH", path, json={"enabled": False})
    for patch in ({"enabled": True}, {"condition": BELOW | {"price": 901}}):
        between = (datetime.now(UTC) - START) / timedelta(minutes=1)
        await api("PATCH", path, json=patch)
        await handle(database, changed((product, between, 890, 880)))
    assert await deliveries(sql) == []
    since = await sql.fetchval("SELECT watching_since FROM alerts")
    await api("PATCH", path, json={"name": "still the same"})
    assert await sql.fetchval("SELECT watching_since FROM alerts") == since
    now = (datetime.now(UTC) - START) / timedelta(minutes=1)
    await handle(database, changed((product, now, 880, 870)))
    assert await told_prices(sql) == [870]


async def test_what_an_alert_knows_is_forgotten_when_it_watches_something_else(
    api: Api, webhook: str, database: Database, sql: Any
) -> None:
    product = (await api.create())["id"]
    path = f"/alerts/{(await make(api, webhook, product_id=product))['id']}"
    await handle(database, changed((product, 1, 950, 900)))
    await api("PATCH", path, json={"name": "other", "cooldown_seconds": 1, "hysteresis_percent": 3.0})
    await handle(database, changed((product, 2, 900, 899)))
    assert await told_prices(sql) == [900]
    await api("PATCH", path, json={"condition": BELOW | {"price": 901}})
    await handle(database, changed((product, 3, 899, 898)))
    assert await told_prices(sql) == [900, 898]


async def test_deleting_a_product_or_an_alert_forgets_its_states(
    api: Api, webhook: str, database: Database, sql: Any
) -> None:
    one, other = (await api.create())["id"], (await api.create())["id"]
    path = f"/alerts/{(await make(api, webhook, condition=DROP))['id']}"
    await handle(database, changed((one, 1, 950, 900), (other, 1, 950, 100)))
    assert await sql.fetchval("SELECT count(*) FROM alert_states") == 2
    await api("DELETE", f"/products/{one}")
    assert await sql.fetchval("SELECT count(*) FROM alert_states") == 1
    await handle(database, changed((one, 2, 900, 1), (UNKNOWN, 2, 900, 1), (other, 2, 100, 90)))
    assert await told_prices(sql) == [100]
    await api("DELETE", path)
    assert await sql.fetchval("SELECT count(*) FROM alert_states") == 0
    assert await sql.fetchval("SELECT count(*) FROM alert_firings") == 0


async def test_a_webhook_that_is_disabled_is_told_nothing_but_the_firing_is_logged(
    api: Api, database: Database, sql: Any
) -> None:
    product = (await api.create())["id"]
    alert = await make(api, str(await make_webhook(database, "switched_off")), product_id=product)
    await handle(database, changed((product, 1, 950, 900)))
    assert await deliveries(sql) == []
    assert (await api("GET", f"/alerts/{alert['id']}")).json["firings_count"] == 1


async def test_firings_are_listed_newest_first_in_pages(api: Api, webhook: str, database: Database) -> None:
    product = (await api.create())["id"]
    alert = await make(api, webhook, condition={"type": "back_in_stock"})
    await handle(database, *(back(product, minute, 100 + minute) for minute in range(5)))
    walked, query = [], {"limit": "2"}
    while True:
        page = (await api("GET", f"/alerts/{alert['id']}/firings", params=query)).json
        walked += [firing["price"] for firing in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert walked == [104, 103, 102, 101, 100]


async def test_old_firings_leave_the_log_and_stay_counted(api: Api, webhook: str, database: Database, sql: Any) -> None:
    product = (await api.create())["id"]
    alert = await make(api, webhook, condition={"type": "back_in_stock"})
    await handle(database, *(back(product, minute, 100 + minute) for minute in range(3)))
    await sql.execute("UPDATE alert_firings SET created_at = now() - interval '31 days' WHERE price < 102")
    assert [await ForgetOldFirings(database)(batch=1) for _ in range(3)] == [1, 1, 0]
    page = (await api("GET", f"/alerts/{alert['id']}/firings")).json
    assert [firing["price"] for firing in page["items"]] == [102]
    assert (await api("GET", f"/alerts/{alert['id']}")).json["firings_count"] == 3


async def test_what_comes_again_is_told_once_in_whatever_order(
    api: Api, webhook: str, database: Database, sql: Any
) -> None:
    product = (await api.create())["id"]
    for condition in (BELOW, DROP):
        await make(api, webhook, product_id=product, condition=condition)
    prices = [1000, 890, 950, 880, 700, 900, 640]
    events = [changed((product, n, old, new)) for n, (old, new) in enumerate(pairwise(prices))]
    await handle(database, *events)
    first = await deliveries(sql)
    known = await sql.fetch("SELECT * FROM alert_states ORDER BY alert_id")
    # 950 left the price but not the drop, which 700 went on with; both came again with 640.
    assert [(t["data"]["condition"]["type"], t["data"]["price"]) for t in first].count(("drop", 890)) == 1
    for _ in range(5):
        await handle(database, *random.sample(events, len(events)))
    assert await deliveries(sql) == first
    assert await sql.fetch("SELECT * FROM alert_states ORDER BY alert_id") == known


async def test_two_workers_with_the_same_message_at_once_tell_it_once(
    api: Api, webhook: str, database: Database, sql: Any
) -> None:
    products = [(await api.create())["id"] for _ in range(20)]
    alert = await make(api, webhook)
    event: Any = decode_event(changed(*((product, 1, 950, 900) for product in products)).to_json())
    await asyncio.gather(*(FireAlerts(database)(event) for _ in range(4)))
    assert len(await deliveries(sql)) == 20
    assert (await api("GET", f"/alerts/{alert['id']}")).json["firings_count"] == 20


async def test_alerts_are_not_evaluated_while_somebody_changes_them(
    api: Api, webhook: str, database: Database, sql: Any
) -> None:
    product = (await api.create())["id"]
    await make(api, webhook, product_id=product)

    async def somebody_waits() -> bool:
        waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted)"
        return bool(await sql.fetchval(waiting, alert_states._LOCK & 0xFFFFFFFF))

    async with sql.transaction():
        await sql.execute("SELECT pg_advisory_xact_lock($1)", alert_states._LOCK)
        evaluating = asyncio.create_task(handle(database, changed((product, 1, 950, 900))))
        await eventually(somebody_waits)
        await sql.execute("UPDATE alerts SET enabled = false")
    await evaluating
    assert await deliveries(sql) == []


async def test_an_alert_that_leaves_a_product_as_it_is_deleted_is_in_nobodys_way(
    api: Api, webhook: str, database: Database, sql: Any
) -> None:
    old, new = (await api.create())["id"], (await api.create())["id"]
    for _ in range(2):
        await make(api, webhook, product_id=old, condition=DROP)
    await handle(database, changed((old, 1, 1000, 990)))
    assert await sql.fetchval("SELECT count(*) FROM alert_states") == 2
    # In the order in which they are deleted with the product.
    first, last = [row["id"] for row in await sql.fetch("SELECT id FROM alerts ORDER BY ctid")]

    async def wait_for_locks(count: int) -> None:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )

        async def so_many_wait() -> bool:
            await sql.execute("SELECT pg_stat_clear_snapshot()")
            return bool(await sql.fetchval(waiting) == count)

        await eventually(so_many_wait)

    async with sql.transaction():
        await sql.execute("SELECT FROM alerts WHERE id = $1 FOR UPDATE", last)
        deleting = asyncio.create_task(api("DELETE", f"/products/{old}"))
        await wait_for_locks(1)
        moving = asyncio.create_task(api("PATCH", f"/alerts/{first}", json={"product_id": new}))
        await wait_for_locks(2)
    assert (await deleting).status == 204
    (await moving).problem(404)


async def test_changing_and_deleting_alerts_and_products_meanwhile_breaks_nothing(
    api: Api, webhook: str, database: Database
) -> None:
    products = [(await api.create())["id"] for _ in range(10)]
    made = [await make(api, webhook, product_id=product) for product in products]
    made += [await make(api, webhook, condition=DROP) for _ in range(3)]
    fire = FireAlerts(database)

    async def fires() -> None:
        for minute in range(20):
            price = 1000 - 20 * minute
            received: Any = decode_event(
                changed(*((product, minute, price + 20, price) for product in products)).to_json()
            )
            await fire(received)

    async def meddles() -> None:
        for alert in made:
            reply = await api("PATCH", f"/alerts/{alert['id']}", json={"enabled": False})
            assert reply.status in {200, 404}, reply
            await api("PATCH", f"/alerts/{alert['id']}", json={"enabled": True})
            assert (await api("DELETE", f"/alerts/{alert['id']}")).status in {204, 404}

    async def deletes() -> None:
        for product in products:
            assert (await api("DELETE", f"/products/{product}")).status == 204

    await asyncio.gather(fires(), meddles(), deletes())
    assert (await api("GET", "/alerts")).json["items"] == []


async def test_without_an_alert_on_the_products_nothing_is_written_or_locked(
    api: Api, webhook: str, database: Database, sql: Any
) -> None:
    one, other = (await api.create())["id"], (await api.create())["id"]
    await make(api, webhook, product_id=other)
    await make(api, webhook, enabled=False)
    # Whoever wrote, locked a row or wanted to hold the alerts would wait for this transaction.
    async with sql.transaction():
        await sql.execute(
            "LOCK TABLE alerts, alert_states, alert_firings, products, webhook_deliveries IN EXCLUSIVE MODE"
        )
        await sql.execute("SELECT pg_advisory_xact_lock($1)", alert_states._LOCK)
        events = (changed((one, minute, 1000 + minute, minute)) for minute in range(20))
        await asyncio.wait_for(handle(database, *events), 10)


@asynccontextmanager
async def workers(url: str, database: Database, count: int) -> AsyncIterator[Sequence[asyncio.Event]]:
    """Consumers as in `catalog-api work`, each with what stops it."""
    stops, running = [], []
    for _ in range(count):
        consumer = EventConsumer(url, transient=(DatabaseUnavailableError,))
        consumer.subscribe(CATALOG_ALERTS, FireAlerts(database))
        stops.append(asyncio.Event())
        running.append(asyncio.create_task(consumer.run(stops[-1])))
    try:
        yield stops
    finally:
        for stop in stops:
            stop.set()
        await asyncio.wait_for(asyncio.gather(*running), 15)


async def test_over_the_broker_each_firing_is_told_once_whoever_stops_and_whatever_comes_again(
    api: Api, webhook: str, database: Database, broker_accounts: Callable[[str], str], sql: Any
) -> None:
    products = [(await api.create())["id"] for _ in range(5)]
    await make(api, webhook)
    publisher = EventPublisher(broker_accounts("price-history"))
    told = 0

    async def all_are_told() -> bool:
        return bool(await sql.fetchval("SELECT count(*) FROM webhook_deliveries") == told)

    async with workers(broker_accounts("catalog-api"), database, 2) as stops:
        for step in range(40):
            # Every second change comes to the condition, the others leave it.
            old, new = (1000, 900) if step % 2 == 0 else (900, 1000)
            event = changed(*((product, step, old, new) for product in products))
            await publisher.publish([event, event] if step % 3 == 0 else [event])
            told += len(products) if new == 900 else 0
            if step == 20:
                stops[0].set()
        await eventually(all_are_told)
        # One more, to see that all before it was handled, and nothing twice.
        await publisher.publish([changed((products[0], 100, 1000, 899))])
        told += 1
        await eventually(all_are_told)
    await publisher.stop()
    assert await sql.fetchval("SELECT sum(firings_count) FROM alerts") == told
