"""The events that price-history derives from lists of offers: what subscribers would otherwise all work out themselves.

The *best price* is the lowest price among the offers in stock, as in the REST API. It is null where none is in stock.
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from aggregator_contracts.envelope import Batch, Event, OfferId, Part, Price, ProductId, Revision, Time


class _Change(Part):
    product_id: ProductId
    revision: Annotated[Revision, Field(description="Of the product's list in `OffersUpdated` that made it so.")]
    at: Annotated[Time, Field(description="When it is dated in the product's history, in UTC.")]


class _PriceEvent(Event):
    SOURCE: ClassVar[str] = "/price-history"
    source: Literal["/price-history"]


class BestPriceChange(_Change):
    """A product's new best price, or that there is none any more, and why.

    `(revision, at)` grows for each product: ignore a change that is not newer than the one you have.
    """

    old_price: Annotated[Price | None, Field(description="The best price before; null where there was none.")]
    new_price: Annotated[
        Price | None, Field(description="The best price from now on, never the same; null where there is none.")
    ]
    change_percent: Annotated[
        float | None,
        Field(
            allow_inf_nan=False,
            description="100 * (new - old) / old, rounded half-even to two decimals; null where one of them is null, "
            "or the old one is 0.",
        ),
    ]
    offer_id: Annotated[
        OfferId | None,
        Field(description="The offer in stock that has the new best price, the lowest id of several; null where none."),
    ]
    cause: Annotated[
        Literal["repriced", "appeared", "ended", "stock"],
        Field(
            description="What happened to the offer `cause_offer_id` since the product's list before: its price "
            "changed; it was not in that list; it is in the list no more; its stock went from or to zero. An offer "
            "whose stock did may have another price as well."
        ),
    ]
    cause_offer_id: Annotated[
        OfferId,
        Field(
            description="Where the new price is lower than the old one, or there was none: the offer that has it, "
            "`offer_id`. Else the offer that had the old best price, the lowest id of several."
        ),
    ]


class BestPriceChangedData(Part):
    """What was recorded together: 1 to 100 products, each once."""

    changes: Batch[BestPriceChange]


class BestPriceChanged(_PriceEvent):
    """The lowest price among the offers in stock is another one for each of these products, or has come or gone."""

    TYPE: ClassVar[str] = "prices.best-price-changed.v1"
    type: Literal["prices.best-price-changed.v1"]
    data: BestPriceChangedData

    @classmethod
    def of(cls, changes: list[BestPriceChange]) -> Self:
        """The event for 1 to 100 products."""
        return cls._now(data=BestPriceChangedData(changes=changes))


class LowReached(_Change):
    """A best price that is lower than any in the last 30 days.

    These are the 30 days in UTC of which `at` is in the last: from the start of the day 29 days before, until `at`. A
    price counts if it was the best one at any instant in them, so the one that was in effect as they began counts, too.
    Where there was none in all that time, the price is lower than any ever. The first price of a product is no new low.
    All of this is about prices since `watched_since`: it may lie within the 30 days.
    """

    price: Annotated[Price, Field(description="The best price from now on.")]
    offer_id: Annotated[OfferId, Field(description="The offer in stock that has it, the lowest id of several.")]
    previous_low_30_days: Annotated[
        Price | None,
        Field(description="The lowest best price in effect in these days until then; null where there was none."),
    ]
    lowest_ever: Annotated[bool, Field(description="Whether it is lower than any best price since `watched_since`.")]
    previous_low_ever: Annotated[Price, Field(description="The lowest best price since `watched_since` until then.")]
    watched_since: Annotated[
        Time,
        Field(
            description="When the first best price that counts was recorded, in UTC: that of the product, or where "
            "these events were off for a while, the one in effect when they were on again."
        ),
    ]


class NewLowData(Part):
    """What was recorded together: 1 to 100 products, each once."""

    changes: Batch[LowReached]


class NewLow(_PriceEvent):
    """The best price of each of these products fell below all that it was in the last 30 days, or ever."""

    TYPE: ClassVar[str] = "prices.new-low.v1"
    type: Literal["prices.new-low.v1"]
    data: NewLowData

    @classmethod
    def of(cls, changes: list[LowReached]) -> Self:
        """The event for 1 to 100 products."""
        return cls._now(data=NewLowData(changes=changes))


class StockReturned(_Change):
    """A best price of a product that had one before, and none last."""

    price: Annotated[Price, Field(description="The best price from now on.")]
    offer_id: Annotated[OfferId, Field(description="The offer in stock that has it, the lowest id of several.")]
    out_of_stock_since: Annotated[Time, Field(description="The `at` of the `OutOfStock` that this ends, in UTC.")]


class BackInStockData(Part):
    """What was recorded together: 1 to 100 products, each once."""

    changes: Batch[StockReturned]


class BackInStock(_PriceEvent):
    """Each of these products has an offer in stock again. Not told when a product has its first one ever."""

    TYPE: ClassVar[str] = "prices.back-in-stock.v1"
    type: Literal["prices.back-in-stock.v1"]
    data: BackInStockData

    @classmethod
    def of(cls, changes: list[StockReturned]) -> Self:
        """The event for 1 to 100 products."""
        return cls._now(data=BackInStockData(changes=changes))


class StockEnded(_Change):
    """A product whose best price went, as no offer is in stock, or there is none at all."""

    last_price: Annotated[Price, Field(description="The best price before.")]


class OutOfStockData(Part):
    """What was recorded together: 1 to 100 products, each once."""

    changes: Batch[StockEnded]


class OutOfStock(_PriceEvent):
    """Each of these products had an offer in stock, and has none any more."""

    TYPE: ClassVar[str] = "prices.out-of-stock.v1"
    type: Literal["prices.out-of-stock.v1"]
    data: OutOfStockData

    @classmethod
    def of(cls, changes: list[StockEnded]) -> Self:
        """The event for 1 to 100 products."""
        return cls._now(data=OutOfStockData(changes=changes))
