"""The query parameters, as the OpenAPI document shows them, and what they mean."""

import base64
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from price_history.domain.errors import InvalidParameterError
from price_history.domain.instants import EPOCH, to_datetime, to_instant
from price_history.domain.resolution import Buckets, choose_buckets
from price_history.domain.window import Window, parse_period, parse_time, window
from price_history.use_cases.read_history import Position

# One microsecond short of the last, so that the one after it exists.
LATEST: Final = datetime(9999, 12, 31, 23, 59, 59, 999998, tzinfo=UTC)

# For the OpenAPI document; the domain says what is wrong in better words.
PERIOD: Final = (
    r"^([0-9]{1,9}[mhdw]|P(?=.)([0-9]+Y)?([0-9]+M)?([0-9]+W)?([0-9]+D)?(T(?=.)([0-9]+H)?([0-9]+M)?([0-9]+S)?)?)$"
)
RESOLUTION: Final = "^(raw|auto|[0-9]{1,9}[smhd])$"

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class TrendQuery(BaseModel):
    """`period`, or `from` and `to`, and how finely the trend is cut."""

    model_config = ConfigDict(extra="forbid")

    period: Annotated[
        str | SkipJsonSchema[None],
        Field(
            json_schema_extra={"pattern": PERIOD},
            description="How far the trend reaches back from `to`: `<n>m|h|d|w`, or ISO 8601 such as `P7D` or `PT12H` "
            "(a year is 365 days, a month 30). Not together with `from`.",
            examples=["24h"],
        ),
    ] = None
    begins: Annotated[
        Time | SkipJsonSchema[None], Field(alias="from", description="RFC 3339; by default 24 h before `to`.")
    ] = None
    ends: Annotated[
        Time | SkipJsonSchema[None], Field(alias="to", description="RFC 3339; now by default. It is included.")
    ] = None
    resolution: Annotated[
        str,
        Field(
            json_schema_extra={"pattern": RESOLUTION},
            description="`raw`: a point for each change; `auto`: the finest round length with at most 500 points; or "
            " `<n>s|m|h|d`. At most 5,000 points are given.",
            examples=["auto"],
        ),
    ] = "auto"

    def window(self, now: datetime) -> Window:
        """The span of time that is asked for.

        Raises:
            InvalidParameterError: it makes no sense.
        """
        begins = None if self.begins is None else parse_time("from", self.begins)
        ends = None if self.ends is None else parse_time("to", self.ends)
        period = None if self.period is None else parse_period(self.period)
        return window(now, begins, ends, period)

    def cut(self, asked: Window) -> Buckets | None:
        """The buckets of the window, None for `raw`.

        Raises:
            InvalidParameterError: none, or too many.
        """
        return choose_buckets(asked, self.resolution)


class ProductTrendQuery(TrendQuery):
    """The trend of a product's best price."""

    basis: Annotated[
        Literal["best_in_stock", "best"],
        Field(description="Among the offers in stock, or among all of them."),
    ] = "best_in_stock"


class HistoryQuery(BaseModel):
    """Which recorded changes."""

    model_config = ConfigDict(extra="forbid")

    begins: Annotated[Time | SkipJsonSchema[None], Field(alias="from", description="RFC 3339; included.")] = None
    ends: Annotated[Time | SkipJsonSchema[None], Field(alias="to", description="RFC 3339; included.")] = None
    limit: Annotated[int, Field(ge=1, le=1000, description="For JSON; CSV is always the whole period.")] = 500
    cursor: Annotated[str | SkipJsonSchema[None], Field(description="`next_cursor` of the page before; for JSON.")] = (
        None
    )

    def begin(self) -> datetime:
        """The first instant; by default that of all.

        Raises:
            InvalidParameterError: it is none, or not before the last one.
        """
        begins = EPOCH if self.begins is None else parse_time("from", self.begins)
        if begins >= self.end():
            raise InvalidParameterError("from", "must be before to")
        return begins

    def end(self) -> datetime:
        """The last instant; by default that of all.

        Raises:
            InvalidParameterError: it is none.
        """
        return LATEST if self.ends is None else min(parse_time("to", self.ends), LATEST)

    def position(self) -> Position:
        """Where the page begins.

        Raises:
            InvalidParameterError: a cursor that this service did not make.
        """
        begins = self.begin()
        if self.cursor is None:
            return Position(begins, 0)
        position = _decode_cursor(self.cursor)
        if not begins <= position.at <= self.end():
            raise InvalidParameterError("cursor", "belongs to another period")
        return position


_cursor = msgspec.msgpack.Decoder(tuple[int, Annotated[int, msgspec.Meta(ge=0)]])


def encode_cursor(position: Position) -> str:
    """An opaque word for a position. It is no secret, and gives no right that its owner lacks."""
    packed = msgspec.msgpack.encode((to_instant(position.at), position.skip))
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def _decode_cursor(cursor: str) -> Position:
    try:
        packed = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        instant, skip = _cursor.decode(packed)
        position = Position(to_datetime(instant), skip)
    except (ValueError, OverflowError, msgspec.MsgspecError):
        raise InvalidParameterError("cursor", "is none that this service made") from None
    if encode_cursor(position) != cursor:
        raise InvalidParameterError("cursor", "is none that this service made")
    return position
