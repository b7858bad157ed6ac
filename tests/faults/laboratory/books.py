"""The books: what was accepted, published, stored and polled must tell one story, whatever happened in between."""

from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
import psycopg2
from tests.faults.laboratory.history import Change, best_price_changes, changes
from tests.faults.laboratory.load import Load, State
from tests.faults.laboratory.offers_ms import OffersMs
from tests.faults.laboratory.record import Record

from aggregator_contracts.topology import SUBSCRIPTIONS
from devstack.broker_management import BrokerManagement
from devstack.rabbitmq import VHOST
from price_history.db.packing import unpack_rows

PARKED = frozenset(subscription.parked_queue for subscription in SUBSCRIPTIONS)
WORKING = frozenset(queue for subscription in SUBSCRIPTIONS for queue in (subscription.queue, subscription.retry_queue))
Rows = list[tuple[Any, ...]]


@dataclass
class Balance:
    """What does not agree, one line each: empty when all books balance."""

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    #: What is still on its way, or belongs nowhere.
    unsettled: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether there is nothing to report."""
        return not (self.lost or self.duplicated or self.unsettled)

    def __str__(self) -> str:
        parts = {"lost": self.lost, "duplicated": self.duplicated, "unsettled": self.unsettled}
        return "\n".join(f"{name}: {line}" for name, lines in parts.items() for line in lines[:10]) or "balanced"


@dataclass(frozen=True)
class Books:
    """Compares the databases, the broker's queues, the Offers MS and the record of what was published."""

    databases: dict[str, str]
    management: BrokerManagement
    offers_ms: OffersMs
    record: Record

    def balance(self, load: Load, *, poison: Collection[str] = ()) -> Balance:
        """Everything about the products of one load, and all queues; `poison` has the ids of what is to be parked."""
        balance = Balance()
        self._queues(balance, poison)
        if balance.holds:
            self._outboxes(balance)
        if balance.holds:
            # The rest is worth reading only when nothing is on its way.
            self.record.read()
            live = self._catalog(balance, load)
            self._registrations(balance, live, load)
            self._events(balance, live)
            self._deleted(balance, {product.id for product in load.products if product.id} - live.keys())
            self._offers(balance, live)
            self._history(balance, live)
        return balance

    def query(self, database: str, sql: str, parameters: Iterable[object] = ()) -> Rows:
        """Rows of one of the databases, past every proxy."""
        with closing(psycopg2.connect(self.databases[database])) as connection, connection.cursor() as cursor:
            cursor.execute(sql, tuple(parameters) or None)
            return cursor.fetchall()

    def queues(self) -> list[dict[str, Any]]:
        """All queues as the broker's management shows them; at most a second old."""
        queues: list[dict[str, Any]] = self.management.call("GET", f"/queues/{VHOST}")
        return queues

    def queue_lengths(self) -> dict[str, int]:
        """Messages in each queue, those in the hands of consumers included; at most a second old."""
        return {queue["name"]: queue.get("messages", -1) for queue in self.queues()}

    def messages(self, queue: str, *, take: bool = False) -> list[str]:
        """The ids of the messages of a queue, which stay there unless they are to be taken."""
        wanted = {"count": 10_000, "ackmode": f"ack_requeue_{str(not take).lower()}", "encoding": "auto"}
        messages = self.management.call("POST", f"/queues/{VHOST}/{queue}/get", wanted)
        return [message["properties"].get("message_id", "") for message in messages]

    def _queues(self, balance: Balance, poison: Collection[str]) -> None:
        lengths = self.queue_lengths()
        for queue in WORKING:
            if lengths.get(queue, -1):
                balance.unsettled.append(f"{lengths.get(queue)} messages in {queue}")
        parked = {message for queue in PARKED if lengths.get(queue) for message in self.messages(queue)}
        if parked != set(poison):
            balance.unsettled.append(f"{parked} are parked, and {set(poison)} are poison")

    def _outboxes(self, balance: Balance) -> None:
        for database in ("catalog", "offers_sync", "price_history"):
            [(pending,)] = self.query(database, "SELECT count(*) FROM outbox")
            if pending:
                balance.unsettled.append(f"{pending} events in the outbox of {database}")

    def _catalog(self, balance: Balance, load: Load) -> dict[str, State]:
        """Hold the catalog against every write; returns the load's products that are there, by id."""
        rows = self.query(
            "catalog",
            "SELECT id::text, name, description, version FROM products WHERE name LIKE %s",
            [load.names],
        )
        stored = {product_id: State(*state) for product_id, *state in rows}
        by_name = {state.name: product_id for product_id, state in stored.items()}
        for name, count in Counter(state.name for state in stored.values()).items():
            if count > 1:
                balance.duplicated.append(f"product {name!r} is there {count} times")
        for product in load.products:
            seen = stored.get(by_name.get(product.name, ""))
            if seen not in product.possible:
                balance.lost.append(f"product {product.name!r} is {seen}, and may be {product.possible}")
        for batch in load.batches:
            if not any(product.id for product in batch) and len({product.name in by_name for product in batch}) > 1:
                balance.lost.append(f"half of the batch that began with {batch[0].name!r} is there")
        unknown = by_name.keys() - {product.name for product in load.products}
        balance.duplicated.extend(f"product {name!r} was never asked for" for name in unknown)
        return stored

    def _registrations(self, balance: Balance, live: dict[str, State], load: Load) -> None:
        registered = self.offers_ms.registered()
        balance.lost.extend(f"product {product_id} is not registered" for product_id in live.keys() - registered)
        created = {event["subject"] for event in self.record.of("catalog.product-created.v1")}
        balance.duplicated.extend(
            f"{product_id} was registered and is no product of ours" for product_id in registered - created
        )
        tokens = self.offers_ms.tokens_used("register")
        if len(tokens) > 1:
            balance.duplicated.append(f"{len(tokens)} tokens were used for registrations")
        pending = self.query(
            "catalog",
            "SELECT count(*) FROM products WHERE name LIKE %s AND registration <> 'registered'",
            [load.names],
        )
        if pending != [(0,)]:
            balance.unsettled.append(f"{pending[0][0]} products are not shown as registered")

    def _events(self, balance: Balance, live: dict[str, State]) -> None:
        versions = self.record.versions()
        for product_id, state in live.items():
            if missing := set(range(1, state.version + 1)) - versions[product_id]:
                balance.lost.append(f"versions {missing} of product {product_id} were never published")
        deleted = {event["subject"] for event in self.record.of("catalog.product-deleted.v1")}
        balance.duplicated.extend(f"{product_id} was told deleted and lives" for product_id in live.keys() & deleted)

    def _deleted(self, balance: Balance, gone: set[str]) -> None:
        """A product that is gone from the catalog must be gone everywhere, and stay known as deleted."""
        told = {event["subject"] for event in self.record.of("catalog.product-deleted.v1")}
        places = {
            "offers_sync": "SELECT product_id::text FROM products WHERE status = 'deleted' AND NOT EXISTS"
            " (SELECT FROM polled_products WHERE polled_products.product_id = products.product_id)",
            "price_history": "SELECT product_id::text FROM products WHERE deleted_at IS NOT NULL",
        }
        buried = {database: {row[0] for row in self.query(database, sql)} for database, sql in places.items()}
        for place, known in {"the events": told, **buried}.items():
            balance.lost.extend(f"{product_id} is deleted, and not so in {place}" for product_id in gone - known)

    def _offers(self, balance: Balance, live: dict[str, State]) -> None:
        truth = self.offers_ms.offers()
        in_catalog = {
            product_id: {offer["id"]: (offer["price"], offer["items_in_stock"]) for offer in offers}
            for product_id, offers in self.query("catalog", "SELECT product_id::text, offers FROM product_offers")
        }
        in_history = {
            product_id: {
                offer_id: (price, stock)
                for offer_id, _, price, stock in zip(*msgspec.msgpack.decode(packed), strict=True)
            }
            for product_id, packed in self.query("price_history", "SELECT product_id::text, offers FROM products")
        }
        for product_id in live:
            for place, lists in (("catalog", in_catalog), ("history", in_history)):
                if lists.get(product_id) != truth.get(product_id):
                    balance.lost.append(
                        f"offers of {product_id} in {place}: {lists.get(product_id)}, in truth {truth.get(product_id)}"
                    )

    def _history(self, balance: Balance, live: dict[str, State]) -> None:
        stored = self.recorded_changes(live)
        lists, best_prices = self.record.lists(), self.record.best_price_changes()
        for product_id in live:
            recorded = Counter(stored.get(product_id, []))
            published = Counter(changes(lists.get(product_id, []), {change.at for change in recorded}))
            balance.lost.extend(f"history of {product_id} lacks {change}" for change in published - recorded)
            balance.duplicated.extend(f"history of {product_id} has also {change}" for change in recorded - published)
            told, true = Counter(best_prices.get(product_id, [])), Counter(best_price_changes(recorded.elements()))
            balance.lost.extend(f"it was not told that {product_id} had {change}" for change in true - told)
            balance.duplicated.extend(f"it was also told that {product_id} had {change}" for change in told - true)

    def recorded_changes(self, product_ids: Iterable[str]) -> dict[str, list[Change]]:
        """What history holds of these products."""
        wanted = list(product_ids)
        rows = self.query(
            "price_history",
            """
            SELECT product_id::text, product_no, begins, observations, changes FROM (
              SELECT product_no, begins, observations, changes FROM chunks
              UNION ALL
              SELECT product_no, head_begins, head_rows, head FROM products WHERE head_rows > 0
            ) AS chunk JOIN products USING (product_no) WHERE product_id = ANY(%s::uuid[]) ORDER BY begins
            """,
            [wanted],
        )
        # Read last: what a change refers to was stored with it.
        offer_ids = {
            (number, offer_no): offer_id
            for number, offer_no, offer_id in self.query(
                "price_history",
                "SELECT product_no, offer_no, offer_id FROM offers JOIN products USING (product_no)"
                " WHERE product_id = ANY(%s::uuid[])",
                [wanted],
            )
        }
        found: dict[str, list[Change]] = {}
        for product_id, product_no, at, count, packed in rows:
            for row in unpack_rows(count, bytes(packed)):
                at += timedelta(microseconds=row.after)  # noqa: PLW2901 - each counts from the one before
                found.setdefault(product_id, []).extend(
                    Change(at, offer_ids[product_no, offer_no], price, stock) for offer_no, price, stock in row.changes
                )
        return found
