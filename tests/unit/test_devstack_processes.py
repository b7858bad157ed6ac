import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.child import Child, Command, ProcessDied
from devstack.conditions import wait_until
from devstack.identity import ProcessIdentity

SLEEP = "import time; print('started', flush=True); time.sleep(60)"


@contextmanager
def started(log: Path, program: str) -> Iterator[Child]:
    """A child that has got as far as its first output."""
    argv = [sys.executable, "-c", program]
    child = Child(Command(name="sleeper", argv=argv, log=log, env=dict(os.environ)))
    try:
        assert wait_until(lambda: child.exit_code is not None or log.stat().st_size > 0, seconds=30)
        yield child
    finally:
        child.kill()


def test_a_child_that_died_is_told_with_its_last_lines(tmp_path: Path) -> None:
    with started(tmp_path / "log", "import sys; sys.exit('the disk is full')") as child:
        assert wait_until(lambda: child.exit_code is not None, seconds=30)

        with pytest.raises(ProcessDied, match=r"sleeper died \(exit code 1\)(.|\n)*the disk is full"):
            child.check()


def test_a_child_does_not_hear_the_terminals_interrupt(tmp_path: Path) -> None:
    with started(tmp_path / "log", SLEEP) as child:
        assert os.getpgid(child.pid) == child.pid != os.getpgid(0)


@pytest.mark.skipif(sys.platform != "linux", reason="the leash is Linux's")
def test_a_child_does_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    parent_program = f"""
import os, signal, sys, time
from pathlib import Path
from devstack.child import Child, Command
log = Path({str(log)!r})
child = Child(Command(name="sleeper", argv=[sys.executable, "-c", {SLEEP!r}], log=log))
while not log.stat().st_size:
    time.sleep(0.01)
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    parent = subprocess.run([sys.executable, "-c", parent_program], capture_output=True, check=False)
    assert parent.returncode == -signal.SIGKILL

    child = ProcessIdentity.of(int(parent.stdout))
    assert child is None or wait_until(lambda: not child.is_alive(), seconds=30)


def test_a_pid_alone_is_not_taken_for_the_process(tmp_path: Path) -> None:
    with started(tmp_path / "log", SLEEP) as child:
        identity = ProcessIdentity.of(child.pid)
        assert identity is not None
        assert identity.is_alive()

        another = ProcessIdentity(child.pid, "of another time")
        another.end(signal.SIGTERM, seconds=1)

        assert not another.is_alive()
        assert child.exit_code is None
