import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.child import Command, ProcessDied
from devstack.conditions import wait_until
from devstack.part import NotReady, Part, stop_together
from devstack.settings import StackSettings
from devstack.stack import Stack
from devstack.supervision import Supervisor

SLEEP = "import time; print('the last words', flush=True); time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


class Sleeper(Part):
    start_seconds = 60.0

    def __init__(self, log: Path, *, ready: bool = True, program: str = SLEEP) -> None:
        super().__init__(log.stem)
        self._log, self._ready, self._program = log, ready, program

    def command(self) -> Command:
        argv = [sys.executable, "-c", self._program]
        return Command(name=self.name, argv=argv, log=self._log, stop_seconds=3.0)

    def why_not_ready(self) -> str | None:
        return None if self._ready and self._log.stat().st_size else "it is asleep"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(StackSettings(folder=tmp_path))
    sleeper = Sleeper(stack.folder.log("sleeper"))
    stack.parts["sleeper"] = sleeper
    stack.start_process("sleeper")
    sleeper.wait_until_ready()
    yield stack
    stack.stop()


def kill(stack: Stack) -> int:
    """Kill the sleeper behind the stack's back; returns its pid."""
    child = stack.parts["sleeper"].child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    assert wait_until(lambda: child.exit_code is not None, seconds=30)
    return child.pid


def test_a_death_ends_the_watch_with_the_name_and_the_last_words(stack: Stack) -> None:
    supervisor = Supervisor(stack, say=lambda _: None, restart=False)
    supervisor.look()
    kill(stack)

    with pytest.raises(ProcessDied, match=r"sleeper died \(signal 9\)(.|\n)*the last words"):
        supervisor.look()


def test_with_restart_a_process_that_died_runs_again_and_the_death_is_told(stack: Stack) -> None:
    said: list[str] = []
    supervisor = Supervisor(stack, say=said.append, restart=True)
    dead = kill(stack)

    def runs_again() -> bool:
        supervisor.look()
        return [child.pid for child in stack.parts["sleeper"].children] not in ([], [dead])

    assert wait_until(runs_again, seconds=30)
    assert "sleeper died (signal 9)" in said[0]
    assert said[-1] == "sleeper was started again"


def test_a_part_that_does_not_get_ready_is_told_with_the_reason(tmp_path: Path) -> None:
    part = Sleeper(tmp_path / "sleeper.log", ready=False)
    part.start_seconds = 0.2
    part.start()
    try:
        with pytest.raises(NotReady, match="sleeper is not ready after 0 s: it is asleep"):
            part.wait_until_ready()
    finally:
        part.kill()


def test_a_signal_interrupts_the_wait_for_a_part(tmp_path: Path) -> None:
    def interrupted() -> None:
        raise InterruptedError

    part = Sleeper(tmp_path / "sleeper.log", ready=False)
    part.start()
    try:
        with pytest.raises(InterruptedError):
            part.wait_until_ready(interrupted)
    finally:
        part.kill()


def test_parts_that_do_not_listen_are_killed_when_their_common_time_is_over(tmp_path: Path) -> None:
    deaf = [Sleeper(tmp_path / f"deaf{number}.log", program=DEAF) for number in range(4)]
    parts = [*deaf, Sleeper(tmp_path / "polite.log")]
    for part in parts:
        part.start()
    for part in parts:
        part.wait_until_ready()
    began = time.monotonic()

    assert stop_together(parts) == ["deaf0", "deaf1", "deaf2", "deaf3"]

    assert time.monotonic() - began < 4 * 3.0
    assert [part.child.exit_code for part in parts if part.child] == [-signal.SIGKILL] * 4 + [-signal.SIGTERM]


def test_the_death_of_a_part_ends_the_wait_for_another(stack: Stack, tmp_path: Path) -> None:
    waits = Sleeper(tmp_path / "waits.log", ready=False)
    stack.parts["waits"] = waits
    waits.start()
    kill(stack)

    with pytest.raises(ProcessDied, match="sleeper died"):
        stack._wait_for(waits, "ready")
