"""Computes trends from the recorded changes, page by page."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from price_history.db.engine import Database
from price_history.db.reading import (
    Basis,
    PricePage,
    best_price_page,
    find_offer,
    find_product,
    offer_price_page,
)
from price_history.domain.errors import UnknownOfferError
from price_history.domain.resolution import Buckets
from price_history.domain.trend import Trend, TrendBuilder
from price_history.domain.window import Window

NextPage = Callable[[int | None], Awaitable[PricePage]]


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
            return await _build(
                window, cut, lambda after: best_price_page(connection, product_no, basis, window, after)
            )

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
            return await _build(
                window, cut, lambda after: offer_price_page(connection, product_no, offer_nos, window, after)
            )


def trend_without_prices(window: Window, cut: Buckets | None) -> Trend:
    """The trend of what had no price at all."""
    return TrendBuilder(window, cut).finish()


async def _build(window: Window, cut: Buckets | None, next_page: NextPage) -> Trend:
    builder = TrendBuilder(window, cut)
    page = await next_page(None)
    builder.add(page.prices)
    while page.next_after is not None:
        page = await next_page(page.next_after)
        builder.add(page.prices)
    return builder.finish()
