"""Readiness of a process whose database has no room on its disk: reading, and so most checks, still work."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from lifecycle.health import NotReadyError

NO_ROOM_SECONDS: Final = 10.0
"""How long a process is not ready after a write that found the disk full; only a write can tell that it is."""
DISK_FULL: Final = "53100"
"""The SQLSTATE. https://www.postgresql.org/docs/15/errcodes-appendix.html"""


class DatabaseDisk:
    """What one process has learnt about the room on its database's disk."""

    def __init__(self) -> None:
        self._no_room_until = float("-inf")

    def notice(self, error: BaseException) -> None:
        """Learn from an error of the driver, or of a library that keeps the driver's error as `orig`."""
        if getattr(getattr(error, "orig", None) or error, "sqlstate", None) == DISK_FULL:
            self._no_room_until = time.monotonic() + NO_ROOM_SECONDS

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Learn from whatever is raised inside."""
        try:
            yield
        except Exception as error:
            self.notice(error)
            raise

    async def check(self) -> None:
        """For readiness.

        Raises:
            NotReadyError: a write found the disk full a moment ago.
        """
        if time.monotonic() < self._no_room_until:
            raise NotReadyError("no room for writes")
