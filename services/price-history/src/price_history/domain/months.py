"""Calendar months in UTC, which history is partitioned by."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple


class Month(NamedTuple):
    """A month of the years 1 to 9998."""

    year: int
    month: int

    @property
    def begins(self) -> datetime:
        """Its first instant."""
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def following(self) -> "Month":
        """The month after it."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)


def month_of(moment: datetime) -> Month:
    """The month in which a moment lies."""
    in_utc = moment.astimezone(UTC)
    return Month(in_utc.year, in_utc.month)


def months_from(first: Month, count: int) -> list[Month]:
    """So many months from `first` on."""
    months = [first]
    while len(months) < count:
        months.append(months[-1].following)
    return months


def oldest_kept(now: datetime, retention: timedelta) -> Month:
    """The month before which every change is older than `retention`."""
    return month_of(now - retention)
