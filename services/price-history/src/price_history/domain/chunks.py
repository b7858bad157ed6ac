"""Chunks: a product's history cut into pieces that each tell by themselves what held before their first change.

The last one, to which what is observed is added, is the *head*. A full head is closed when the next change comes, and
never changes again.
"""

from typing import Final, NamedTuple

from price_history.domain.offers import KnownOffers, best_prices

CHUNK_ROWS: Final = 32
CHUNK_CHANGES: Final = 80
"""Observations and changes of offers that fill a chunk, whichever comes first: some 500 bytes. What is written with
each observation is the head as a whole; what a row of the database costs beyond it is shared by this many."""


class State(NamedTuple):
    """The best prices as in `ChangeRow`, and the price of every offer by number."""

    best_in_stock: int | None
    best_out_of_stock: int | None
    prices: dict[int, int]


def state_of(offers: KnownOffers) -> State:
    """What holds while these offers do."""
    _, numbers, prices, stocks = offers
    best, in_stock = best_prices(prices, stocks)
    return State(in_stock, None if best == in_stock else best, dict(zip(numbers, prices, strict=True)))


def is_full(rows: int, changes: int, offers: int) -> bool:
    """Whether a head with so many observations, changes in them, and offers in the state before it, takes no more.

    A state of many offers is worth as many changes: so it never takes more room than they do.
    """
    return rows >= CHUNK_ROWS or changes >= max(CHUNK_CHANGES, offers)
