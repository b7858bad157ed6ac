"""An append-only file of entries, one JSON line each: survives kill -9 because every line is written at once."""

import errno
import fcntl
import os
from pathlib import Path

import msgspec
import structlog

from offers_simulator.accounts.entries import AnyEntry

_log = structlog.get_logger()


class JournalError(Exception):
    """The state file can't be used; the message says why."""


class Journal:
    """Opens the file, creating it and its folder, for this process alone.

    Raises:
        JournalError: another simulator has it open, or it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(f"{path}: in use by another simulator") from None
        except OSError as error:
            raise JournalError(f"{path}: {error.strerror}") from error
        self._length = 0

    def replay(self) -> list[AnyEntry]:
        """Every entry so far. A last line that was cut off is removed from the file.

        Raises:
            JournalError: a line is not an entry.
        """
        decoder = msgspec.json.Decoder(AnyEntry)
        entries: list[AnyEntry] = []
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    _log.warning("state_line_cut_off", path=str(self._path), line=number)
                    break
                try:
                    entries.append(decoder.decode(line))
                except msgspec.DecodeError as error:
                    raise JournalError(f"{self._path}, line {number}: {error}") from error
                self._length += len(line)
        os.ftruncate(self._file, self._length)
        return entries

    def append(self, entry: AnyEntry) -> None:
        """Write one entry, whole or not at all.

        Raises:
            OSError: it was not written.
        """
        line = msgspec.json.encode(entry) + b"\n"
        written = os.write(self._file, line)
        if written < len(line):
            os.ftruncate(self._file, self._length)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        self._length += len(line)

    def close(self) -> None:
        """Let another simulator have the file."""
        os.close(self._file)
