"""Servers for one test run: fast because a crash may lose their data, shared by the run's processes, gone after it."""

import fcntl
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from devstack.ports import free_port
from devstack.postgresql import UNSAFE_BUT_FAST, PostgresServer
from devstack.rabbitmq import RabbitNode
from devstack.rabbitmq_installation import require_server_script

# Guards nothing: it dies with the run, and listens on the loopback address only.
PASSWORD = "throwaway"  # noqa: S105

UNUSED_SECONDS = 3_600.0

Opener = Callable[[ExitStack, Path], Any]


def throwaway_postgres(folder: Path) -> PostgresServer:
    """A server that has not been started, with its data in `folder`."""
    return PostgresServer(
        folder, log=folder / "server.log", port=free_port(), password=PASSWORD, settings=UNSAFE_BUT_FAST
    )


def throwaway_broker(folder: Path) -> RabbitNode:
    """A node that has not been started, with its data in `folder`. Raises RabbitMissing."""
    script = require_server_script(print)
    return RabbitNode(folder, server_script=script, log=folder / "server.log", port=free_port(), password=PASSWORD)


@contextmanager
def shared_by_run(folder: Path, openers: Mapping[str, Opener]) -> Iterator[dict[str, Any]]:
    """What the openers return (something that JSON can hold), opened by the first process of a run that comes here.

    The others get the same values, and the first waits for them all before it closes what it opened. The processes of
    a run share `folder`, which is removed in the end; the folders beside it with the same prefix (all before the last
    dash) are those of other runs.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_what_killed_runs_left(folder)
    with (folder / "users").open("a") as users, (folder / "opening").open("a") as opening, ExitStack() as opened:
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(opening, fcntl.LOCK_EX)
        values_file = folder / "values.json"
        first = not values_file.exists()
        if first:
            opened.callback(shutil.rmtree, folder, ignore_errors=True)
            values = {name: open_part(opened, folder / name) for name, open_part in openers.items()}
            values_file.write_text(json.dumps(values))
            opened.callback(_wait_for_other_users, users)
        fcntl.flock(opening, fcntl.LOCK_UN)
        yield json.loads(values_file.read_text())


def _remove_what_killed_runs_left(folder: Path) -> None:
    """Their servers ended with them, their folders did not; one that is an hour old and unlocked is nobody's."""
    prefix, _, _ = folder.name.rpartition("-")
    for lock in folder.parent.glob(f"{prefix}-*/users"):
        with suppress(OSError), lock.open("a") as users:
            if time.time() - lock.stat().st_mtime > UNUSED_SECONDS:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)


def _wait_for_other_users(users: TextIO) -> None:
    fcntl.flock(users, fcntl.LOCK_UN)
    fcntl.flock(users, fcntl.LOCK_EX)
