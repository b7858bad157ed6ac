"""One child process: its output in a log file, on a leash, watched, stopped by signal within a bound."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from devstack import leash
from devstack.conditions import wait_until
from devstack.identity import ProcessIdentity


class ProcessDied(Exception):  # noqa: N818 - says what happened
    """A process of the stack ended by itself. Carries its name, exit code and last log lines."""

    def __init__(self, name: str, exit_code: int | None, log: Path, last_lines: Sequence[str]) -> None:
        self.name, self.exit_code, self.log, self.last_lines = name, exit_code, log, tuple(last_lines)
        how = f"signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"exit code {exit_code}"
        super().__init__(f"{name} died ({how}); the end of {log}:\n" + "\n".join(f"  {line}" for line in last_lines))


@dataclass(frozen=True)
class Command:
    """What to run, and how to end it: `stop_signal`, and SIGKILL after `stop_seconds`."""

    name: str
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    #: The command ties itself to this process (and would lose the leash, by changing its user).
    own_leash: bool = False


class Child:
    """A command that runs in a session of its own, so that a terminal's Ctrl-C reaches only its parent."""

    def __init__(self, command: Command) -> None:
        self.command = command
        argv = list(command.argv)
        if not command.own_leash:
            argv = [sys.executable, "-I", leash.__file__, str(os.getpid()), str(int(command.stop_signal)), *argv]
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with command.log.open("ab") as log:
            self._process = subprocess.Popen(
                argv,
                env=dict(command.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.identity = ProcessIdentity.of(self.pid)

    @property
    def name(self) -> str:
        """The name it is reported by."""
        return self.command.name

    @property
    def pid(self) -> int:
        """Its process id; every wrapper replaces itself by the command, so signals reach the command itself."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative is the signal that ended it."""
        return self._process.poll()

    def check(self) -> None:
        """Raise ProcessDied when it does not run any more."""
        if self.exit_code is not None:
            raise ProcessDied(self.name, self.exit_code, self.command.log, self.last_lines())

    def request_stop(self) -> None:
        """Ask it to end, without waiting."""
        if self.exit_code is None:
            self._process.send_signal(self.command.stop_signal)

    def ended_within(self, seconds: float) -> bool:
        """Wait for its end; whether it came."""
        return wait_until(lambda: self.exit_code is not None, seconds=seconds)

    def kill(self) -> int:
        """End it at once with SIGKILL; returns its exit code."""
        self._process.kill()
        return self._process.wait()

    def last_lines(self, count: int = 20) -> list[str]:
        """The end of its log."""
        with self.command.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 16_384))
            return log.read().decode(errors="replace").splitlines()[-count:]
