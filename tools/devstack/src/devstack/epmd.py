"""Erlang's port mapper, as a child of ours: Erlang starts one that stays for ever where it finds none."""

import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from devstack.child import Child, Command
from devstack.conditions import wait_until
from devstack.ports import LOOPBACK

START_SECONDS = 5.0


class Epmd:
    """The port mapper at `port` of `address`; `enter` are the words before a command that put it there."""

    def __init__(self, port: int, *, log: Path, address: str = LOOPBACK, enter: Sequence[str] = ()) -> None:
        self.port = port
        self._address, self._log, self._enter = address, log, list(enter)
        self._child: Child | None = None

    @property
    def children(self) -> list[Child]:
        """Itself, while it runs."""
        return [] if self._child is None or self._child.exit_code is not None else [self._child]

    @property
    def environment(self) -> dict[str, str]:
        """What tells an Erlang node where it is."""
        return {"ERL_EPMD_PORT": str(self.port), "ERL_EPMD_ADDRESS": self._address}

    def start(self, environment: Mapping[str, str]) -> None:
        """Have it run; does nothing where one answers already. Raises ProcessDied."""
        program = [*self._enter, _program(), "-port", str(self.port)]
        env = {**environment, **self.environment}

        def answers() -> bool:
            return subprocess.run([*program, "-names"], env=env, capture_output=True, check=False).returncode == 0

        if answers():
            return
        self._child = Child(
            Command(
                name="epmd",
                argv=[*program, "-address", self._address],
                log=self._log,
                env=env,
                stop_signal=signal.SIGKILL,
            )
        )
        wait_until(answers, seconds=START_SECONDS)
        self._child.check()

    def kill(self) -> None:
        """End it: nobody needs it any more."""
        if self._child is not None:
            self._child.kill()
            self._child = None


def _program() -> str:
    """Epmd lies beside the erl that the server script will run."""
    found = shutil.which("epmd")
    if found is None:
        erl = shutil.which("erl")
        candidates = sorted(Path(erl).resolve().parent.parent.glob("erts-*/bin/epmd"), key=_version) if erl else []
        if not candidates:
            raise FileNotFoundError("Erlang's epmd was found neither on PATH nor beside erl")
        found = str(candidates[-1])
    return found


def _version(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(path))]
