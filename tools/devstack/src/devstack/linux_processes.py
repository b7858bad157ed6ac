"""Processes as Linux shows them: their descendants, their CPU time, their memory."""

import contextlib
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def family(pid: int) -> list[int]:
    """The process and all its descendants, parents first."""
    members = [pid]
    for member in members:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for children in Path(f"/proc/{member}/task").glob("*/children"):
                members += [int(child) for child in children.read_text().split()]
    return members


def cpu_seconds(pid: int) -> float:
    """CPU time of the process and all its descendants since it began, those that have ended included.

    In steps of 10 ms. Counted are user and system time of each, and of those that it has waited for: proc(5), fields
    14 to 17 of `stat`.
    """
    ticks = 0
    for member in family(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            after_name = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, after_name[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """While inside, a process and all its descendants neither run nor end."""
    members = family(pid)
    for member in members:
        os.kill(member, signal.SIGSTOP)
    try:
        yield
    finally:
        for member in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, signal.SIGCONT)


def megabytes(pid: int) -> float:
    """Resident memory now."""
    return _kilobytes(pid, "VmRSS:") / 1024


def peak_megabytes(pid: int) -> float:
    """The most memory that was ever resident."""
    return _kilobytes(pid, "VmHWM:") / 1024


def _kilobytes(pid: int, field: str) -> int:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1])
