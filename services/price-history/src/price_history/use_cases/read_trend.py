"""Computes trends from the recorded changes, page by page."""

from collections.abc import AsyncIterator
from uuid import UUID

from price_history.db.engine import Database
from price_history.db.reading import Basis, Prices, best_prices, find_offer, find_product, offer_prices
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
        async with self._database.reading() as connection:
            product_no = await find_product(connection, product_id)
            return await _build(window, cut, best_prices(connection, product_no, basis, window))

    async def of_offer(self, product_id: UUID, offer_id: str, window: Window, cut: Buckets | None) -> Trend:
        """The trend of one offer's price, whatever its stock.

        Raises:
            UnknownProductError, UnknownOfferError: see there.
        """
        async with self._database.reading() as connection:
            product_no = await find_product(connection, product_id)
            offer_nos = await find_offer(connection, product_no, offer_id)
            if not offer_nos:
                raise UnknownOfferError
            return await _build(window, cut, offer_prices(connection, product_no, offer_nos, window))


def trend_without_prices(window: Window, cut: Buckets | None) -> Trend:
    """The trend of what had no price at all."""
    return TrendBuilder(window, cut).finish()


async def _build(window: Window, cut: Buckets | None, pages: AsyncIterator[Prices]) -> Trend:
    builder = TrendBuilder(window, cut)
    async for page in pages:
        builder.add(page)
    return builder.finish()
