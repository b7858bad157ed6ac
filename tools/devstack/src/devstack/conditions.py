"""Waiting for a condition instead of for a while."""

import time
from collections.abc import Callable

POLL_SECONDS = 0.05


def wait_until(condition: Callable[[], bool], *, seconds: float, interrupted: Callable[[], None] | None = None) -> bool:
    """Poll `condition` until it holds; False when it still does not after `seconds`.

    `interrupted` is called at each poll, to raise what should end the wait. What either raises passes through.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if interrupted is not None:
            interrupted()
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
