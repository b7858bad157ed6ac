"""How much of the past the log keeps: what its operator says, else a week, or two gibibytes where that is less."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

MAX_AGE: Final = "7D"
MAX_BYTES: Final = 2**31
"""Some six million products' offers."""
SEGMENT_BYTES: Final = 2**24
"""The log forgets whole files of this size, once their youngest event is too old or the others are large enough."""


@dataclass(frozen=True, slots=True)
class LogBounds:
    """What the log keeps at most, give or take one of its files.

    Attributes:
        max_age: as RabbitMQ writes it, such as 7D: a number and one of Y, M, D, h, m, s.
        max_bytes: on each node of a cluster, as each has all of it; at least two of its files.
    """

    max_age: str = MAX_AGE
    max_bytes: int = MAX_BYTES

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Those of EVENT_LOG_MAX_AGE and EVENT_LOG_MAX_BYTES; an empty variable counts as unset.

        Raises:
            ValueError: one of them can't be used; the text is one line that names it.
        """
        age = environment.get("EVENT_LOG_MAX_AGE") or MAX_AGE
        size = environment.get("EVENT_LOG_MAX_BYTES") or str(MAX_BYTES)
        if not re.fullmatch(r"[1-9][0-9]{0,8}[YMDhms]", age):
            raise ValueError(f"EVENT_LOG_MAX_AGE must be such as 7D (Y, M, D, h, m or s), and is {age!r}")
        if not re.fullmatch(r"[0-9]{1,15}", size) or int(size) < 2 * SEGMENT_BYTES:
            raise ValueError(f"EVENT_LOG_MAX_BYTES must be {2 * SEGMENT_BYTES} or more, and is {size!r}")
        return cls(age, int(size))

    @property
    def policy(self) -> dict[str, str | int]:
        """The definition of the policy that sets them."""
        return {"max-age": self.max_age, "max-length-bytes": self.max_bytes}
