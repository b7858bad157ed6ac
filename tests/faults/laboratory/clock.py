"""A clock that a test steps, for processes that see the machine's through libfaketime.

Only the time of day is stepped: a monotonic clock never is, whatever becomes of the other one.
"""

from pathlib import Path
from typing import Final

PLACES: Final = ("usr/lib/*/faketime", "usr/lib/faketime", "usr/lib64/faketime", "usr/local/lib/faketime")
LIBRARY: Final = "libfaketimeMT.so.1"


def faketime_library() -> Path | None:
    """Where libfaketime is; None where it is not installed."""
    return next((found for place in PLACES for found in Path("/").glob(f"{place}/{LIBRARY}")), None)


class SteppedClock:
    """One clock, true until it is stepped; `environment` puts it into a process that is started with it."""

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self.step(0)
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            # The processes of one server read one clock: a step reaches all of them at once.
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # What it would keep there outlives a process that is killed.
            "FAKETIME_DISABLE_SHM": "1",
        }

    def step(self, seconds: int) -> None:
        """Have it differ from the true one by so many seconds."""
        draft = self._file.with_suffix(".draft")
        draft.write_text(f"{seconds:+d}")
        draft.chmod(0o644)
        draft.replace(self._file)
