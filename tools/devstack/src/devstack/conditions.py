"""Waiting for a condition instead of for a while."""

import time
from collections.abc import Callable

POLL_SECONDS = 0.05


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Poll `condition` until it holds; False when it still does not after `seconds`. What it raises passes through."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
