"""From trends and history to the bytes of an answer.

Encoded by msgspec as they are: validating 500 points again on their way out costs more than computing them.
"""

import csv
import io
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog
from starlette.responses import Response, StreamingResponse

from price_history.domain.cells import PriceAt
from price_history.domain.instants import to_datetime, to_datetimes
from price_history.domain.trend import Trend
from price_history.entrypoints.http.parameters import encode_cursor
from price_history.use_cases.read_history import HistoryItem, HistoryPage

JSON: Final = "application/json"
CSV: Final = "text/csv"
KEPT_SINCE: Final = "Changes-Kept-Since"
"""A header: since when every single change is kept; left out where nothing was forgotten."""

# Decimals as numbers, digit by digit: a double could not hold the average of the largest prices.
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode

_log = structlog.get_logger()


class _Point(msgspec.Struct, gc=False):
    at: datetime
    price: int | None
    lowest: int | None
    highest: int | None


def trend_response(trend: Trend, product_id: UUID, offer_id: str | None, basis: str | None) -> Response:
    """A trend as in the contract."""
    start = trend.start
    answer = _json(
        {
            "product_id": product_id,
            "offer_id": offer_id,
            "basis": basis,
            "from": to_datetime(trend.window.start),
            "to": to_datetime(trend.window.end),
            "resolution_seconds": None if trend.buckets is None else trend.buckets.seconds,
            "prices": trend.points.prices,
            "points": list(map(_Point, to_datetimes(trend.points.at), *trend.points[1:])),
            "start": None if start is None else {**_price_at(start), "carried": trend.start_is_carried},
            "end": None if trend.end is None else _price_at(trend.end),
            "change": trend.change,
            "change_percent": trend.change_percent,
            "reason": trend.reason,
            "lowest": None if trend.lowest is None else _price_at(trend.lowest),
            "highest": None if trend.highest is None else _price_at(trend.highest),
            "average": trend.average,
        }
    )
    if trend.kept_since is not None:
        answer.headers[KEPT_SINCE] = _rfc3339(to_datetime(trend.kept_since))
    return answer


def history_response(page: HistoryPage) -> Response:
    """A page of recorded changes."""
    return _json(
        {
            "items": [item._asdict() for item in page.items],
            "next_cursor": None if page.next is None else encode_cursor(page.next),
        }
    )


def history_csv_response(
    product_id: UUID, first: list[HistoryItem], others: AsyncIterator[list[HistoryItem]] | None = None
) -> Response:
    """Recorded changes as RFC 4180 CSV: the first batch, and the others as they are read.

    The first is read before the answer begins, so that a product that is unknown or a database that is away is told by
    the status. When reading fails later the connection is cut: a file that looks complete is complete.
    """
    return StreamingResponse(
        _csv_lines(first, others),
        media_type=f"{CSV}; charset=utf-8; header=present",
        headers={"Content-Disposition": f'attachment; filename="history-{product_id}.csv"', "Vary": "Accept"},
    )


async def _csv_lines(first: list[HistoryItem], others: AsyncIterator[list[HistoryItem]] | None) -> AsyncIterator[bytes]:
    yield _csv([HistoryItem._fields]) + _csv(map(_csv_row, first))
    if others is None:
        return
    try:
        async for batch in others:
            yield _csv(map(_csv_row, batch))
    except Exception as error:
        _log.warning("history_stream_broken", error=type(error).__name__)
        raise


def _csv_row(item: HistoryItem) -> tuple[Any, ...]:
    return (_rfc3339(item.at), *item[1:])


def _csv(rows: Any) -> bytes:
    lines = io.StringIO()
    csv.writer(lines).writerows(rows)
    return lines.getvalue().encode()


def _rfc3339(moment: datetime) -> str:
    return f"{moment.replace(tzinfo=None).isoformat()}Z"


def _price_at(value: PriceAt) -> dict[str, Any]:
    return {"price": value.price, "at": to_datetime(value.at)}


def _json(value: Any) -> Response:
    return Response(_encode(value), media_type=JSON, headers={"Vary": "Accept"})
