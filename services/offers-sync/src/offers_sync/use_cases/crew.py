"""Workers over one backlog, and results collected in chunks: what registering and polling have in common."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Crew(Generic[T]):
    """Does jobs concurrently, in the order in which they were put, as many at once as it has members.

    Args:
        size: members.
        work: does one job; must not raise.
    """

    def __init__(self, size: int, work: Callable[[T], Awaitable[None]]) -> None:
        self._size = size
        self._work = work
        self._backlog: asyncio.Queue[T] = asyncio.Queue()
        self._has_room = asyncio.Event()
        self._members: list[asyncio.Task[None]] = []
        self.done = 0
        """Jobs done so far."""

    @property
    def backlog(self) -> int:
        """Jobs that no member has begun."""
        return self._backlog.qsize()

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin to work."""
        self._members = [group.create_task(self._member()) for _ in range(self._size)]

    def put(self, jobs: Iterable[T]) -> None:
        """Add jobs to the backlog."""
        for job in jobs:
            self._backlog.put_nowait(job)

    async def wait_for_room(self) -> None:
        """Wait until the backlog is smaller than the crew."""
        self._has_room.clear()
        if self.backlog >= self._size:
            await self._has_room.wait()

    async def drain(self, grace_seconds: float) -> list[T]:
        """Stop: jobs begun may end within the grace, then are cancelled; returns those not begun."""
        left = []
        while not self._backlog.empty():
            left.append(self._backlog.get_nowait())
            self._backlog.task_done()
        try:
            async with asyncio.timeout(grace_seconds):
                await self._backlog.join()
        except TimeoutError:
            pass
        for member in self._members:
            member.cancel()
        await asyncio.gather(*self._members, return_exceptions=True)
        return left

    async def _member(self) -> None:
        while True:
            job = await self._backlog.get()
            if self.backlog < self._size:
                self._has_room.set()
            try:
                await self._work(job)
            finally:
                self.done += 1
                self._backlog.task_done()


class Chunks(Generic[T]):
    """Collects items and hands them over together, when there are enough of them or the first has waited long enough.

    Args:
        size: items that are enough.
        seconds: that an item waits at most.
    """

    def __init__(self, size: int, seconds: float) -> None:
        self._size = size
        self._seconds = seconds
        self._items: list[T] = []
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Items not handed over yet: whoever adds them must stop when they are not asked for."""
        return len(self._items)

    def add(self, item: T) -> None:
        """Add one."""
        self._items.append(item)
        self._some.set()
        if len(self._items) >= self._size:
            self._enough.set()

    def close(self) -> None:
        """Hand over what there is without waiting, and then nothing more."""
        self._closed = True
        self._some.set()
        self._enough.set()

    async def next(self) -> list[T]:
        """The next chunk; empty once closed."""
        await self._some.wait()
        try:
            async with asyncio.timeout(self._seconds):
                await self._enough.wait()
        except TimeoutError:
            pass
        items, self._items = self._items, []
        if not self._closed:
            self._some.clear()
            self._enough.clear()
        return items
