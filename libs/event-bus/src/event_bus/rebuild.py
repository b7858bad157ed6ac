"""Makes what a service keeps from the log: what is missing, or all of it anew."""

from collections.abc import Awaitable, Callable

from event_bus.log import OpenLog
from event_bus.reach import Kept, must_join, must_reach_back
from event_bus.replay import Handlers, Replayed, replay


class Rebuild:
    """One rebuild. Nobody else handles such events meanwhile, unless the handlers allow for it.

    Args:
        handlers: idempotent ones, as `replay` takes them.
        kept: tells what was made of events until now; None if nothing was.
        forget: deletes all that was, in one transaction, which is done first. None leaves it.

    Attributes:
        forgotten: it was deleted: from now on this is to be continued, and not begun once more.
    """

    def __init__(
        self,
        handlers: Handlers,
        kept: Callable[[], Awaitable[Kept | None]],
        forget: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.forgotten = False
        self._handlers = handlers
        self._kept = kept
        self._forget = forget

    async def __call__(self, log: OpenLog, *, force: bool) -> Replayed:
        """Have handled what the log has by now.

        Raises:
            LogTooShortError: the log can't bring back what would be forgotten, or does not join on to what is kept, and
                it is not forced. Nothing was changed.
            ConnectionError, OffsetError: the log was lost; it may be done again.
            Exception: whatever a handler raises ends it.
        """
        kept = None if force else await self._kept()
        # Of one extent, so that what the log drops after the check is missed rather than missing; and of what it has
        # later than what was kept, as a worker may go on.
        extent = await log.extent()
        if not force:
            if self._forget is not None and kept is not None:
                await must_reach_back(log, extent, kept)
            else:
                await must_join(log, extent, kept)
        if self._forget is not None:
            await self._forget()
            self.forgotten = True
        return await replay(log, extent, self._handlers)
