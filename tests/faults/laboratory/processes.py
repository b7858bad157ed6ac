"""Processes as Linux shows them: their children, their memory, their open files."""

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
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


def open_files(pid: int) -> int:
    """File descriptors now."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _kilobytes(pid: int, field: str) -> int:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1])


def owner_of_port(port: int, pids: Iterable[int]) -> int | None:
    """Which of the processes has the local end of a TCP connection; None when none of them has."""
    for pid in pids:
        rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
        sockets = {f"socket:[{row[9]}]" for row in rows if int(row[1].rpartition(":")[2], 16) == port}
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                if str(link.readlink()) in sockets:
                    return pid
    return None
