"""A market for benchmarks: every product always has the same number of offers, and every price moves at each tick."""

from hashlib import blake2b
from typing import Final

from offers_simulator.market.walk import Offer, number_id, uuid_like_id

STEP: Final = 37
"""Prime to the cycle, so a price comes back only after a whole cycle of ticks."""
CYCLE: Final = 1000


def steady_offers_at(seed: int, product_id: str, tick: int, count: int, *, uuid_like: bool) -> list[Offer]:
    """The product's `count` offers at the tick, all in stock; a pure function, cheaper than the walk."""
    offers = []
    for slot in range(count):
        origin = blake2b(f"{seed}:{product_id}:{slot}".encode(), digest_size=20).digest()
        price = 15_000 + int.from_bytes(origin[16:19], "big") % 70_000 + tick * STEP % CYCLE
        offers.append(Offer(uuid_like_id(origin, slot) if uuid_like else number_id(origin, slot), price, 10))
    return offers
