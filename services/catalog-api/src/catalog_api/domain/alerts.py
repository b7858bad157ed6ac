"""An alert: which condition on which product's best price is told to which webhook, and how often at most."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal
from uuid import UUID, uuid5

import msgspec
import uuid_utils.compat

MAX_ALERTS: Final = 10_000
MAX_ALERTS_FOR_ALL: Final = 20
"""Alerts on all products, each of which is looked at with every change of every product."""
SHORTEST_WINDOW: Final = timedelta(minutes=1)
LONGEST_WINDOW: Final = timedelta(days=30)
MAX_COOLDOWN_SECONDS: Final = 30 * 86_400

WINDOW_PATTERN: Final = "^[0-9]{1,5}[mhd]$"
_UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}

new_alert_id: Callable[[], UUID] = uuid_utils.compat.uuid7


class BestPriceAtOrBelow(msgspec.Struct, frozen=True, tag_field="type", tag="best_price_at_or_below"):
    """Holds while there is a best price and it is `price` or lower."""

    price: int


class Drop(msgspec.Struct, frozen=True, tag_field="type", tag="drop"):
    """Holds while the best price is `percent` or more below the highest one in effect during the window before."""

    percent: float
    window: str


class Rise(msgspec.Struct, frozen=True, tag_field="type", tag="rise"):
    """Holds while the best price is `percent` or more above the lowest one in effect during the window before.

    Never, where that one is 0: no percentage leads from there to anywhere.
    """

    percent: float
    window: str


class NewLowOver(msgspec.Struct, frozen=True, tag_field="type", tag="new_low"):
    """Holds at the instant at which the best price falls below any in the last 30 days in UTC, or ever."""

    over: Literal["30d", "ever"]


class BackInStockAgain(msgspec.Struct, frozen=True, tag_field="type", tag="back_in_stock"):
    """Holds at the instant at which there is a best price again; not when there is one for the first time ever."""


Condition = BestPriceAtOrBelow | Drop | Rise | NewLowOver | BackInStockAgain


class Rule(msgspec.Struct, frozen=True):
    """When an alert fires.

    Attributes:
        condition: what is to be told.
        cooldown_seconds: after a firing none follows for the same product before so many seconds have passed.
        hysteresis_percent: how far a price has to leave the condition before the alert can fire again for the
            product; to hundredths.
    """

    condition: Condition
    cooldown_seconds: int
    hysteresis_percent: float


class Wish(msgspec.Struct, frozen=True):
    """What a user says of an alert; `product_id` is None for all products."""

    name: str | None
    product_id: UUID | None
    webhook_id: UUID
    rule: Rule
    enabled: bool


class Alert(msgspec.Struct, frozen=True):
    """An alert as it is kept."""

    id: UUID
    wish: Wish
    firings_count: int
    last_fired_at: datetime | None
    created_at: datetime
    updated_at: datetime


class LoggedFiring(msgspec.Struct, frozen=True):
    """A firing as it is logged; `id` is that of the message that its webhook is sent."""

    id: UUID
    alert_id: UUID
    product_id: UUID
    at: datetime
    price: int
    reference: int | None


def firing_id(alert_id: UUID, product_id: UUID, at: datetime) -> UUID:
    """The id of an alert's firing for a product at a change of its price: the same however often it is found."""
    return uuid5(alert_id, f"{product_id} {at.astimezone(UTC).isoformat()}")


@lru_cache(maxsize=MAX_ALERTS)
def window_length(text: str) -> timedelta:
    """The length of a window such as `90m`, `24h` or `7d`.

    Raises:
        ValueError: it has another form, or is not one minute to 30 days.
    """
    if not re.fullmatch(WINDOW_PATTERN, text):
        raise ValueError("must be such as 90m, 24h or 7d")
    length = int(text[:-1]) * _UNITS[text[-1]]
    if not SHORTEST_WINDOW <= length <= LONGEST_WINDOW:
        raise ValueError("must be 1m to 30d long")
    return length
