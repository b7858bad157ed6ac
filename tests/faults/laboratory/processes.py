"""Which files and ports a process has open, as Linux shows it."""

import contextlib
from collections.abc import Iterable
from pathlib import Path


def open_files(pid: int) -> int:
    """File descriptors now."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


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
