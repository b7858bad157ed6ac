"""What this worker has claimed for itself for a while, and the renewal of its leases."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

import structlog

from offers_sync.db.engine import DatabaseUnavailableError

_log = structlog.get_logger()


class Leased(Protocol):
    """Something claimed; work on it may begin until the monotonic moment `held_until`."""

    held_until: float


L = TypeVar("L", bound=Leased)


class Leases(Generic[L]):
    """The leases of all that is held, from its claim until it is let go.

    Args:
        seconds: that a lease lasts.
        renew: extends leases in the database; returns those that could be, as they still are this worker's.
        lost: is told of one that could not be.
    """

    def __init__(
        self,
        seconds: float,
        renew: Callable[[Sequence[L]], Awaitable[Collection[L]]],
        lost: Callable[[L], None] = lambda _: None,
    ) -> None:
        self.seconds = seconds
        self._renew = renew
        self._lost = lost
        self._held: set[L] = set()

    def add(self, claimed: Iterable[L]) -> None:
        """Hold these."""
        self._held.update(claimed)

    def discard(self, done: L) -> None:
        """Its lease is needed no more."""
        self._held.discard(done)

    def let_go(self, lost: L) -> None:
        """Leave its lease to end by itself; nothing is begun for it any more."""
        lost.held_until = 0.0
        if lost in self._held:
            self._held.remove(lost)
            self._lost(lost)

    async def renew_for_ever(self) -> None:
        """Renew all leases, three times in the life of each."""
        while True:
            await asyncio.sleep(self.seconds / 3)
            if self._held:
                await self._renew_all()

    async def _renew_all(self) -> None:
        held, asked_at = list(self._held), time.monotonic()
        try:
            renewed = await self._renew(held)
        except DatabaseUnavailableError as error:
            _log.warning("leases_not_renewed", count=len(held), error=str(error))
            return
        for item in held:
            if item in renewed:
                item.held_until = asked_at + self.seconds
            else:
                self.let_go(item)
