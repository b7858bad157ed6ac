"""Watches a running stack: reports what dies, starts it again where that is wanted, keeps the logs bounded."""

import time
from collections.abc import Callable
from typing import Final

from devstack.child import ProcessDied
from devstack.log_follower import LogFollower
from devstack.stack import Say, Stack

POLL_SECONDS: Final = 0.2
RESTART_SECONDS: Final = 1.0


class Supervisor:
    """Watches every process of `stack`; with `restart`, one that died is started again a second later."""

    def __init__(self, stack: Stack, *, say: Say, restart: bool) -> None:
        self._stack, self._say, self._restart = stack, say, restart
        self._due: dict[str, float] = {}
        self._followers = [LogFollower(part.name, stack.folder.log(part.name), say) for part in stack.parts.values()]

    def watch(self, interrupted: Callable[[], None]) -> None:
        """Watch until `interrupted` raises, or, without `restart`, until a process died: ProcessDied."""
        while True:
            interrupted()
            self.look()
            time.sleep(POLL_SECONDS)

    def look(self) -> None:
        """Look once at every process and log."""
        for follower in self._followers:
            follower.look()
        for name, part in self._stack.parts.items():
            if name not in self._due:
                try:
                    part.check()
                except ProcessDied as death:
                    if not self._restart:
                        raise
                    self._say(f"{death}\n{name} is started again in {RESTART_SECONDS:.0f} s")
                    self._due[name] = time.monotonic() + RESTART_SECONDS
            elif time.monotonic() >= self._due[name]:
                del self._due[name]
                self._stack.start_process(name)
                self._say(f"{name} was started again")
