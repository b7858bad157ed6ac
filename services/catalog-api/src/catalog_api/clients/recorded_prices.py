"""Reads recorded best prices of price-history, in requests that each are small."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import Final
from uuid import UUID

import msgspec

from catalog_api.clients.price_history import PriceHistory
from catalog_api.domain.errors import PriceHistoryUnavailableError
from catalog_api.domain.price_facts import LOW_DAYS, Before

_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SHORTEST: Final = timedelta(milliseconds=1)
"""A span that can't have too many changes, which are a microsecond apart at least."""


class _Point(msgspec.Struct, gc=False):
    at: datetime
    price: int | None
    lowest: int | None


class _Lowest(msgspec.Struct, gc=False):
    price: int


class _Trend(msgspec.Struct):
    points: list[_Point] = []
    lowest: _Lowest | None = None
    kept_since: datetime | None = None
    """Of the answer, not of its JSON."""


class _TooManyPointsError(Exception):
    """More than price-history gives at once."""


class PartOfSeries(msgspec.Struct, frozen=True):
    """The best price in effect at the part's start (None without one), and the changes after it, in order.

    Not `is_whole` if it begins before every single change is kept: until then there are those that lead to the first,
    lowest, highest and last prices of every five minutes.
    """

    price: int | None
    changes: list[tuple[datetime, int | None]]
    is_whole: bool


_decode: Final = msgspec.json.Decoder(_Trend).decode


class RecordedPrices:
    """Best prices (of offers in stock) as they were recorded.

    Every method raises `PriceHistoryUnavailableError` while price-history does not answer. A product without prices,
    or one that price-history does not know any more, has none.
    """

    def __init__(self, price_history: PriceHistory) -> None:
        self._price_history = price_history

    async def series(self, product_id: UUID, begins: datetime, ends: datetime) -> AsyncIterator[PartOfSeries]:
        """Every change after `begins` up to `ends`, in parts: a span with too many for one request is halved."""
        spans = [(begins, ends)]
        while spans:
            start, end = spans.pop()
            try:
                trend = await self._trend(product_id, start, end, "raw")
            except _TooManyPointsError:
                if end - start <= _SHORTEST:
                    raise PriceHistoryUnavailableError("it refuses a span however short") from None
                middle = start + (end - start) / 2
                spans += [(middle, end), (start, middle)]
                continue
            points = trend.points
            carried = points[:1] if points and points[0].at <= start else []
            yield PartOfSeries(
                carried[0].price if carried else None,
                [(point.at, point.price) for point in points[len(carried) :]],
                trend.kept_since is None or trend.kept_since <= start,
            )

    async def before(self, product_id: UUID, moment: datetime) -> Before:
        """What is to be known of the time until `moment` to tell facts of the time after it."""
        ever = await self._trend(product_id, _BEGINNING, moment, "auto")
        if ever.lowest is None:
            return Before()
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        days = await self._trend(product_id, midnight - timedelta(days=LOW_DAYS - 1), moment, "1d")
        return Before(ever.lowest.price, tuple(_daily_lows(days.points)))

    async def _trend(self, product_id: UUID, begins: datetime, ends: datetime, resolution: str) -> _Trend:
        query = f"from={_rfc3339(begins)}&to={_rfc3339(ends)}&resolution={resolution}"
        answer = await self._price_history.get(f"/products/{product_id}/trend", query.encode(), None)
        match answer.status:
            case HTTPStatus.NOT_FOUND:
                return _Trend()
            case HTTPStatus.UNPROCESSABLE_ENTITY:
                # We ask for nothing else that it refuses.
                raise _TooManyPointsError
        if not isinstance(answer.body, bytes):
            raise PriceHistoryUnavailableError("a stream in the place of JSON")
        try:
            trend = _decode(answer.body)
            trend.kept_since = None if answer.kept_since is None else datetime.fromisoformat(answer.kept_since)
        except (msgspec.MsgspecError, ValueError) as error:
            raise PriceHistoryUnavailableError("an answer that is no trend") from error
        return trend


def _daily_lows(points: list[_Point]) -> list[tuple[date, int]]:
    return [(point.at.date(), point.lowest) for point in points if point.lowest is not None]


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
