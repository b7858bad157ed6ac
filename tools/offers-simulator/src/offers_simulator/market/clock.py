"""The market's clock: wall time in ticks, which can be moved and stopped. Token lifetimes do not follow it."""

import time


class MarketClock:
    """Counts ticks of `tick_seconds` since 1970, so that a restart goes on where the market would be."""

    def __init__(self, tick_seconds: float) -> None:
        self.tick_seconds = tick_seconds
        self._moved_ticks = 0
        self._frozen_at: int | None = None

    def tick(self) -> int:
        """The number of the current tick."""
        return self._running_tick() if self._frozen_at is None else self._frozen_at

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""
        return self._frozen_at is not None

    @property
    def next_tick_at(self) -> float | None:
        """Unix time of the next tick; None while frozen."""
        if self._frozen_at is not None:
            return None
        return (int(time.time() / self.tick_seconds) + 1) * self.tick_seconds

    def freeze(self) -> None:
        """Stand still at the current tick."""
        self._frozen_at = self.tick()

    def resume(self) -> None:
        """Go on from the tick at which it stood."""
        if self._frozen_at is not None:
            self._moved_ticks += self._frozen_at - self._running_tick()
            self._frozen_at = None

    def reset(self) -> None:
        """Run again, at the tick of the wall clock."""
        self._frozen_at = None
        self._moved_ticks = 0

    def move_to(self, tick: int) -> None:
        """Be at this tick now, frozen or not."""
        if self._frozen_at is not None:
            self._frozen_at = tick
        else:
            self._moved_ticks += tick - self._running_tick()

    def _running_tick(self) -> int:
        return int(time.time() / self.tick_seconds) + self._moved_ticks
