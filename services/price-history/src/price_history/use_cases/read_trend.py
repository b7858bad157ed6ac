"""Computes trends from rollups and recorded changes, page by page."""

from uuid import UUID

from connection_pool import Connection
from price_history.db.engine import Database
from price_history.db.price_series import BEST, Basis, Series, offer_series
from price_history.db.reading import find_offer, find_product
from price_history.db.series import find_series, read_series
from price_history.domain.covering import Wanted
from price_history.domain.errors import UnknownOfferError
from price_history.domain.resolution import Buckets
from price_history.domain.trend import Trend, TrendBuilder
from price_history.domain.window import Window


class ReadTrend:
    """Trends of products and offers, over a window cut into buckets (None: a point for each change).

    Every method raises `DatabaseUnavailableError` while the database does not answer, and `InvalidParameterError`
    for more points than are given at once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_product(self, product_id: UUID, basis: Basis, window: Window, cut: Buckets | None) -> Trend:
        """The trend of the product's best price.

        Raises:
            UnknownProductError: see there.
        """
        async with self._database.querying() as connection:
            return await _build(connection, product_id, BEST[basis], window, cut)

    async def of_offer(self, product_id: UUID, offer_id: str, window: Window, cut: Buckets | None) -> Trend:
        """The trend of one offer's price, whatever its stock.

        Raises:
            UnknownProductError, UnknownOfferError: see there.
        """
        async with self._database.querying() as connection:
            product = await find_product(connection, product_id)
            offer_nos = await find_offer(connection, product.number, offer_id)
            if not offer_nos:
                raise UnknownOfferError
            return await _build(connection, product_id, offer_series(offer_nos), window, cut)


def trend_without_prices(window: Window, cut: Buckets | None) -> Trend:
    """The trend of what had no price at all."""
    return TrendBuilder(window, cut).finish()


async def _build(
    connection: Connection, product_id: UUID, series: Series, window: Window, cut: Buckets | None
) -> Trend:
    wanted = Wanted(window, cut, None)
    found = await find_series(connection, product_id, series, wanted)
    wanted = Wanted(window, cut, found.product.kept_since)
    if wanted.forgotten_at_start:
        found = await find_series(connection, product_id, series, wanted)
    builder = TrendBuilder(window, cut)
    async for pieces in read_series(connection, found, series, wanted):
        builder.add(pieces)
    return builder.finish(wanted.kept_since)
