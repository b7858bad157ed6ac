"""A part of the stack: a process that can be started, asked whether it is ready, stopped, killed, and started again."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

from devstack.child import Child, Command
from devstack.conditions import wait_until


class NotReady(TimeoutError):  # noqa: N818 - says what happened
    """A part runs, but did not become ready in the time that it has."""


class Part(ABC):
    """One process with a name. It may be started again after it ended, and carries on with the same data."""

    #: How long it may take to become ready; recovery after a crash included.
    start_seconds = 60.0

    def __init__(self, name: str) -> None:
        self.name = name
        self.child: Child | None = None

    @abstractmethod
    def command(self) -> Command:
        """Prepare what it needs, and return what to run."""

    @abstractmethod
    def why_not_ready(self) -> str | None:
        """One probe: None when it is ready, else the reason."""

    @property
    def health_url(self) -> str | None:
        """Where `/healthz`, `/readyz` and `/metrics` are, for a process that serves them."""
        return None

    @property
    def children(self) -> list[Child]:
        """Its running processes, in the order in which they are to be stopped."""
        return [] if self.child is None or self.child.exit_code is not None else [self.child]

    def start(self) -> Child:
        """Start it; `wait_until_ready` says when it answers."""
        self.child = Child(self.command())
        return self.child

    def check(self) -> None:
        """Raise ProcessDied when it was started and does not run any more."""
        if self.child is not None:
            self.child.check()

    def wait_until_ready(self, interrupted: Callable[[], None] | None = None) -> None:
        """Wait until it is ready. Raises ProcessDied when it ends instead, NotReady when it takes too long."""
        reason: str | None = None

        def ready() -> bool:
            nonlocal reason
            self.check()
            reason = self.why_not_ready()
            return reason is None

        if not wait_until(ready, seconds=self.start_seconds, interrupted=interrupted):
            log = "" if self.child is None else f" (its log: {self.child.command.log})"
            raise NotReady(f"{self.name} is not ready after {self.start_seconds:.0f} s: {reason}{log}")

    def stop(self) -> None:
        """Ask it to finish what it is doing and end; kill it when that takes longer than its command allows."""
        stop_together([self])

    def kill(self) -> None:
        """End it as a crash would."""
        if self.child is not None:
            self.child.kill()
        self.ended()

    def ended(self) -> None:  # noqa: B027 - nothing serves most parts alone
        """Called when it was stopped or killed: the place to end what served it alone."""


def stop_together(parts: Iterable[Part]) -> list[str]:
    """Ask all of them to end at once; those that take longer than their commands allow are killed, and named."""
    running = [(part, part.child) for part in parts if part.child is not None]
    asked_at = time.monotonic()
    for _, child in running:
        child.request_stop()
    killed = []
    for part, child in running:
        if not child.ended_within(asked_at + child.command.stop_seconds - time.monotonic()):
            child.kill()
            killed.append(part.name)
        part.ended()
    return killed
