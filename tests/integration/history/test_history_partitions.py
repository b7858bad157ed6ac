"""Months come and go, and no price that still holds goes with them."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from price_history.db.engine import Database
from price_history.db.partitions import existing_months
from price_history.db.snapshots import Snapshots
from price_history.domain.chunks import CHUNK_CHANGES
from price_history.domain.errors import UnknownOfferError
from price_history.domain.instants import to_instant
from price_history.domain.months import Month
from price_history.domain.recording import ObservedList
from price_history.domain.resolution import choose_buckets
from price_history.domain.trend import Trend
from price_history.domain.window import Window
from price_history.use_cases.derived_events import derived_events
from price_history.use_cases.keep_partitions import KeepPartitions
from price_history.use_cases.known_products import DeleteProduct
from price_history.use_cases.read_history import Position, ReadHistory
from price_history.use_cases.read_trend import ReadTrend
from price_history.use_cases.record_offers import RecordOffers
from price_history.use_cases.roll_up import RollUp

NOW = datetime(2026, 3, 31, 23, 30, tzinfo=UTC)
DAY = timedelta(days=1)
RETENTION = timedelta(days=400)
BOUNDARY = datetime(2025, 2, 1, tzinfo=UTC)
"""The start of the month in which what is 400 days older than NOW lies."""


def full(price: int) -> list[tuple[str, int, int]]:
    """So many offers that they fill a chunk when they all change: the next list closes it."""
    return [(f"{number:03}", price, 5) for number in range(CHUNK_CHANGES)]


def keep(database: Database, now: datetime = NOW) -> KeepPartitions:
    return KeepPartitions(database, RollUp(database), RETENTION, lambda: now)


async def observe(
    database: Database, product: UUID, revision: int, at: datetime, *offers: tuple[str, int, int]
) -> None:
    await RecordOffers(database, Snapshots(1000), derived_events)(
        {product: ObservedList.of(revision, at, list(offers))}
    )


async def months(database: Database) -> set[Month]:
    async with database.reading() as connection:
        return await existing_months(connection)


async def rows_in(database: Database, table: str) -> int:
    async with database.reading() as connection:
        return int((await connection.execute(sa.text(f"SELECT count(*) FROM {table}"))).scalar_one())  # noqa: S608


async def product_trend(database: Database, product: UUID, begins: datetime, ends: datetime = NOW) -> Trend:
    window = Window(to_instant(begins), to_instant(ends))
    return await ReadTrend(database).of_product(product, "best", window, choose_buckets(window, "raw"))


async def offer_trend(database: Database, product: UUID, offer: str, begins: datetime) -> Trend:
    window = Window(to_instant(begins), to_instant(NOW))
    return await ReadTrend(database).of_offer(product, offer, window, choose_buckets(window, "raw"))


async def history(database: Database, product: UUID) -> list[tuple[datetime, str, int | None, int | None]]:
    page = await ReadHistory(database).page(product, Position(BOUNDARY - 800 * DAY, 0), NOW + 800 * DAY, 1000)
    return [(item.at, item.offer_id, item.price, item.items_in_stock) for item in page.items]


async def test_partitions_are_made_ahead_once(database: Database) -> None:
    await asyncio.gather(*(keep(database).make() for _ in range(3)))
    await keep(database).make()
    assert await months(database) == {Month(2026, 3), Month(2026, 4), Month(2026, 5)}


async def test_a_month_is_one_of_utc(database: Database) -> None:
    await keep(database).make()
    for at in (datetime(2026, 3, 31, 23, 59, 59, 999_999, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)):
        product = uuid4()
        await observe(database, product, 1, at, *full(1))
        await observe(database, product, 2, at + DAY, *full(2))
    assert await rows_in(database, "chunks_2026_03") == 1
    assert await rows_in(database, "chunks_2026_04") == 1


async def test_a_missing_partition_refuses_nothing_and_is_made_up_for(database: Database) -> None:
    product = uuid4()
    for revision, at in enumerate((NOW - 40 * DAY, NOW - 10 * DAY, NOW), start=1):
        await observe(database, product, revision, at, *full(revision))
    assert await rows_in(database, "chunks_default") == 2
    before = await history(database, product), await product_trend(database, product, NOW - 50 * DAY)
    assert len(before[0]) == 3 * CHUNK_CHANGES
    await keep(database).make()
    assert await rows_in(database, "chunks_default") == 0
    assert {Month(2026, 2), Month(2026, 3)} <= await months(database)
    assert (await history(database, product), await product_trend(database, product, NOW - 50 * DAY)) == before


async def test_a_clock_that_is_years_ahead_makes_no_partitions(database: Database) -> None:
    product = uuid4()
    await observe(database, product, 1, NOW + 4000 * DAY, *full(1))
    await observe(database, product, 2, NOW, *full(2))
    await keep(database).make()
    assert len(await months(database)) == 3
    assert await rows_in(database, "chunks_default") == 1


async def test_partitions_are_dropped_only_when_all_in_them_is_old(database: Database) -> None:
    await keep(database, BOUNDARY - DAY).make()
    product = uuid4()
    for revision, at in enumerate((BOUNDARY - DAY, BOUNDARY, NOW), start=1):
        await observe(database, product, revision, at, *full(revision))
    await keep(database).make()
    assert {Month(2025, 1), Month(2025, 2)} <= await months(database)
    await keep(database).drop()
    assert Month(2025, 1) not in await months(database)
    assert Month(2025, 2) in await months(database)
    assert {price for _, _, price, _ in await history(database, product)} == {2, 3}
    assert await rows_in(database, "chunks") == 1


async def test_a_price_that_has_not_changed_since_is_kept(database: Database) -> None:
    product = uuid4()
    await observe(database, product, 1, BOUNDARY - 90 * DAY, *full(30))
    await observe(database, product, 2, BOUNDARY - 60 * DAY, ("a", 10, 0), ("b", 20, 5), ("gone", 5, 5))
    await observe(database, product, 3, BOUNDARY - 30 * DAY, ("a", 10, 0), ("b", 20, 5))
    await keep(database).make()
    assert await rows_in(database, "chunks") == 2
    trends = [await product_trend(database, product, BOUNDARY)]
    trends += [await offer_trend(database, product, offer, BOUNDARY) for offer in "ab"]
    assert [trend.start.price if trend.start else None for trend in trends] == [10, 10, 20]
    await keep(database).drop()
    after = [await product_trend(database, product, BOUNDARY)]
    after += [await offer_trend(database, product, offer, BOUNDARY) for offer in "ab"]
    assert after == trends
    assert await history(database, product) == []
    assert await rows_in(database, "chunks") == 0
    with pytest.raises(UnknownOfferError):
        await offer_trend(database, product, "gone", BOUNDARY)
    # Known still when the next months go, and changed by what comes then.
    later = NOW + 60 * DAY
    await observe(database, product, 4, later, ("a", 11, 0), ("b", 20, 5))
    await keep(database, later).make()
    await keep(database, later).drop()
    begins = BOUNDARY + 80 * DAY
    trend = await product_trend(database, product, begins, later)
    assert trend.points[:2] == ([to_instant(begins), to_instant(later)], [10, 11])
    assert [(at, offer, price) for at, offer, price, _ in await history(database, product)] == [(later, "a", 11)]


async def test_what_lies_in_the_default_partition_grows_old_too(database: Database) -> None:
    product = uuid4()
    await observe(database, product, 1, BOUNDARY - 80 * DAY, *full(5))
    await observe(database, product, 2, BOUNDARY - 60 * DAY, ("a", 10, 5))
    assert await rows_in(database, "chunks_default") == 1
    await keep(database).drop()
    assert await rows_in(database, "chunks_default") == 0
    assert await history(database, product) == []
    trend = await product_trend(database, product, BOUNDARY + DAY)
    assert trend.start_is_carried
    assert trend.end is not None
    assert trend.end.price == 10


class RollUpAndRecord(RollUp):
    """The real thing; and just when all is rolled up, a product changes that had not for very long."""

    def __init__(self, database: Database, product: UUID) -> None:
        super().__init__(database)
        self._recording = (database, product)

    async def finish(self) -> int:
        rolled = await super().finish()
        await observe(*self._recording, 2, NOW, *full(2))
        return rolled


async def test_a_chunk_that_is_closed_just_before_its_month_goes_is_rolled_up_first(database: Database) -> None:
    await keep(database, BOUNDARY - DAY).make()
    product = uuid4()
    await observe(database, product, 1, BOUNDARY - DAY, *full(1))
    before = BOUNDARY - timedelta(hours=12)
    await KeepPartitions(database, RollUpAndRecord(database, product), RETENTION, lambda: NOW).drop()
    assert await rows_in(database, "chunks") == 1, "not dropped yet"
    await keep(database).drop()
    assert (await rows_in(database, "chunks"), await rows_in(database, "rollups")) == (0, 1)
    trend = await product_trend(database, product, before)
    assert list(trend.points.prices) == [1, 2]


async def test_a_deleted_products_prices_are_forgotten(database: Database) -> None:
    product = uuid4()
    await observe(database, product, 1, BOUNDARY - 60 * DAY, *full(1))
    await observe(database, product, 2, BOUNDARY - 60 * DAY, ("a", 10, 5))
    await DeleteProduct(database)(product, NOW)
    await keep(database).make()
    await keep(database).drop()
    assert await rows_in(database, "chunks") == 0
    assert await rows_in(database, "rollups") == 0
    assert await rows_in(database, "products WHERE head <> '' OR head_rows > 0") == 0


async def test_dropping_again_finds_nothing_to_do(database: Database) -> None:
    product = uuid4()
    for revision, at in enumerate((BOUNDARY - 60 * DAY, BOUNDARY - 50 * DAY, NOW), start=1):
        await observe(database, product, revision, at, *full(revision))
    await keep(database).make()
    await asyncio.gather(keep(database).drop(), keep(database).drop())
    await keep(database).drop()
    assert await rows_in(database, "chunks") == 0
    assert await rows_in(database, "rollups") == 1


async def test_a_change_exactly_at_the_boundary_keeps_the_other_offers(database: Database) -> None:
    product = uuid4()
    await observe(database, product, 1, BOUNDARY - DAY, ("a", 10, 5), ("b", 20, 5), *full(30))
    await observe(database, product, 2, BOUNDARY, ("a", 11, 5), ("b", 20, 5), *full(30))
    await keep(database).make()
    before = [await offer_trend(database, product, offer, BOUNDARY) for offer in "ab"]
    await keep(database).drop()
    assert await rows_in(database, "chunks") == 0
    assert [await offer_trend(database, product, offer, BOUNDARY) for offer in "ab"] == before
    assert [(offer, price) for _, offer, price, _ in await history(database, product)] == [("a", 11)]


offer_lists = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.integers(0, 1)), max_size=3, unique_by=lambda o: o[0]
).map(sorted)


@given(
    st.lists(
        st.tuples(st.integers(-90, 400), offer_lists, st.sampled_from([1, 1, 2, 3])),
        min_size=1,
        max_size=8,
        unique_by=lambda o: o[0],
    ).map(sorted)
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_dropping_changes_no_trend_that_begins_later(
    database: Database, observations: list[tuple[int, list[tuple[str, int, int]], int]]
) -> None:
    product = uuid4()
    for revision, (day, offers, price) in enumerate(observations, start=1):
        # Where the many change their price, a chunk is full.
        await observe(database, product, revision, BOUNDARY + day * DAY, *offers, *full(100 + price))
    begins = [BOUNDARY, BOUNDARY + timedelta(microseconds=1), BOUNDARY + 30 * DAY, BOUNDARY + 200 * DAY]
    seen = {offer for _, listed, _ in observations for offer, _, _ in listed}

    async def trends() -> list[Trend | None]:
        found: list[Trend | None] = [await product_trend(database, product, begin) for begin in begins]
        for offer in sorted(seen):
            for begin in begins:
                try:
                    trend = await offer_trend(database, product, offer, begin)
                except UnknownOfferError:
                    # It ended before the boundary, so that it had no price after it.
                    found.append(None)
                else:
                    found.append(trend if trend.start is not None else None)
        return found

    await keep(database).make()
    before = await trends()
    await keep(database).drop()
    assert await trends() == before
