"""Follows a process's log: tells of the errors in it, and keeps it from filling the disk."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 50 * 2**20
#: A process that fails in a loop must not drown the terminal: at most so many errors are told at each look.
MOST_TOLD: Final = 3
ERROR_LEVELS: Final = ("error", "critical")


class LogFollower:
    """Reads what is added to `log`; lines of the level error and above go to `say`, in short."""

    def __init__(self, name: str, log: Path, say: Callable[[str], None]) -> None:
        self._name, self._log, self._say = name, log, say
        self._position = 0
        self._rest = b""

    def look(self) -> None:
        """Read what is new, and begin the log anew when it has grown too large (the old one stays as `.log.1`)."""
        if not self._log.exists():
            return
        with self._log.open("rb") as log:
            log.seek(self._position)
            added = log.read()
        self._position += len(added)
        *lines, self._rest = (self._rest + added).split(b"\n")
        errors = [told for line in lines if (told := error_in(line)) is not None]
        for error in errors[:MOST_TOLD]:
            self._say(f"{self._name}: {error}")
        if len(errors) > MOST_TOLD:
            self._say(f"{self._name}: {len(errors) - MOST_TOLD} more errors; see {self._log}")
        if self._position > MOST_BYTES:
            self._begin_anew()

    def _begin_anew(self) -> None:
        """The process goes on writing to the same file, so the file is copied and emptied, not moved."""
        shutil.copyfile(self._log, self._log.with_name(f"{self._log.name}.1"))
        with self._log.open("r+b") as log:
            log.truncate(0)
        self._position, self._rest = 0, b""


def error_in(line: bytes) -> str | None:
    """The event and values of a JSON log line of level error or above, on one line; None for any other line."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or str(entry.get("level", "")).lower() not in ERROR_LEVELS:
        return None
    shown = {name: value for name, value in entry.items() if name not in ("level", "timestamp", "event", "exception")}
    values = " ".join(f"{name}={value}" for name, value in shown.items())
    last_of_traceback = str(entry.get("exception", "")).strip().splitlines()[-1:]
    return " ".join([str(entry.get("event", "error")), *([values] if values else []), *last_of_traceback])
