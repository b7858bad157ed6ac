"""The latest events, as many as there is room for."""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from itertools import islice
from operator import attrgetter
from typing import Final

from catalog_api.live.event import LiveEvent

EVENTS_MAX: Final = 10_000
"""Small ones weigh more in memory than their bytes say."""
_offset: Final = attrgetter("offset")


class Ring:
    """Holds every event from offset `first` to before `end`.

    Args:
        start: the offset of the first one to come, or one before it that no event has.
        bytes_max: of their bodies together; the latest one is held in any case.
    """

    def __init__(self, start: int, *, bytes_max: int, events_max: int = EVENTS_MAX) -> None:
        self.first = start
        self.end = start
        self._bytes_max = bytes_max
        self._events_max = events_max
        self._bytes = 0
        self._events: deque[LiveEvent] = deque()

    def append(self, event: LiveEvent) -> None:
        """Take in the next event, and forget the oldest ones for which there is no room."""
        self._events.append(event)
        self._bytes += len(event.body)
        self.end = event.offset + 1
        while len(self._events) > 1 and (self._bytes > self._bytes_max or len(self._events) > self._events_max):
            oldest = self._events.popleft()
            self._bytes -= len(oldest.body)
            self.first = oldest.offset + 1

    def since(self, position: int, *, bytes_max: int) -> Sequence[LiveEvent]:
        """The events from `position` on, up to the one with which their bodies reach `bytes_max`."""
        if position >= self.end:
            return ()
        found: list[LiveEvent] = []
        size = 0
        for event in islice(self._events, bisect_left(self._events, position, key=_offset), None):
            found.append(event)
            size += len(event.body)
            if size >= bytes_max:
                break
        return found
