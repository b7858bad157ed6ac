"""How finely a trend is cut: one point for each change (`raw`), or for each bucket of a fixed length."""

import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

from price_history.domain.errors import InvalidParameterError
from price_history.domain.instants import SECOND
from price_history.domain.window import Window

MAX_POINTS: Final = 5_000
AUTO_POINTS: Final = 500

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
AUTO_SECONDS: Final = (
    *(1, 5, 10, 15, 30),
    *(n * _MINUTE for n in (1, 5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 6, 12)),
    *(n * _DAY for n in (1, 7, 28, 91, 364, 3_640, 36_400)),
)
"""Bucket lengths that `auto` chooses from; above a day they are whole weeks. The last one spans 9999 years in 101."""

_GIVEN: Final = re.compile(r"([0-9]{1,9})([smhd])")
_UNIT_SECONDS: Final = {"s": 1, "m": _MINUTE, "h": _HOUR, "d": _DAY}


@dataclass(frozen=True, slots=True)
class Buckets:
    """`count` buckets of `seconds` that cover a window; the first begins at `first`, a whole multiple since 1970."""

    first: int
    seconds: int
    count: int


def buckets(window: Window, seconds: int) -> Buckets:
    """The buckets `[at, at + seconds)` that cover the window; its end, though included, opens no bucket."""
    length = seconds * SECOND
    first = window.start // length * length
    return Buckets(first, seconds, -((first - window.end) // length))


def choose_buckets(window: Window, resolution: str) -> Buckets | None:
    """The buckets of `raw` (None), `auto` (the finest of the ladder with at most 500 points) or `<n>s|m|h|d`.

    Raises:
        InvalidParameterError: an unknown resolution, or more than 5,000 points.
    """
    if resolution == "raw":
        return None
    if resolution == "auto":
        enough = (window.end - window.start) // (AUTO_POINTS * SECOND)
        fitting = AUTO_SECONDS[bisect_left(AUTO_SECONDS, enough) :]
        return next(cut for seconds in fitting if (cut := buckets(window, seconds)).count <= AUTO_POINTS)
    given = _GIVEN.fullmatch(resolution)
    seconds = int(given[1]) * _UNIT_SECONDS[given[2]] if given else 0
    if not seconds:
        raise InvalidParameterError("resolution", "must be raw, auto, or such as 30s, 5m, 1h or 1d")
    cut = buckets(window, seconds)
    if cut.count > MAX_POINTS:
        raise InvalidParameterError(
            "resolution",
            f"gives {cut.count} points in this period; at most {MAX_POINTS} are given: choose a coarser one",
        )
    return cut
