import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.child import Child, Command
from devstack.folder import FolderUnusable, StackFolder


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Child]:
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    child = Child(Command(name="sleeper", argv=argv, log=tmp_path / "sleeper.log"))
    yield child
    child.kill()


def test_a_second_run_in_the_same_folder_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    first, second = StackFolder(tmp_path), StackFolder(tmp_path)
    first.acquire()

    with pytest.raises(FolderUnusable, match=f"process {os.getpid()}.*STACK_DIR"):
        second.acquire()

    first.release()
    second.acquire()
    second.release()


def test_a_run_that_died_does_not_keep_the_folder(tmp_path: Path) -> None:
    program = f"from devstack.folder import *; StackFolder(Path({str(tmp_path)!r})).acquire(); os._exit(1)"
    subprocess.run([sys.executable, "-c", program], check=False)

    folder = StackFolder(tmp_path)
    folder.acquire()
    folder.release()


def test_passwords_differ_stay_the_same_and_are_for_this_account_only(tmp_path: Path) -> None:
    passwords = StackFolder(tmp_path).passwords()

    assert len(set(passwords.values())) == len(passwords)
    assert StackFolder(tmp_path).passwords() == passwords
    assert stat.S_IMODE((tmp_path / "passwords.json").stat().st_mode) == 0o600


def test_what_a_killed_run_left_is_ended_by_the_next(tmp_path: Path, sleeper: Child) -> None:
    StackFolder(tmp_path).record([sleeper])
    said: list[str] = []

    StackFolder(tmp_path).end_leftovers(said.append)

    assert sleeper.exit_code is not None
    assert len(said) == 1
    assert "sleeper" in said[0]


def test_a_process_that_has_got_the_pid_of_a_leftover_is_left_alone(tmp_path: Path, sleeper: Child) -> None:
    StackFolder(tmp_path).record([sleeper])
    record = tmp_path / "processes.json"
    (entry,) = json.loads(record.read_text())
    record.write_text(json.dumps([{**entry, "start_mark": "of another time"}]))

    StackFolder(tmp_path).end_leftovers(lambda _: None)

    assert sleeper.exit_code is None


def test_the_logs_of_the_run_before_are_kept_beside_the_new_ones(tmp_path: Path) -> None:
    folder = StackFolder(tmp_path)
    log = folder.log("offers-sync-work.2")
    log.parent.mkdir()
    log.write_text("before")

    folder.turn_logs()

    assert not log.exists()
    assert log.with_name("offers-sync-work.2.log.1").read_text() == "before"
