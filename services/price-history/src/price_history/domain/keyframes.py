"""The state of a product's offers at an instant, from a keyframe and the changes after it."""

from collections.abc import Iterable
from typing import NamedTuple

from price_history.domain.offers import OfferChange


class StoredChange(NamedTuple):
    """A row of history: `state` is the price of every offer by number in a keyframe, else None."""

    best_in_stock: int | None
    best_out_of_stock: int | None
    changes: list[OfferChange]
    state: dict[int, int] | None


class State(NamedTuple):
    """The best prices and the price of every offer by number."""

    best_in_stock: int | None
    best_out_of_stock: int | None
    prices: dict[int, int]


def state_after(rows: Iterable[StoredChange]) -> State:
    """The state after the last of the rows, which begin with a keyframe."""
    prices: dict[int, int] = {}
    in_stock = out_of_stock = None
    for row in rows:
        in_stock, out_of_stock = row.best_in_stock, row.best_out_of_stock
        if row.state is not None:
            prices = dict(row.state)
            continue
        for number, price, _ in row.changes:
            if price is None:
                prices.pop(number, None)
            else:
                prices[number] = price
    return State(in_stock, out_of_stock, prices)
