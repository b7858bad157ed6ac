"""Where one chunk ends and the next one begins, and where the head does, nobody who reads can tell."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from price_history.db import series
from price_history.db.engine import Database
from price_history.db.snapshots import Snapshots
from price_history.domain.cells import Change
from price_history.domain.chunks import CHUNK_ROWS
from price_history.domain.instants import SECOND, to_datetime, to_instant
from price_history.domain.recording import ObservedList
from price_history.domain.resolution import choose_buckets
from price_history.domain.trend import Trend, TrendBuilder
from price_history.domain.window import Window
from price_history.use_cases.derived_events import derived_events
from price_history.use_cases.read_history import HistoryItem, Position, ReadHistory
from price_history.use_cases.read_trend import ReadTrend
from price_history.use_cases.record_offers import RecordOffers

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LATER = BEGIN + timedelta(days=1)


class Told:
    """A product, and what was told of it: the prices of offer `a` and the best one in stock."""

    def __init__(self, product: UUID) -> None:
        self.product = product
        self.best: list[Change] = []
        self.offer: list[Change] = []

    def expect(self, changes: list[Change], window: Window) -> Trend:
        """By all the changes at once."""
        builder = TrendBuilder(window, None)
        builder.add([change for change in changes if change[0] <= window.end])
        return builder.finish()


@pytest.fixture
async def told(database: Database) -> Told:
    """Enough observations for a few chunks and a head, some of them at times that the clock did not allow."""
    draw = random.Random(11)  # noqa: S311 - the same every time
    told = Told(uuid4())
    record = RecordOffers(database, Snapshots(10), derived_events)
    last = BEGIN - MINUTE
    for revision in range(1, 3 * CHUNK_ROWS):
        observed_at = BEGIN + revision * MINUTE - (timedelta(hours=1) if revision % 7 == 0 else timedelta())
        # Each time something changes: the price of `b` does.
        offers = [("a", draw.randint(1, 5), draw.randint(0, 1))] if draw.random() < 0.9 else []
        offers.append(("b", 10 + revision % 2, revision % 3))
        await record({told.product: ObservedList.of(revision, observed_at, offers)})
        last = max(observed_at, last + timedelta(microseconds=1))
        at = to_instant(last)
        told.best.append((at, min((price for _, price, stock in offers if stock), default=None)))
        told.offer.append((at, next((price for offer, price, _ in offers if offer == "a"), None)))
    return told


async def borders(database: Database) -> list[int]:
    """The first and last instant of each chunk and of the head."""
    async with database.reading() as connection:
        chunks = await connection.execute(sa.text("SELECT begins, ends FROM chunks ORDER BY ends"))
        heads = await connection.execute(sa.text("SELECT head_begins, last_change_at FROM products"))
        return [to_instant(moment) for row in [*chunks, *heads] for moment in row]


@pytest.mark.parametrize("at_first", [100, 1, 2])
@pytest.mark.parametrize("near", [series.NEAR, 10 * 60 * SECOND, SECOND])
async def test_a_trend_does_not_tell_where_chunks_meet(
    database: Database, told: Told, near: int, at_first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "NEAR", near)
    monkeypatch.setattr(series, "CHUNKS_AT_FIRST", at_first)
    found = await borders(database)
    assert len(found) == 6, "two chunks and the head"
    read = ReadTrend(database)
    instants = sorted({border + offset for border in found for offset in (-1, 0, 1)})
    windows = [Window(start, start + length) for start in instants for length in (1, 10**8, 10**10)]
    windows += [Window(found[0] - 1, end) for end in instants if end > found[0]]
    for window in windows:
        raw = choose_buckets(window, "raw")
        best = await read.of_product(told.product, "best_in_stock", window, raw)
        assert best == told.expect(told.best, window)
        offer = await read.of_offer(told.product, "a", window, raw)
        assert offer == told.expect(told.offer, window)


async def test_history_does_not_tell_where_chunks_meet(database: Database, told: Told) -> None:
    read = ReadHistory(database)
    everything = (await read.page(told.product, Position(BEGIN, 0), LATER, 1000)).items
    assert len({item.at for item in everything}) == len(told.best)
    for border in await borders(database):
        for at in (to_datetime(border), to_datetime(border + 1)):
            page = await read.page(told.product, Position(at, 0), LATER, 1000)
            assert page.items == [item for item in everything if item.at >= at]
            page = await read.page(told.product, Position(BEGIN, 0), at, 1000)
            assert page.items == [item for item in everything if item.at <= at]
    for limit in (1, 3, 50, len(everything)):
        items: list[HistoryItem] = []
        position: Position | None = Position(BEGIN, 0)
        while position is not None:
            page = await read.page(told.product, position, LATER, limit)
            items, position = items + page.items, page.next
        assert items == everything
