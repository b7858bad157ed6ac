"""How long a registration waits for its next try."""

import random
from typing import Final

FIRST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 60.0
LONGEST_RETRY_AFTER_SECONDS: Final = 300.0


UNAVAILABLE_SECONDS: Final = 5.0
"""While the Offers microservice is down, few calls are let through anyway; when it is back, nobody should wait."""


def retry_delay(
    attempts: int, retry_after_seconds: float | None = None, *, longest_seconds: float = LONGEST_SECONDS
) -> float:
    """Seconds until the try after `attempts` failed ones: 0.5 s doubled each time up to the longest, less up to half.

    What the Offers microservice asks for (Retry-After) is honoured up to five minutes.
    """
    longest = min(FIRST_SECONDS * 2.0 ** min(attempts, 20), longest_seconds)
    delay = longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret
    return max(delay, min(retry_after_seconds or 0.0, LONGEST_RETRY_AFTER_SECONDS))
