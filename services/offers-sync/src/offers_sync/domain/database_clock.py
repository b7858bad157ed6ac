"""The database's clock, read on this machine between two questions to the database.

Every worker states times by this one clock, so a machine whose own clock is wrong or is set while we run does no harm.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

TOLERANCE_SECONDS: Final = 0.5
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class DatabaseClock:
    """Follows the difference between the database's clock and this process's monotonic one."""

    def __init__(self, epoch: float, asked_at: float, answered_at: float) -> None:
        self._offset = epoch - answered_at
        self._narrow(epoch, asked_at, answered_at)

    def observe(self, epoch: float, asked_at: float, answered_at: float) -> bool:
        """Take in an answer of the database that said `epoch` between two monotonic moments; whether it was stepped."""
        earliest, latest = epoch - answered_at, epoch - asked_at
        stepped = not earliest - TOLERANCE_SECONDS <= self._offset <= latest + TOLERANCE_SECONDS
        self._narrow(epoch, asked_at, answered_at)
        return stepped

    def epoch(self, monotonic: float) -> float:
        """The database's time at a monotonic moment, in seconds since 1970."""
        return monotonic + self._offset

    def moment(self, monotonic: float) -> datetime:
        """The same as a time."""
        return _EPOCH + timedelta(seconds=self.epoch(monotonic))

    def _narrow(self, epoch: float, asked_at: float, answered_at: float) -> None:
        self._offset = min(max(self._offset, epoch - answered_at), epoch - asked_at)
