"""Decides whether the Offers microservice may be called now: a circuit breaker that also knows 401 and 429."""

import time
from collections.abc import Callable
from typing import Final, Literal

from offers_sync.domain.answers import Answer, Throttled, TokenRejected, Unavailable

PROBE_SECONDS: Final = 5.0
"""While calls are stopped, one is let through so often."""
FAILURES_THAT_STOP: Final = 5
REPEATS_THAT_CONVINCE: Final = 3
"""One product alone may answer 401 or 429 without holding the others back; several in a row speak for all."""
RECENTLY_SECONDS: Final = 10.0
DEFAULT_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 120.0

State = Literal["open", "unavailable", "token_rejected", "throttled"]
STATES: Final[tuple[State, ...]] = ("open", "unavailable", "token_rejected", "throttled")


class CallGate:
    """The gate of one worker, shared by all that call.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._token: str | None = None
        self._rejected = False
        self._paused_until = 0.0
        self._next_probe_at = 0.0
        self._accepted_at = float("-inf")
        self._failures = 0
        self._rejections = 0
        self._throttles = 0

    @property
    def state(self) -> State:
        """Whether calls flow, and if not, why."""
        if self._rejected:
            return "token_rejected"
        if self._failures >= FAILURES_THAT_STOP:
            return "unavailable"
        return "throttled" if self._clock() < self._paused_until else "open"

    @property
    def rejected_token(self) -> str | None:
        """The token in use, if the Offers microservice rejects it."""
        return self._token if self._rejected else None

    def use_token(self, token: str) -> None:
        """Calls are made with this token from now on; a new one reopens a gate that was closed by a rejection."""
        if token != self._token:
            self._token, self._rejected, self._rejections = token, False, 0

    def would_admit(self) -> bool:
        """Whether `admit` would let a call through now."""
        state = self.state
        return state == "open" or (state != "throttled" and self._clock() >= self._next_probe_at)

    def admit(self) -> bool:
        """Whether to make this call now; while calls are stopped, a `True` is the one probe in five seconds."""
        if self.state == "open":
            return True
        if not self.would_admit():
            return False
        self._next_probe_at = self._clock() + PROBE_SECONDS
        return True

    def record(self, answer: Answer, token: str) -> None:
        """Learn from the answer to a call made with `token`."""
        now = self._clock()
        match answer:
            case Unavailable():
                self._failures += 1
                if self._failures == FAILURES_THAT_STOP:
                    self._next_probe_at = now + PROBE_SECONDS
            case TokenRejected():
                self._failures = 0
                self._record_rejection(now, token)
            case Throttled(retry_after_seconds=seconds):
                self._failures = 0
                self._throttles += 1
                if self._throttles >= REPEATS_THAT_CONVINCE:
                    pause = DEFAULT_PAUSE_SECONDS if seconds is None else min(seconds, LONGEST_PAUSE_SECONDS)
                    self._paused_until = max(self._paused_until, now + pause)
            case _:
                self._failures = self._rejections = self._throttles = 0
                self._accepted_at = now
                if token == self._token:
                    self._rejected = False

    def _record_rejection(self, now: float, token: str) -> None:
        if token != self._token or self._rejected:
            return
        self._rejections += 1
        # With few products, waiting for several rejections in a row would take minutes.
        if self._rejections >= REPEATS_THAT_CONVINCE or now - self._accepted_at > RECENTLY_SECONDS:
            self._rejected = True
            self._next_probe_at = now + PROBE_SECONDS
