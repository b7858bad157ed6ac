"""Begins with the messages of an ordered queue in the order of arrival, also when one has to be tried again."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from lifecycle import wait_for_any


class GivenUpError(Exception):
    """This message's turn does not come any more."""


class Line:
    """The messages in hand of an ordered queue.

    Each is begun when all before it are under way, so that the handler may join those that wait (`Together`); the order
    of what is under way is the handler's. When one fails, those behind it are called back, by a cancellation in the
    handler, and are begun again behind it; nothing is begun before the handler has let go of all of them.

    Args:
        ended: once one of these is set, nothing is begun any more: it would overtake what is given up before it.
    """

    def __init__(self, *ended: asyncio.Event) -> None:
        self._ended = ended
        self._places: list[Place] = []
        self._under_way = 0
        """These first ones of the places are."""
        self._called_back: set[Place] = set()

    @contextlib.contextmanager
    def place(self, task: "asyncio.Task[Any]") -> Iterator["Place"]:
        """Have this task, the current one, stand at the end of the line while inside."""
        place = Place(self, task)
        self._places.append(place)
        try:
            yield place
        finally:
            index = self._places.index(place)
            del self._places[index]
            self._under_way -= index < self._under_way
            self._wake_next()

    async def begin(self, place: "Place") -> None:
        """Return when it is its turn."""
        while not any(event.is_set() for event in self._ended):
            if self._places[self._under_way] is place and not self._called_back:
                self._under_way += 1
                self._wake_next()
                return
            place.turn.clear()
            await wait_for_any(place.turn, *self._ended)
        raise GivenUpError

    def call_back_behind(self, place: "Place") -> None:
        """Neither this one nor any behind it is under way any more."""
        index = self._places.index(place)
        called_back = self._places[index + 1 : self._under_way]
        self._called_back.update(called_back)
        self._under_way = index
        for later in called_back:
            later.task.cancel()

    def came_back(self, place: "Place") -> bool:
        """Whether this one, which the handler has let go of, had been called back."""
        if place not in self._called_back:
            return False
        self._called_back.remove(place)
        self._wake_next()
        return True

    def _wake_next(self) -> None:
        if self._under_way < len(self._places):
            self._places[self._under_way].turn.set()


class Place:
    """A message's place in a line, with the task that handles it."""

    def __init__(self, line: Line, task: "asyncio.Task[Any]") -> None:
        self.task = task
        self.turn = asyncio.Event()
        self._line = line

    async def attempt(self, action: Callable[[], Awaitable[None]]) -> None:
        """Do it when it is its turn, and again whenever one before it has failed meanwhile.

        Raises:
            GivenUpError: the line has ended before.
            Exception: what the action raises.
        """
        while True:
            await self._line.begin(self)
            try:
                await action()
            except BaseException:
                if not self._line.came_back(self):
                    self._line.call_back_behind(self)
                    raise
            else:
                if not self._line.came_back(self):
                    return
            if self.task.uncancel():
                raise asyncio.CancelledError  # by somebody else, too
