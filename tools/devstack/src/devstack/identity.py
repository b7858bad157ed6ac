"""Which process a pid means: pids are used again, a pid with its start mark is not."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

from devstack.conditions import wait_until


@dataclass(frozen=True)
class ProcessIdentity:
    """One process of this machine, for as long as the machine runs and after."""

    pid: int
    start_mark: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The process that has this pid now; None when there is none."""
        mark = _start_mark(pid)
        return None if mark is None else cls(pid, mark)

    def is_alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return _start_mark(self.pid) == self.start_mark

    def end(self, first: signal.Signals, *, seconds: float) -> None:
        """Send `first`, then SIGKILL when it has not gone after `seconds`. Does nothing to another process."""
        for signal_number, patience in ((first, seconds), (signal.SIGKILL, 5.0)):
            if not self.is_alive():
                return
            os.kill(self.pid, signal_number)
            wait_until(lambda: not self.is_alive(), seconds=patience)


def _start_mark(pid: int) -> str | None:
    if sys.platform != "linux":
        shown = subprocess.run(
            ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return shown.stdout.strip() or None
    try:
        # proc(5): the name may hold blanks and brackets, so the fields are counted from after the last bracket.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, ticks_since_boot = fields[0], fields[19]
    return None if state in "ZX" else f"{_boot_id()}/{ticks_since_boot}"


@cache
def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
