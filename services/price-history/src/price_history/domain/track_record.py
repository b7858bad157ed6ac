"""What is kept of a product's best prices, so that it is known at once whether one is a new low.

A price is in effect until the next one takes its place. Kept are the lowest of all, and those of the last 30 days that
may still become the lowest: a price followed by a lower or an equal one never does, as that one counts for longer. What
is left rises from day to day, with at most one for each.
"""

from typing import Final, TypeAlias

import msgspec

from price_history.domain.instants import SECOND

LOW_DAYS: Final = 30
"""Days in UTC among which a price may be the lowest; the one that it begins on is the last of them."""
_DAY: Final = 86_400 * SECOND

Low: TypeAlias = tuple[int, int]
"""`(day, price)`: the last day, counted from 1970, on which a price was in effect."""


class TrackRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What is kept of a product's best prices, from the first one on; times are instants.

    `out_of_stock_since` tells when the last one went, where there is none now. `lows` has the prices before the present
    one, of the 30 days until that began.
    """

    watched_since: int
    lowest: int
    out_of_stock_since: int | None = None
    lows: tuple[Low, ...] = ()

    @property
    def lowest_in_days(self) -> int | None:
        """The lowest price before the present one in the 30 days until that began; None where there was none."""
        return self.lows[0][1] if self.lows else None

    def followed(self, at: int, before: int | None, price: int | None) -> "TrackRecord":
        """The track record once another price, or none, takes the place of `before`."""
        lowest = self.lowest if price is None or price > self.lowest else price
        return TrackRecord(self.watched_since, lowest, at if price is None else None, _lows(self.lows, at, before))


def _lows(lows: tuple[Low, ...], at: int, ended: int | None) -> tuple[Low, ...]:
    """Those that count at an instant at which a price ended."""
    if ended is not None:
        day = (at - 1) // _DAY
        kept = len(lows)
        while kept and lows[kept - 1][1] >= ended:
            kept -= 1
        lows = lows[:kept]
        if not lows or lows[-1][0] < day:
            lows = (*lows, (day, ended))
    first_day = at // _DAY - (LOW_DAYS - 1)
    while lows and lows[0][0] < first_day:
        lows = lows[1:]
    return lows


pack_track_record: Final = msgspec.msgpack.Encoder().encode
"""As it is kept in memory and in the database: some 20 bytes, and 6 for each day of `lows`."""
unpack_track_record: Final = msgspec.msgpack.Decoder(TrackRecord).decode
