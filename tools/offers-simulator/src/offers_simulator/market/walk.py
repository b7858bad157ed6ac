"""How offers move: a pure function of seed, product and tick, at the same cost for every tick.

A price is value noise over several octaves: blocks of 1, 4, 16, 64 and 256 ticks each add a term that is constant in
the block and drawn from its hash; longer blocks have larger terms, which makes the sum look like a random walk and
needs no earlier tick to be computed. Each product has 6 to 10 slots; in a slot one offer follows another, each with a
new id, a stock that sells out over its life, and in all slots but the first five a pause before the next one comes.
So a product has 5 to 10 offers, except that its shop closes for two ticks in some hundreds.
"""

from hashlib import blake2b
from typing import Final

import msgspec

BLOCK_EXPONENTS: Final = (0, 2, 4, 6, 8)
"""Base-2 logarithms of the octaves' block lengths in ticks."""
SMALLEST_TERM: Final = 0.002
"""The largest share of the price that the shortest octave moves; each further octave moves twice as much."""
STEADY_SLOTS: Final = 5
CLOSED_TICKS: Final = 2


class Offer(msgspec.Struct, frozen=True, gc=False):
    """One offer as the Offers MS sends it; `id` is a number in generation 1 and a string in generation 2."""

    id: int | str
    price: int
    items_in_stock: int


def number_id(digest: bytes, slot: int) -> int:
    """A 31-bit number, unlike those of the product's other slots."""
    return (int.from_bytes(digest[:4], "big") >> 5) << 4 | slot


def uuid_like_id(digest: bytes, slot: int) -> str:
    """Looks like a UUID, but its version is not 4: the second generation's ids are like that."""
    digits = digest.hex()
    version = "9abcdef0"[digest[6] & 7]
    return f"{digits[:8]}-{digits[8:12]}-{version}{digits[13:16]}-{slot:x}{digits[17:20]}-{digits[20:32]}"


def offers_at(seed: int, product_id: str, tick: int, *, uuid_like: bool) -> list[Offer]:
    """The product's offers at the tick, in no order that means anything."""
    key = f"{seed}:{product_id}:"
    nature = blake2b(key.encode(), digest_size=40).digest()
    tick += nature[0] << 8 | nature[1]
    if tick % (300 + 2 * nature[2]) < CLOSED_TICKS:
        return []
    a, b, c, d, e = (_octave(key, tick, exponent) for exponent in BLOCK_EXPONENTS)
    product_price = 15_000 + int.from_bytes(nature[3:7], "big") % 70_000
    offers = []
    for slot in range(6 + nature[7] % 5):
        span = 12 + nature[8 + slot] % 64
        life, age = divmod(tick + nature[20 + slot], span)
        on_sale = span if slot < STEADY_SLOTS else span - span // 4
        if age >= on_sale:
            continue
        origin = blake2b(f"{key}{slot}:{life}".encode(), digest_size=20).digest()
        noise = (a[slot] + 2 * b[slot] + 4 * c[slot] + 8 * d[slot] + 16 * e[slot]) / 127.5 - 31
        price = round(product_price * (0.9 + origin[16] / 1275) * (1 + SMALLEST_TERM * noise))
        first_stock = 1 + (origin[17] << 8 | origin[18]) % 1000
        stock = first_stock * (on_sale - 1 - age) // (on_sale - 1)
        offers.append(Offer(uuid_like_id(origin, slot) if uuid_like else number_id(origin, slot), price, stock))
    return offers


def _octave(key: str, tick: int, exponent: int) -> bytes:
    """One byte for each slot; blocks of different octaves do not begin together, so no tick moves everything."""
    block = (tick + 37 * exponent) >> exponent
    return blake2b(f"{key}o{exponent}:{block}".encode(), digest_size=10).digest()
