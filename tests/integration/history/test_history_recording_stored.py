"""Recording offers on a real database: whatever the order and however often, the same end."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import psycopg2
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from price_history.db.engine import Database, DatabaseUnavailableError, Limits
from price_history.db.migrate import migrate
from price_history.db.models import metadata
from price_history.db.packing import unpack_rows
from price_history.db.snapshots import Snapshots
from price_history.domain.chunks import CHUNK_ROWS
from price_history.domain.errors import UnknownProductError
from price_history.domain.offers import NO_OFFERS, pack_known, unpack_known
from price_history.domain.recording import ObservedList
from price_history.use_cases.derived_events import derived_events
from price_history.use_cases.known_products import AddProduct, DeleteProduct
from price_history.use_cases.read_history import HistoryItem, Position, ReadHistory
from price_history.use_cases.record_offers import RecordingResult, RecordOffers

MakeDatabase = Callable[..., str]
Listed = list[tuple[str, int, int]]

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LATER = NOON + timedelta(days=1)


def observed(revision: int, *offers: tuple[str, int, int]) -> ObservedList:
    return ObservedList.of(revision, NOON + revision * MINUTE, list(offers))


async def history(database: Database, product_id: UUID) -> list[HistoryItem]:
    page = await ReadHistory(database).page(product_id, Position(NOON - timedelta(days=400), 0), LATER, 1000)
    return page.items


async def latest(database: Database, product_id: UUID) -> dict[str, tuple[int, int]]:
    async with database.reading() as connection:
        packed = await connection.scalar(
            sa.text("SELECT offers FROM products WHERE product_id = :id"), {"id": product_id}
        )
    ids, _, prices, stocks = unpack_known(packed or pack_known(NO_OFFERS))
    return dict(zip(ids, zip(prices, stocks, strict=True), strict=True))


async def test_changes_come_back_as_they_were_observed(database: Database) -> None:
    product = uuid4()
    record = RecordOffers(database, Snapshots(1000), derived_events)
    assert await record({product: observed(1, ("a", 10, 5), ("b", 20, 0))}) == RecordingResult(
        1, 0, 2, 1, NOON + MINUTE
    )
    await record({product: observed(2, ("a", 10, 4), ("b", 20, 3))})
    await record({product: observed(3, ("b", 2**63 - 1, 2**31 - 1))})
    assert await history(database, product) == [
        (NOON + MINUTE, "a", 10, 5),
        (NOON + MINUTE, "b", 20, 0),
        (NOON + 2 * MINUTE, "b", 20, 3),
        (NOON + 3 * MINUTE, "a", None, None),
        (NOON + 3 * MINUTE, "b", 2**63 - 1, 2**31 - 1),
    ]


async def test_a_repeated_message_changes_nothing(database: Database) -> None:
    products = {uuid4(): observed(1, ("a", 10, 5)) for _ in range(3)}
    record = RecordOffers(database, Snapshots(1000), derived_events)
    await record(products)
    before = [await history(database, product) for product in products]
    assert await record(products) == RecordingResult(0, 3, 0, 0, None)
    assert [await history(database, product) for product in products] == before


async def test_a_recording_that_breaks_off_leaves_nothing(
    database: Database, history_dsn: str, as_administrator: Callable[[str], str]
) -> None:
    async def rename(before: str, after: str) -> None:
        administrator = await asyncpg.connect(as_administrator(history_dsn))
        await administrator.execute(f"ALTER TABLE {before} RENAME TO {after}")
        await administrator.close()

    product = uuid4()
    record = RecordOffers(database, Snapshots(1000), derived_events)
    await record({product: observed(1, ("a", 10, 5))})
    await rename("chunks", "elsewhere")
    with pytest.raises(DatabaseUnavailableError):
        await record({product: observed(2, ("a", 11, 5))})
    await rename("elsewhere", "chunks")
    assert (await record({product: observed(2, ("a", 11, 5))})).changes == 1
    assert [item.price for item in await history(database, product)] == [10, 11]


async def test_part_of_a_message_may_be_old_news(database: Database) -> None:
    known, new = uuid4(), uuid4()
    record = RecordOffers(database, Snapshots(1000), derived_events)
    await record({known: observed(2, ("a", 10, 5))})
    result = await record({known: observed(1, ("a", 9, 5)), new: observed(1, ("a", 1, 1))})
    assert (result.applied, result.stale) == (1, 1)
    assert await latest(database, known) == {"a": (10, 5)}
    assert await latest(database, new) == {"a": (1, 1)}


async def test_a_hundred_products_with_strange_ids_in_one_message(database: Database) -> None:
    strange = ["/", "%2F", "ž'\"\\", "\U0001f6d2", "{1,2}", "NULL", " "]
    products = {uuid4(): observed(1, *((offer_id, n, n) for n, offer_id in enumerate(strange))) for _ in range(100)}
    assert (await RecordOffers(database, Snapshots(1000), derived_events)(products)).changes == 100 * len(strange)
    for product in products:
        assert {item.offer_id for item in await history(database, product)} == set(strange)


offer_lists = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.integers(0, 1)), max_size=3, unique_by=lambda o: o[0]
).map(sorted)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[list[Listed]], list[dict[int, int]]]:
    """The lists of up to three products, and messages that bring each at least once, in any order and company.

    A message is the revision that it brings by product.
    """
    lists = draw(st.lists(st.lists(offer_lists, min_size=1, max_size=4), min_size=1, max_size=3))
    each = [(product, revision) for product, of in enumerate(lists) for revision in range(1, len(of) + 1)]
    order = draw(st.permutations(each + draw(st.lists(st.sampled_from(each), max_size=6))))
    messages: list[dict[int, int]] = [{}]
    for product, revision in order:
        if product in messages[-1] or draw(st.booleans()):
            messages.append({})
        messages[-1][product] = revision
    return lists, [message for message in messages if message]


@given(deliveries())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_order_and_any_repetition_end_the_same(
    database: Database, delivered: tuple[list[list[Listed]], list[dict[int, int]]]
) -> None:
    lists, messages = delivered
    ids = [uuid4() for _ in lists]
    record = RecordOffers(database, Snapshots(1000), derived_events)
    for message in messages:
        await record({ids[p]: observed(revision, *lists[p][revision - 1]) for p, revision in message.items()})
    for product_id, of in zip(ids, lists, strict=True):
        truth = {offer_id: (price, stock) for offer_id, price, stock in of[-1]}
        assert await latest(database, product_id) == truth
        replayed: dict[str, tuple[int, bool]] = {}
        items = await history(database, product_id)
        for item in items:
            if item.price is None or item.items_in_stock is None:
                del replayed[item.offer_id]
            else:
                replayed[item.offer_id] = (item.price, item.items_in_stock > 0)
        assert replayed == {offer_id: (price, stock > 0) for offer_id, (price, stock) in truth.items()}
        assert [item.at for item in items] == sorted(item.at for item in items)
        for revision, listed in enumerate(of, start=1):
            assert (await record({product_id: observed(revision, *listed)})).applied == 0


async def test_concurrent_messages_about_the_same_products_do_not_wait_in_a_circle(
    database: Database,
) -> None:
    products = [uuid4() for _ in range(50)]

    async def follow(order: list[UUID]) -> None:
        record = RecordOffers(database, Snapshots(1000), derived_events)
        for revision in range(1, 21):
            await record({product: observed(revision, ("a", revision, 1)) for product in order})

    await asyncio.gather(follow(products), follow(products[::-1]), follow(products[25:] + products[:25]))
    for product in products:
        assert await latest(database, product) == {"a": (20, 1)}
        prices = [item.price for item in await history(database, product)]
        assert prices == sorted(set(prices), key=lambda price: price or 0)


async def test_what_arrives_about_a_deleted_product_is_ignored(database: Database) -> None:
    product = uuid4()
    record = RecordOffers(database, Snapshots(1000), derived_events)
    await record({product: observed(1, ("a", 10, 5))})
    await DeleteProduct(database)(product, LATER)
    assert (await record({product: observed(2, ("a", 11, 5))})).stale == 1
    await AddProduct(database)(product)
    await DeleteProduct(database)(product, LATER + MINUTE)
    with pytest.raises(UnknownProductError):
        await history(database, product)
    async with database.reading() as connection:
        assert await connection.scalar(sa.text("SELECT count(*) FROM offers")) == 0
        assert await connection.scalar(sa.text("SELECT deleted_at FROM products")) == LATER


async def test_a_deletion_may_arrive_first(database: Database) -> None:
    product = uuid4()
    await DeleteProduct(database)(product, LATER)
    await AddProduct(database)(product)
    assert (
        await RecordOffers(database, Snapshots(1000), derived_events)({product: observed(1, ("a", 10, 5))})
    ).stale == 1
    with pytest.raises(UnknownProductError):
        await history(database, product)


async def test_offers_may_arrive_before_their_product(database: Database) -> None:
    product = uuid4()
    await RecordOffers(database, Snapshots(1000), derived_events)({product: observed(1, ("a", 10, 5))})
    await AddProduct(database)(product)
    assert len(await history(database, product)) == 1


async def test_a_product_that_is_known_has_an_empty_history(database: Database) -> None:
    product = uuid4()
    await AddProduct(database)(product)
    assert await history(database, product) == []


async def test_a_message_is_stored_whole_or_not_at_all(database: Database) -> None:
    good, bad = uuid4(), uuid4()
    record = RecordOffers(database, Snapshots(1000), derived_events)
    await record({good: observed(1, ("a", 10, 5)), bad: observed(1, ("a", 10, 5))})
    with pytest.raises(Exception, match="int64"):
        await record({good: observed(2, ("a", 11, 5)), bad: ObservedList.of(2**63, NOON, [("a", 11, 5)])})
    assert await latest(database, good) == {"a": (10, 5)}
    assert len(await history(database, good)) == 1


async def test_rows_hold_what_their_comments_say(database: Database) -> None:
    product = uuid4()
    record = RecordOffers(database, Snapshots(1000), derived_events)
    for minute in range(1, CHUNK_ROWS + 1):
        await record({product: observed(minute, ("a", 10, 0), ("b", 20 + minute, 5))})
    await record({product: observed(CHUNK_ROWS + 1, ("a", 10, 0))})
    async with database.reading() as connection:
        product_row = (await connection.execute(sa.text("SELECT * FROM products"))).one()
        chunk = (await connection.execute(sa.text("SELECT * FROM chunks"))).one()
    # The head: what came after the last change of the chunk, which was full.
    assert product_row.head_begins == product_row.last_change_at == NOON + (CHUNK_ROWS + 1) * MINUTE
    assert (product_row.head_rows, product_row.head_changes, product_row.chunks) == (1, 1, 1)
    assert msgspec.msgpack.decode(product_row.head) == [0, None, [[1, None, None]], 10]
    assert msgspec.msgpack.decode(product_row.head_state) == [20 + CHUNK_ROWS, 10, 0, 10, 1, 20 + CHUNK_ROWS]
    assert (chunk.begins, chunk.ends) == (NOON + MINUTE, NOON + CHUNK_ROWS * MINUTE)
    assert (chunk.observations, msgspec.msgpack.decode(chunk.state)) == (CHUNK_ROWS, [None, None])
    first, second = (row for row in unpack_rows(CHUNK_ROWS, chunk.changes)[:2])
    assert (first.after, first.best_in_stock, first.best_out_of_stock) == (0, 21, 10)
    assert first.changes == [(0, 10, 0), (1, 21, 5)]
    assert (second.after, second.best_in_stock, second.best, second.changes) == (60_000_000, 22, 10, [(1, 22, 5)])


async def test_a_database_that_is_away_is_named_so() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none", "test", Limits(1, 1, 1))
    with pytest.raises(DatabaseUnavailableError):
        await database.check()
    await database.close()


async def test_an_exhausted_pool_and_a_slow_statement_are_named_so(history_dsn: str) -> None:
    database = Database(history_dsn, "test", Limits(1, 0.1, 1))
    async with database.reading(), database.querying():
        with pytest.raises(DatabaseUnavailableError):
            async with database.reading():
                pass
        with pytest.raises(DatabaseUnavailableError):
            await database.check()
    with pytest.raises(DatabaseUnavailableError):
        async with database.reading() as connection:
            await connection.execute(sa.text("SELECT pg_sleep(30)"))
    with pytest.raises(DatabaseUnavailableError):
        async with database.querying() as driver:
            await driver.execute("SELECT pg_sleep(30)")
    await database.check()
    await database.close()


def _is_ours(_: Any, name: str | None, kind: str, __: bool, ___: Any) -> bool:  # noqa: FBT001 - Alembic's signature
    return not (kind == "table" and name is not None and name.startswith(("chunks_", "alembic_")))


def test_the_migrations_make_the_models(migrated_history: str) -> None:
    engine = sa.create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(migrated_history))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"compare_type": True, "compare_server_default": True, "include_object": _is_ours},
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


async def test_copies_may_migrate_at_once(make_database: MakeDatabase) -> None:
    dsn = make_database()
    await asyncio.gather(*(asyncio.to_thread(migrate, dsn) for _ in range(4)))
    await asyncio.to_thread(migrate, dsn)


def test_migrating_waits_for_the_database_in_bounded_time() -> None:
    with pytest.raises(psycopg2.OperationalError):
        migrate("postgresql://nobody@127.0.0.1:1/none", wait_seconds=0.5)
