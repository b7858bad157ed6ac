"""Instants as whole microseconds since 1970-01-01T00:00:00Z: what PostgreSQL stores, and exact to calculate with."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, repeat
from operator import add
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND: Final = 1_000_000
"""Microseconds in a second."""
LAST_INSTANT: Final = 2**63 - 1
"""After every other."""


def to_instant(moment: datetime) -> int:
    """The instant of an aware datetime."""
    # A third of what dividing the difference takes.
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds


def to_datetime(instant: int) -> datetime:
    """The datetime in UTC of an instant in the years 1 to 9999."""
    # A third of what adding a timedelta takes, and exact with whole seconds.
    seconds, microseconds = divmod(instant, SECOND)
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.replace(microsecond=microseconds) if microseconds else moment


def to_datetimes(instants: Sequence[int]) -> Iterable[datetime]:
    """The datetimes of instants; those of a range for a fifth of what as many single ones cost."""
    if not isinstance(instants, range) or not instants:
        return map(to_datetime, instants)
    steps = repeat(timedelta(microseconds=instants.step), len(instants) - 1)
    return accumulate(steps, add, initial=to_datetime(instants.start))
