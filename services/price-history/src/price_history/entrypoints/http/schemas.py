"""What the answers look like, for the OpenAPI document; they are written by `answers` and checked in tests."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

Price = int | None


class Point(BaseModel):
    """A change, or a bucket that begins at `at`; null where no price was in effect."""

    at: datetime
    price: Price
    lowest: Price
    highest: Price


class PriceAt(BaseModel):
    """A price and when it was in effect."""

    price: int
    at: datetime


class Start(PriceAt):
    """The first price; `carried` when it was in effect at `from` already."""

    carried: bool


class Trend(BaseModel):
    """What happened to a price. Prices are the Offers MS's integers; null stands for no price."""

    product_id: UUID
    offer_id: str | None
    basis: Literal["best_in_stock", "best"] | None
    begins: datetime = Field(alias="from")
    ends: datetime = Field(alias="to")
    resolution_seconds: int | None = Field(description="Null for `raw`.")
    prices: list[Price] = Field(description="The `price` of every point.")
    points: list[Point]
    start: Start | None
    end: PriceAt | None = Field(description="The price in effect at `to`, else the last one and when it ended.")
    change: int | None
    change_percent: float | None = Field(description="Of the start price, half-even to two decimals.")
    reason: Literal["no_price_in_period", "zero_start_price"] | None = Field(description="Why there is no change.")
    lowest: PriceAt | None
    highest: PriceAt | None
    average: float | None = Field(description="Weighted by how long each price was in effect; two decimals.")


class HistoryItem(BaseModel):
    """What an offer was from `at` on; null and null when it ended."""

    at: datetime
    offer_id: str
    price: Price
    items_in_stock: int | None


class History(BaseModel):
    """Recorded changes, oldest first."""

    items: list[HistoryItem]
    next_cursor: str | None


class ValidationProblem(BaseModel):
    """One thing that is wrong with a request; the pointer (RFC 6901) says where."""

    pointer: str
    detail: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ValidationProblem] | None = None
