"""The span of time that is asked about: `period`, or `from` and `to`."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from price_history.domain.errors import InvalidParameterError
from price_history.domain.instants import EPOCH, to_instant

DEFAULT_PERIOD: Final = timedelta(hours=24)

_RFC_3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,20})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_PLAIN: Final = re.compile(r"([0-9]{1,9})([mhdw])")
_PLAIN_UNITS: Final = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_NUMBER: Final = "([0-9]{1,9})"
_ISO_8601: Final = re.compile(
    rf"P(?=.)(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
    rf"(?:T(?=.)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?"
)
_ISO_8601_UNITS: Final = (
    timedelta(days=365),
    timedelta(days=30),
    timedelta(weeks=1),
    timedelta(days=1),
    timedelta(hours=1),
    timedelta(minutes=1),
    timedelta(seconds=1),
)


@dataclass(frozen=True, slots=True)
class Window:
    """The instants from `start` to `end`, both included, in microseconds since 1970; `start` < `end`."""

    start: int
    end: int


def parse_period(text: str) -> timedelta:
    """A span such as `24h`, `P7D` or `PT12H`; in ISO 8601 a year is 365 days and a month 30, whole numbers only.

    Raises:
        InvalidParameterError: neither form, zero, or longer than any time since 1970.
    """
    plain = _PLAIN.fullmatch(text)
    iso = _ISO_8601.fullmatch(text)
    try:
        if plain:
            period = int(plain[1]) * _PLAIN_UNITS[plain[2]]
        elif iso:
            period = sum(
                (int(count) * unit for count, unit in zip(iso.groups(), _ISO_8601_UNITS, strict=True) if count),
                timedelta(),
            )
        else:
            raise InvalidParameterError(
                "period", "must be such as 90m, 24h, 7d or 2w, or ISO 8601 such as P7D or PT12H"
            )
    except OverflowError:
        raise InvalidParameterError("period", "is too long") from None
    if not period:
        raise InvalidParameterError("period", "must be longer than nothing")
    return period


def parse_time(parameter: str, text: str) -> datetime:
    """An RFC 3339 time with its offset, to the microsecond; finer digits are cut off.

    Raises:
        InvalidParameterError: it is none, or before 1970 or after 9999 in UTC.
    """
    if not _RFC_3339.fullmatch(text):
        raise InvalidParameterError(parameter, "must be an RFC 3339 time with offset, such as 2026-01-31T12:00:00Z")
    try:
        moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidParameterError(parameter, "is no time on the calendar") from None
    if moment < EPOCH:
        raise InvalidParameterError(parameter, "must not be before 1970")
    return moment


def window(now: datetime, begins: datetime | None, ends: datetime | None, period: timedelta | None) -> Window:
    """The window of `from`, `to` and `period`: `to` is now by default, `from` lies `period` (24 h) before `to`.

    Raises:
        InvalidParameterError: both `from` and `period`; `from` not before `to`; a window that begins before 1970.
    """
    if begins is not None and period is not None:
        raise InvalidParameterError("period", "can't be combined with from; give period and to, or from and to")
    ends = ends if ends is not None else now
    if begins is None:
        span = period if period is not None else DEFAULT_PERIOD
        if ends - EPOCH < span:
            raise InvalidParameterError("period" if period is not None else "to", "reaches back before 1970")
        begins = ends - span
    if begins >= ends:
        raise InvalidParameterError("from", "must be before to")
    return Window(to_instant(begins), to_instant(ends))
