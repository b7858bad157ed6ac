"""A long past for price history, made in minutes: the service's own recording, without a message for each list.

What is stored is what the service would have stored, in the order of time: chunks that are closed at the same time lie
between each other on disk, as they would.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

from bench.events import observation
from price_history.db.engine import Database, Limits
from price_history.db.packing import pack_row, pack_state
from price_history.db.partitions import add_month, existing_months
from price_history.db.recording import add_products, lock_products
from price_history.domain.chunks import state_of
from price_history.domain.months import month_of
from price_history.domain.recording import KnownProduct, ObservedList, record
from price_history.domain.rollups import BLOCK_CHUNKS
from price_history.use_cases.roll_up import RollUp

#: Recorded in one transaction.
SPAN: Final = timedelta(hours=12)
MINUTE: Final = timedelta(minutes=1)
MICROSECOND: Final = timedelta(microseconds=1)
LIMITS: Final = Limits(connections=1, wait_seconds=30, statement_seconds=300)

QUEUE: Final = "INSERT INTO rollup_queue (product_no, ends) SELECT * FROM unnest($1::int[], $2::timestamptz[])"
CHUNK: Final = ("product_no", "begins", "ends", "observations", "state", "changes")
OFFERS: Final = ("product_no", "offer_no", "offer_id")
HEADS: Final = """
UPDATE products SET version = new.version, revision = new.revision, observed_at = new.last_change_at,
  last_change_at = new.last_change_at, next_offer_no = new.next_offer_no, chunks = new.chunks,
  head_rows = new.head_rows, head_changes = new.head_changes, head_begins = new.head_begins,
  head_state = new.head_state, head = new.head, offers = new.offers
FROM unnest($1::int[], $2::int[], $3::bigint[], $4::timestamptz[], $5::int[], $6::int[], $7::int[], $8::int[],
            $9::timestamptz[], $10::bytea[], $11::bytea[], $12::bytea[])
  AS new (product_no, version, revision, last_change_at, next_offer_no, chunks, head_rows, head_changes, head_begins,
          head_state, head, offers)
WHERE products.product_no = new.product_no
"""


@dataclass
class Growing:
    """A product whose past is being written, with its head."""

    known: KnownProduct
    chunks: int = 0
    begins: datetime | None = None
    state: bytes = b""
    head: bytearray = field(default_factory=bytearray)

    def observe(self, product_id: UUID, at: datetime) -> tuple[Any, ...] | None:
        """Record that all prices changed; returns the chunk that was closed for it, if one was."""
        before = self.known
        revision = before.revision + 1
        offers = observation(product_id, revision, at).offers
        listed = [(offer.id, offer.price, offer.items_in_stock) for offer in offers]
        recorded = record(before, ObservedList.of(revision, at, listed))
        if recorded is None or recorded.row is None:
            raise RuntimeError("the past is to be written in order, and something changes in it each time")
        self.known, row = recorded.product, recorded.row
        closed, after = None, 0
        if recorded.opens_head:
            if before.head_rows:
                times = (self.begins, before.last_change_at)
                closed = (before.product_no, *times, before.head_rows, self.state, bytes(self.head))
                self.chunks += 1
            self.begins, self.state, self.head = row.at, pack_state(state_of(before.offers)), bytearray()
        elif before.last_change_at is not None:
            after = (row.at - before.last_change_at) // MICROSECOND
        self.head += pack_row(after, row.best_in_stock, row.best_out_of_stock, row.changes)
        return closed


class Past:
    """Writes into the database at `dsn` what was observed from `begins` to `ends`; nobody else may record meanwhile."""

    def __init__(self, dsn: str, begins: datetime, ends: datetime) -> None:
        self._database = Database(dsn, "bench", LIMITS)
        self._begins, self._ends = begins, ends

    async def make_partitions(self) -> None:
        """As the service would have made them, month by month."""
        async with self._database.transaction() as connection:
            there = await existing_months(connection)
            month = month_of(self._begins)
            while month.begins < self._ends:
                if month not in there:
                    await add_month(connection, month)
                month = month.following

    async def write(self, every_minute: list[UUID], now_and_then: list[UUID], times: int) -> None:
        """New products that change every minute, and some that change `times` in all, at random; rollups included."""
        random = Random(len(now_and_then))  # noqa: S311 - not a secret
        products = await self._add([*every_minute, *now_and_then])
        at, owed = self._begins, 0.0
        while at < self._ends:
            until = min(at + SPAN, self._ends)
            minutes = int((until - at) / MINUTE)
            owed += times * ((until - at) / (self._ends - self._begins))
            count, owed = int(owed), owed % 1
            due = [(minute, product_id) for minute in range(minutes) for product_id in every_minute]
            due += [(random.randrange(minutes), random.choice(now_and_then)) for _ in range(count)]
            due.sort()
            await self._store_chunks(products, ((at + minute * MINUTE, product_id) for minute, product_id in due))
            at = until
        await self._store_heads([product for product in products.values() if product.known.head_rows])
        await RollUp(self._database).finish()

    async def close(self) -> None:
        """Disconnect."""
        await self._database.close()

    async def _add(self, ids: list[UUID]) -> dict[UUID, Growing]:
        async with self._database.transaction() as connection:
            await add_products(connection, ids)
            return {product.product_id: Growing(product) for product in await lock_products(connection, ids)}

    async def _store_chunks(self, products: dict[UUID, Growing], due: Iterable[tuple[datetime, UUID]]) -> None:
        closed: list[tuple[Any, ...]] = []
        queued: list[tuple[int, datetime]] = []
        for at, product_id in due:
            product = products[product_id]
            chunk = product.observe(product_id, at)
            if chunk is None:
                continue
            closed.append(chunk)
            if product.chunks % BLOCK_CHUNKS == 0 or month_of(chunk[2]) != month_of(at):
                queued.append((product.known.product_no, at))
        if closed:
            async with self._database.transaction() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                await driver.copy_records_to_table("chunks", columns=CHUNK, records=closed)
                await driver.execute(QUEUE, [number for number, _ in queued], [ends for _, ends in queued])

    async def _store_heads(self, products: list[Growing]) -> None:
        rows = [
            (
                known.product_no,
                known.version,
                known.revision,
                known.last_change_at,
                known.next_offer_no,
                product.chunks,
                known.head_rows,
                known.head_changes,
                product.begins,
                product.state,
                bytes(product.head),
                known.packed_offers,
            )
            for product in products
            for known in (product.known,)
        ]
        offers = [
            (product.known.product_no, number, offer_id)
            for product in products
            for offer_id, number, *_ in zip(*product.known.offers, strict=True)
        ]
        async with self._database.transaction() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            await driver.execute(HEADS, *map(list, zip(*rows, strict=True)))
            await driver.copy_records_to_table("offers", columns=OFFERS, records=offers)
