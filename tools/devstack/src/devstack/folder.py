"""The stack's folder: who uses it, its passwords, its logs, and what processes run from it."""

import fcntl
import json
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

from devstack.child import Child
from devstack.identity import ProcessIdentity

LEAST_FREE_BYTES: Final = 500 * 2**20
PASSWORDS: Final = (
    "postgres",
    "administrator",
    "catalog",
    "catalog_owner",
    "offers_sync",
    "offers_sync_owner",
    "price_history",
    "price_history_owner",
    "price_history_api",
    "rabbitmq",
    "catalog-api",
    "offers-sync",
    "price-history",
    "subscriber",
)


class FolderUnusable(Exception):  # noqa: N818 - says what happened
    """The folder is in use by another run, or has no room."""


class StackFolder:
    """A folder that one run at a time has, with everything that outlives the run."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.description = self.path / "stack.json"
        self._processes = self.path / "processes.json"
        self._api_token = self.path / "api-token.json"
        self._lock: TextIO | None = None

    def acquire(self) -> None:
        """Take the folder for this process, creating it. Raises FolderUnusable."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = (self.path / "lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "unknown"
            self.release()
            raise FolderUnusable(
                f"another stack runs from {self.path} (process {holder}); stop it, or set STACK_DIR to another folder"
            ) from None
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()
        free = shutil.disk_usage(self.path).free
        if free < LEAST_FREE_BYTES:
            self.release()
            raise FolderUnusable(f"{self.path} has {free // 2**20} MB free, and the stack needs some 500 MB")

    @property
    def held(self) -> bool:
        """Whether this process has the folder."""
        return self._lock is not None

    def forget_run(self) -> None:
        """Remove what describes a run: for when it is over."""
        self.description.unlink(missing_ok=True)
        self._processes.unlink(missing_ok=True)

    def release(self) -> None:
        """Let another run have the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def log(self, name: str) -> Path:
        """Where the process of this name writes its log."""
        return self.path / "logs" / f"{name}.log"

    def turn_logs(self) -> None:
        """Begin new logs; those of the run before stay beside them as `.log.1`."""
        for log in (self.path / "logs").glob("*.log"):
            log.replace(log.with_name(f"{log.name}.1"))

    def passwords(self) -> dict[str, str]:
        """This stack's generated passwords, kept for as long as its data."""
        file = self.path / "passwords.json"
        kept = json.loads(file.read_text()) if file.exists() else {}
        passwords = {name: kept.get(name) or secrets.token_hex(16) for name in PASSWORDS}
        if passwords != kept:
            write_json(file, passwords)
        return passwords

    def api_token(self) -> str | None:
        """The token that was kept."""
        token: str | None = json.loads(self._api_token.read_text()) if self._api_token.exists() else None
        return token

    def keep_api_token(self, token: str) -> None:
        """Keep a token for as long as the data."""
        write_json(self._api_token, token)

    def record(self, children: Iterable[Child]) -> None:
        """Write down which processes run, for the next run to end should this one be killed."""
        entries = [
            {"name": child.name, "signal": int(child.command.stop_signal), **vars(child.identity)}
            for child in children
            if child.identity is not None
        ]
        write_json(self._processes, entries)

    def end_leftovers(self, say: Callable[[str], None]) -> None:
        """End what a killed run left running; a pid that is another process's by now is left alone."""
        entries = json.loads(self._processes.read_text()) if self._processes.exists() else []
        for entry in entries:
            process = ProcessIdentity(entry["pid"], entry["start_mark"])
            if process.is_alive():
                say(f"ending {entry['name']} (process {process.pid}), left by a run that was killed")
                process.end(signal.Signals(entry["signal"]), seconds=15.0)
        self.forget_run()

    def describe(self, description: Mapping[str, Any]) -> None:
        """Write `stack.json`, whole or not at all."""
        write_json(self.description, description)


def write_json(file: Path, content: Any) -> None:
    """Replace a file by this content, atomically; only this account may read it."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(content, indent=2) + "\n")
    draft.replace(file)
