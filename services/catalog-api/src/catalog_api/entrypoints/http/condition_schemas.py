"""The JSON of alerts' conditions."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from catalog_api.domain import alerts
from catalog_api.domain.alerts import WINDOW_PATTERN, window_length
from catalog_api.entrypoints.http.schemas import Input

MAX_PRICE: Final = 2**63 - 1


def to_hundredths(percent: float) -> float:
    """The percentage, rounded to hundredths."""
    return round(percent, 2)


def _window(raw: str) -> str:
    window_length(raw)
    return raw


_Price = Annotated[int, Field(ge=0, le=MAX_PRICE)]
_Window = Annotated[
    str,
    AfterValidator(_window),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": WINDOW_PATTERN,
            "description": "How long before a change prices count that were in effect at any instant: `<n>m|h|d`, "
            "`1m` to `30d`. Reckoned in slots of a hundredth of it, counted from 1970 UTC: that of its first instant "
            "counts as a whole.",
            "examples": ["24h"],
        }
    ),
]


class BestPriceAtOrBelow(Input):
    """Holds while there is a best price and it is `price` or lower."""

    type: Literal["best_price_at_or_below"]
    price: _Price

    def condition(self) -> alerts.Condition:
        """For the domain."""
        return alerts.BestPriceAtOrBelow(self.price)


class Drop(Input):
    """Holds while the best price is `percent` or more below the highest one in effect during the window."""

    type: Literal["drop"]
    percent: Annotated[
        float, Field(ge=0.01, le=100, description="Rounded to hundredths."), AfterValidator(to_hundredths)
    ]
    window: _Window

    def condition(self) -> alerts.Condition:
        """For the domain."""
        return alerts.Drop(self.percent, self.window)


class Rise(Input):
    """Holds while the best price is `percent` or more above the lowest one in effect during the window.

    Never, where that one is 0.
    """

    type: Literal["rise"]
    percent: Annotated[
        float, Field(ge=0.01, le=1_000_000, description="Rounded to hundredths."), AfterValidator(to_hundredths)
    ]
    window: _Window

    def condition(self) -> alerts.Condition:
        """For the domain."""
        return alerts.Rise(self.percent, self.window)


class NewLow(Input):
    """The best price falls below any in the last 30 days in UTC, or ever: as in the event `prices.new-low.v1`."""

    type: Literal["new_low"]
    over: Literal["30d", "ever"]

    def condition(self) -> alerts.Condition:
        """For the domain."""
        return alerts.NewLowOver(self.over)


class BackInStock(Input):
    """There is a best price again, after there was none: as in the event `prices.back-in-stock.v1`."""

    type: Literal["back_in_stock"]

    def condition(self) -> alerts.Condition:
        """For the domain."""
        return alerts.BackInStockAgain()


Condition = Annotated[BestPriceAtOrBelow | Drop | Rise | NewLow | BackInStock, Field(discriminator="type")]
