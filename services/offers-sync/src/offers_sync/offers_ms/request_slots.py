"""How many calls to the Offers microservice may be under way, and how many may begin in a second."""

import asyncio
from types import TracebackType

from aiolimiter import AsyncLimiter


class RequestSlots:
    """Enter to make one call; waits for its turn.

    Args:
        concurrency: calls under way at once.
        per_second: calls begun in a second, evenly spread; None means no limit.
    """

    def __init__(self, concurrency: int, per_second: float | None = None) -> None:
        self._free = asyncio.Semaphore(concurrency)
        self.in_use = 0
        self._limiter = None if per_second is None else AsyncLimiter(1, 1 / per_second)

    async def __aenter__(self) -> None:
        await self._free.acquire()
        try:
            if self._limiter is not None:
                await self._limiter.acquire()
        except BaseException:
            self._free.release()
            raise
        self.in_use += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.in_use -= 1
        self._free.release()
