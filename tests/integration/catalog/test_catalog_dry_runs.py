"""Dry runs of alerts over what price-history recorded: what would have fired is what fires."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiohttp import web

import price_history.bootstrap
from catalog_api.db.database import Database
from catalog_api.use_cases import dry_run_alert
from catalog_api.use_cases.fire_alerts import FireAlerts
from event_bus import decode_event
from price_history.db.engine import Database as HistoryDatabase
from price_history.db.engine import Limits
from price_history.db.migrate import migrate as migrate_history
from price_history.db.snapshots import Snapshots
from price_history.domain.recording import ObservedList
from price_history.settings import ServeSettings as HistorySettings
from price_history.use_cases.derived_events import derived_events
from price_history.use_cases.keep_partitions import KeepPartitions
from price_history.use_cases.record_offers import RecordOffers
from price_history.use_cases.roll_up import RollUp

from .conftest import UNKNOWN, Api, StandInHistory, make_webhook, served, serving, settings

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
RETENTION = timedelta(days=400)
START = MIDNIGHT - timedelta(days=90)
HOUR = timedelta(hours=1)
BELOW = {"type": "best_price_at_or_below", "price": 900}
CONDITIONS = [
    BELOW,
    {"type": "drop", "percent": 3, "window": "24h"},
    {"type": "rise", "percent": 4.5, "window": "7d"},
    {"type": "new_low", "over": "30d"},
    {"type": "new_low", "over": "ever"},
    {"type": "back_in_stock"},
]


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


class History:
    """price-history: records prices, and keeps what it tells of them in its outbox."""

    def __init__(self, database: HistoryDatabase, dsn: str) -> None:
        self._record = RecordOffers(database, Snapshots(1000), derived_events)
        self._keep = KeepPartitions(database, RollUp(database), RETENTION, lambda: datetime.now(UTC))
        self._dsn = dsn
        self._revision = 0

    async def record(self, product: str, changes: Sequence[tuple[datetime, int | None]]) -> None:
        """One offer with these prices from these times on; none in stock where there is no price."""
        for at, price in changes:
            self._revision += 1
            offers = [("1", price or 1, 0 if price is None else 1)]
            await self._record({UUID(product): ObservedList.of(self._revision, at, offers)})

    async def forget(self) -> None:
        """Forget single changes that are older than the retention."""
        await self._keep.make()
        await self._keep.drop()

    async def told(self) -> list[Any]:
        """All events so far, in their order, as a consumer has them."""
        connection = await asyncpg.connect(self._dsn)
        rows = await connection.fetch("SELECT body FROM outbox ORDER BY id")
        await connection.close()
        return [decode_event(row["body"].encode()) for row in rows]


@pytest.fixture
async def recorded(make_database: Callable[[], str]) -> AsyncIterator[tuple[History, str]]:
    """A price-history, and its URL."""
    dsn = make_database()
    migrate_history(dsn)
    app = price_history.bootstrap.http_app(
        HistorySettings(database_url=dsn, rabbitmq_url="amqp://localhost/", api_auth="off")
    )
    database = HistoryDatabase(dsn, "test", Limits(8, 10, 60))
    async with served(app) as url:
        yield History(database, dsn), url
    await database.close()


@pytest.fixture
async def api(catalog_dsn: str, recorded: tuple[History, str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """With so much time that everything is looked at on a busy machine, too."""
    monkeypatch.setattr(dry_run_alert, "MAX_SECONDS", 600.0)
    async with serving(settings(catalog_dsn, price_history_url=recorded[1])) as served:
        yield served


@pytest.fixture
def prices(recorded: tuple[History, str]) -> History:
    return recorded[0]


async def dry_run(api: Api, **body: Any) -> Any:
    reply = await api("POST", "/alerts/dry-run", json=body)
    assert reply.status == 200, reply
    return reply.json


def walk(seed: int, days: int) -> list[tuple[datetime, int | None]]:
    """A price that goes up and down at odd moments, mostly a little, sometimes much, and is gone at times."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    at, price, changes = START, 1000, list[tuple[datetime, int | None]]()
    while at < START + timedelta(days=days):
        price = max(1, round(price * chance.choice([0.9, 0.97, 0.99, 0.999, 1, 1.001, 1.01, 1.03, 1.1])))
        changes.append((at, None if chance.random() < 0.1 else price))
        at += chance.choice([timedelta(microseconds=1), timedelta(minutes=7), 3 * HOUR, 24 * HOUR, 10 * 24 * HOUR])
    return changes


async def test_what_would_have_fired_is_what_fires(api: Api, prices: History, database: Database, sql: Any) -> None:
    webhook = str(await make_webhook(database))
    products = sorted([(await api.create())["id"] for _ in range(8)])
    # Before `begins` nobody watches, but what happened counts for lows.
    begins, ends = START + timedelta(days=40, hours=5, microseconds=7), START + timedelta(days=80)
    walks = {product: walk(seed, 80) for seed, product in enumerate(products)}
    for product in products:
        await prices.record(product, [change for change in walks[product] if change[0] <= begins])
    alerts = []
    for condition in CONDITIONS:
        for bounds in ({}, {"cooldown_seconds": 0, "hysteresis_percent": 0}):
            body = {"condition": condition, **bounds}
            made = await api("POST", "/alerts", json=body | {"webhook_id": webhook})
            alerts.append((made.json["id"], body))
    await sql.execute("UPDATE alerts SET watching_since = $1", begins)
    for product in products:
        await prices.record(product, [change for change in walks[product] if change[0] > begins])
    fire = FireAlerts(database)
    for event in await prices.told():
        if event.type != "prices.out-of-stock.v1":
            await fire(event)
    fired_in_all = 0
    for alert_id, body in alerts:
        rows = await sql.fetch(
            "SELECT product_id, at, price, reference FROM alert_firings WHERE alert_id = $1 ORDER BY at, product_id",
            UUID(alert_id),
        )
        fired = [(str(row["product_id"]), text(row["at"]), row["price"], row["reference"]) for row in rows]
        found = await dry_run(api, **body, **{"from": text(begins), "to": text(ends)})
        would_have = [(one["product_id"], one["at"], one["price"], one["reference"]) for one in found["firings"]]
        assert would_have == fired, body
        assert found["firings_count"] == len(fired)
        assert found["examined"]["products"] == len(products)
        assert found["examined"]["complete"]
        fired_in_all += len(fired)
    assert fired_in_all > 100


async def test_more_changes_than_price_history_gives_at_once_are_read_in_parts(api: Api, prices: History) -> None:
    product = (await api.create())["id"]
    begins = MIDNIGHT - timedelta(days=2)
    changes = [(begins + timedelta(seconds=2 * n), 1000 - n % 2) for n in range(6000)]
    await prices.record(product, changes)
    found = await dry_run(
        api,
        condition={"type": "best_price_at_or_below", "price": 999},
        product_id=product,
        cooldown_seconds=0,
        hysteresis_percent=0,
        **{"from": text(begins), "to": text(begins + timedelta(days=1))},
    )
    assert found["firings_count"] == 3000
    assert len(found["firings"]) == dry_run_alert.MAX_LISTED
    assert [one["at"] for one in found["firings"]] == [text(at) for at, price in changes if price == 999][:1000]
    # The first price is the one that is there at the beginning.
    assert found["examined"] == {"products": 1, "changes": 5999, "complete": True, "reason": None}


async def test_the_price_in_effect_at_the_beginning_counts(api: Api, prices: History) -> None:
    product = (await api.create())["id"]
    begins = MIDNIGHT - timedelta(days=3)
    await prices.record(product, [(START, 1000), (begins + HOUR, 890)])
    found = await dry_run(
        api, condition={"type": "drop", "percent": 11, "window": "1h"}, product_id=product, **{"from": text(begins)}
    )
    assert [(one["price"], one["reference"]) for one in found["firings"]] == [(890, 1000)]


async def test_by_default_it_is_the_last_seven_days(api: Api, prices: History) -> None:
    product = (await api.create())["id"]
    now = datetime.now(UTC)
    await prices.record(product, [(now - timedelta(days=7, hours=1), 890), (now - timedelta(days=6), 880)])
    found = await dry_run(api, condition=BELOW, webhook_id=None, name="any", enabled=False)
    assert [one["price"] for one in found["firings"]] == [880]
    span = datetime.fromisoformat(found["to"]) - datetime.fromisoformat(found["from"])
    assert span == timedelta(days=7)


async def test_a_product_without_prices_fires_nothing(api: Api) -> None:
    product = (await api.create())["id"]
    for condition in CONDITIONS:
        found = await dry_run(api, condition=condition, product_id=product)
        assert (found["firings_count"], found["examined"]["complete"]) == (0, True)


async def test_it_tells_when_it_did_not_look_at_everything(
    api: Api, prices: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await prices.record((await api.create())["id"], [(MIDNIGHT - HOUR, 950), (MIDNIGHT, 900)])
    whole = await dry_run(api, condition=BELOW)
    assert whole["examined"] == {"products": 3, "changes": 6, "complete": True, "reason": None}
    for bound, most, products, changes in (("PRODUCTS", 2, 2, 4), ("CHANGES", 3, 2, 3), ("SECONDS", 0.0, 0, 0)):
        with monkeypatch.context() as bounded:
            bounded.setattr(dry_run_alert, f"MAX_{bound}", most)
            examined = (await dry_run(api, condition=BELOW))["examined"]
        told = {"products": products, "changes": changes, "complete": False, "reason": bound.lower()}
        assert examined == told


async def test_it_tells_when_single_changes_are_forgotten(api: Api, prices: History) -> None:
    product = (await api.create())["id"]
    long_ago = MIDNIGHT - timedelta(days=500)
    # As many as lie in chunks that are forgotten, and one that is kept.
    changes = [(long_ago + timedelta(minutes=n), 1000 - n % 2) for n in range(200)]
    await prices.record(product, [*changes, (MIDNIGHT, 990)])

    async def examined(begins: datetime) -> tuple[int, bool, str | None]:
        found = (await dry_run(api, condition=BELOW, product_id=product, **{"from": text(begins)}))["examined"]
        return found["changes"], found["complete"], found["reason"]

    assert await examined(long_ago - HOUR) == (201, True, None)
    await prices.forget()
    seen, *told = await examined(long_ago - HOUR)
    assert seen < 201
    assert told == [False, "retention"]
    assert await examined(MIDNIGHT - timedelta(days=399)) == (1, True, None)


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, ["/from"]),
        ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, ["/from"]),
        ({"from": "1999-12-31T23:59:59Z"}, ["/from"]),
        ({"from": "2999-01-01T00:00:00Z"}, ["/from"]),
        ({"from": "0001-01-01T00:00:00Z"}, ["/from"]),
        ({"from": "9999-12-31T23:59:59.999999Z"}, ["/from"]),
        ({"from": "yesterday"}, ["/from"]),
        ({"to": "0001-01-01T00:00:00Z"}, ["/to"]),
        ({"to": "2000-01-01T00:00:00Z"}, ["/to"]),
        ({"from": "0001-01-01T00:00:00Z", "to": "0001-01-02T00:00:00Z"}, ["/to"]),
        ({"to": "0001-01-01T00:00:00+14:00"}, ["/to"]),
        ({"from": "9999-12-31T23:59:59-14:00"}, ["/from"]),
        ({"to": "2026-01-01T00:00:00"}, ["/to"]),
        ({"to": 5}, ["/to"]),
        ({"condition": {"type": "drop"}}, ["/condition/percent", "/condition/window"]),
        ({"product_id": 5}, ["/product_id"]),
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_place(api: Api, fields: Any, pointers: list[str]) -> None:
    assert (await api("POST", "/alerts/dry-run", json={"condition": BELOW} | fields)).pointers() == pointers


async def test_an_unknown_product_is_404(api: Api) -> None:
    (await api("POST", "/alerts/dry-run", json={"condition": BELOW, "product_id": UNKNOWN})).problem(404)


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: web.Response(status=503),
        lambda _: web.Response(text="no trend", content_type="application/json"),
        lambda _: web.json_response({"points": [{"at": 5}]}),
        lambda _: web.Response(text="at,price", content_type="text/csv"),
        lambda _: web.json_response({}, headers={"Changes-Kept-Since": "long ago"}),
    ],
)
async def test_a_price_history_that_does_not_answer_is_503(
    catalog_dsn: str, history: StandInHistory, answer: Callable[[web.Request], Any]
) -> None:
    history.answer = answer
    async with serving(settings(catalog_dsn, price_history_url=history.url)) as api:
        product = (await api.create())["id"]
        reply = await api("POST", "/alerts/dry-run", json={"condition": BELOW, "product_id": product})
        reply.problem(503)
        assert int(reply.headers["Retry-After"]) >= 1


async def test_a_price_history_that_refuses_every_span_does_not_keep_it_busy_for_ever(
    catalog_dsn: str, history: StandInHistory
) -> None:
    history.answer = lambda _: web.json_response({}, status=422)
    async with serving(settings(catalog_dsn, price_history_url=history.url)) as api:
        product = (await api.create())["id"]
        reply = await api("POST", "/alerts/dry-run", json={"condition": BELOW, "product_id": product})
        reply.problem(503)
    assert len(history.asked) < 50
