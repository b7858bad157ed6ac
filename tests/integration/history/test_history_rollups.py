"""Rollups on a real database: nobody who asks for a trend can tell whether it was rolled up."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from price_history.bootstrap import rebuild
from price_history.db import series
from price_history.db.engine import Database
from price_history.db.snapshots import Snapshots
from price_history.domain.chunks import CHUNK_ROWS
from price_history.domain.instants import SECOND, to_instant
from price_history.domain.recording import ObservedList
from price_history.domain.resolution import choose_buckets
from price_history.domain.rollups import BLOCK_CHUNKS, LEVELS
from price_history.domain.trend import Trend
from price_history.domain.window import Window
from price_history.settings import MigrateSettings
from price_history.use_cases.derived_events import derived_events
from price_history.use_cases.keep_partitions import KeepPartitions
from price_history.use_cases.known_products import DeleteProduct
from price_history.use_cases.read_trend import ReadTrend
from price_history.use_cases.record_offers import RecordOffers
from price_history.use_cases.roll_up import RollUp

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
BLOCK_ROWS = BLOCK_CHUNKS * CHUNK_ROWS
"""Observations in a block at most."""
RESOLUTIONS = ("auto", "1m", "5m", "10m", "1h", "2h", "1d")


async def observe_minutes(database: Database, products: Sequence[UUID], begin: datetime, count: int) -> None:
    """Lists of up to three offers, of which something changes nearly every minute and which now and then are empty."""
    draw = random.Random(7)  # noqa: S311 - the same every time
    record = RecordOffers(database, Snapshots(1000), derived_events)
    for minute in range(count):
        at = begin + minute * MINUTE + timedelta(seconds=draw.choice([0, 0, 0.000001, 31]))
        offers = [(name, draw.randint(0, 900), draw.randint(0, 2)) for name in "abc" if draw.random() < 0.8]
        listed = [] if draw.random() < 0.02 else offers
        await record({product: ObservedList.of(minute + 1, at, listed) for product in products})


async def trends(database: Database, product: UUID, windows: Sequence[tuple[datetime, datetime]]) -> list[Trend]:
    read = ReadTrend(database)
    found: list[Trend] = []
    for begins, ends in windows:
        window = Window(to_instant(begins), to_instant(ends))
        for resolution in RESOLUTIONS:
            if (ends - begins) / MINUTE > 4_000 and resolution == "1m":
                continue
            cut = choose_buckets(window, resolution)
            found.append(await read.of_product(product, "best_in_stock", window, cut))
            found.append(await read.of_product(product, "best", window, cut))
            found.append(await read.of_offer(product, "a", window, cut))
    return found


async def blocks(database: Database) -> list[tuple[object, ...]]:
    async with database.reading() as connection:
        rows = await connection.execute(sa.text("SELECT * FROM rollups ORDER BY product_no, level, begins"))
        return [tuple(row) for row in rows]


async def count(database: Database, sql: str) -> int:
    async with database.reading() as connection:
        return int((await connection.execute(sa.text(sql))).scalar_one())


@pytest.mark.parametrize("near", [series.NEAR, 3_600 * SECOND])
async def test_trends_are_the_same_before_and_after_and_half_way(
    database: Database, near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "NEAR", near)
    product, other = uuid4(), uuid4()
    minutes = BLOCK_ROWS * LEVELS[1].joins + 200
    await observe_minutes(database, [product, other], BEGIN, minutes)
    ends = BEGIN + minutes * MINUTE
    windows = [
        (BEGIN - HOUR, ends + HOUR),
        (BEGIN + 7 * MINUTE, ends - 13 * MINUTE),
        (BEGIN + 2 * HOUR, BEGIN + 5 * HOUR),
        (BEGIN + 90 * MINUTE, BEGIN + 91 * MINUTE),
        (ends, ends + DAY),
    ]
    before = await trends(database, product, windows)
    assert await RollUp(database).step() > 0
    assert await trends(database, product, windows) == before
    await RollUp(database).finish()
    assert await trends(database, product, windows) == before
    assert await count(database, "SELECT count(*) FROM rollups WHERE level = 2") == 2
    assert await count(database, "SELECT count(*) FROM rollup_queue") == 0
    # Blocks are what is read: without the changes under them only the edges are missing.
    async with database.transaction() as connection:
        await connection.execute(
            sa.text("DELETE FROM chunks WHERE ends >= :begins AND ends < :ends"),
            {"begins": BEGIN + 3 * HOUR, "ends": BEGIN + 4 * HOUR},
        )
    assert await trends(database, product, windows[2:3]) != before
    window = Window(to_instant(windows[0][0]), to_instant(windows[0][1]))
    hourly = await ReadTrend(database).of_product(product, "best_in_stock", window, choose_buckets(window, "1h"))
    assert hourly in before


async def test_rolling_up_again_finds_nothing_and_copies_do_not_meet(database: Database) -> None:
    await observe_minutes(database, [uuid4() for _ in range(3)], BEGIN, 3 * BLOCK_ROWS + 5)
    rolled = await asyncio.gather(*(RollUp(database).finish() for _ in range(3)))
    made = await blocks(database)
    assert sum(rolled) == len(made) >= 9
    assert len(made) == await count(database, f"SELECT sum(chunks / {BLOCK_CHUNKS}) FROM products")  # noqa: S608
    assert await RollUp(database).step() == 0
    assert await blocks(database) == made


async def test_a_rebuild_makes_the_same_blocks(database: Database, history_dsn: str) -> None:
    product = uuid4()
    await observe_minutes(database, [product], BEGIN, BLOCK_ROWS * (LEVELS[1].joins + 1) + 3)
    await RollUp(database).finish()
    made = await blocks(database)
    async with database.transaction() as connection:
        await connection.execute(sa.text("UPDATE rollups SET best_in_stock = best_in_stock || '\\x00' WHERE level = 1"))
        await connection.execute(sa.text("DELETE FROM rollups WHERE level = 2"))
    await rebuild(MigrateSettings(database_url=history_dsn))
    assert await blocks(database) == made


async def test_a_rebuild_that_is_interrupted_is_carried_on_by_the_worker(database: Database) -> None:
    product = uuid4()
    await observe_minutes(database, [product], BEGIN, 5 * BLOCK_ROWS + 1)
    await RollUp(database).finish()
    made = await blocks(database)
    window = [(BEGIN + 7 * MINUTE, BEGIN + 5 * HOUR)]
    before = await trends(database, product, window)
    assert await RollUp(database).anew() == len(made)
    assert await blocks(database) == []
    assert await trends(database, product, window) == before
    stopping = asyncio.Event()
    working = asyncio.create_task(RollUp(database).run(stopping))
    async with asyncio.timeout(30):
        while await count(database, "SELECT count(*) FROM rollup_queue"):  # noqa: ASYNC110 - in the database
            await asyncio.sleep(0.05)
    stopping.set()
    await working
    assert await blocks(database) == made


async def test_a_deleted_products_blocks_are_deleted(database: Database) -> None:
    gone, stays = uuid4(), uuid4()
    await observe_minutes(database, [gone, stays], BEGIN, BLOCK_ROWS + 1)
    await RollUp(database).finish()
    await DeleteProduct(database)(gone, BEGIN + DAY)
    assert await count(database, "SELECT count(*) FROM rollups") == 1
    await RollUp(database).anew()
    await RollUp(database).finish()
    assert await count(database, "SELECT count(*) FROM rollups") == 1


@pytest.fixture
async def old_and_new(database: Database) -> tuple[UUID, datetime]:
    """A product with changes before and after the month's end that its history is to be kept from, and a later day."""
    product = uuid4()
    boundary = datetime(2026, 4, 1, tzinfo=UTC)
    await observe_minutes(database, [product], boundary - 12 * HOUR, 24 * 60)
    return product, boundary + 410 * DAY


async def test_rollups_outlive_the_changes(database: Database, old_and_new: tuple[UUID, datetime]) -> None:
    product, now = old_and_new
    boundary = datetime(2026, 4, 1, tzinfo=UTC)
    windows = [
        (boundary - DAY, boundary + DAY),
        (boundary - 6 * HOUR, boundary + 6 * HOUR),
        (boundary - 2 * HOUR, boundary - HOUR),
    ]
    keep = KeepPartitions(database, RollUp(database), timedelta(days=400), lambda: now)
    await keep.make()
    read = ReadTrend(database)

    async def read_all(*resolutions: str) -> list[Trend]:
        cuts = [
            (Window(to_instant(begins), to_instant(ends)), resolution)
            for begins, ends in windows
            for resolution in resolutions
        ]
        return [
            await read.of_product(product, "best", window, choose_buckets(window, resolution))
            for window, resolution in cuts
        ]

    exact, finer = await read_all("5m", "1h"), await read_all("1m", "raw")
    await keep.drop()
    await keep.drop()
    assert await count(database, f"SELECT count(*) FROM chunks WHERE ends < '{boundary.isoformat()}'") == 0  # noqa: S608
    assert await read_all("5m", "1h") == exact
    # What is finer than the blocks is told as well as they know it: where the price stood, and the lowest and highest.
    for known, was in zip(await read_all("1m", "raw"), finer, strict=True):
        assert (known.start, known.end) == (was.start, was.end)
        assert (known.lowest, known.highest) == (was.lowest, was.highest)
    # What is kept can be rolled up again, and nothing else is lost by it.
    made = await blocks(database)
    await RollUp(database).anew()
    await RollUp(database).finish()
    assert await read_all("5m", "1h") == exact
    assert [block[:4] for block in await blocks(database)] == [block[:4] for block in made]


async def test_the_price_of_a_product_that_changed_long_ago_is_known_before_the_boundary(database: Database) -> None:
    product = uuid4()
    record = RecordOffers(database, Snapshots(10), derived_events)
    boundary = datetime(2026, 4, 1, tzinfo=UTC)
    await record({product: ObservedList.of(1, boundary - 50 * DAY, [("a", 10, 1)])})
    await record({product: ObservedList.of(2, boundary - 40 * DAY, [("a", 12, 1)])})
    keep = KeepPartitions(database, RollUp(database), timedelta(days=400), lambda: boundary + 410 * DAY)
    await keep.make()
    await keep.drop()
    window = Window(to_instant(boundary - 45 * DAY), to_instant(boundary + DAY))
    trend = await ReadTrend(database).of_product(product, "best_in_stock", window, choose_buckets(window, "1d"))
    assert (trend.start and trend.start.price, trend.end and trend.end.price) == (10, 12)
    later = Window(to_instant(boundary - 20 * DAY), to_instant(boundary - 10 * DAY))
    trend = await ReadTrend(database).of_product(product, "best_in_stock", later, choose_buckets(later, "1h"))
    assert [trend.start, trend.end] == [(12, later.start), (12, later.end)]
