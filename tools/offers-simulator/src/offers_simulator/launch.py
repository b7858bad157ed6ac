"""Starts a simulator as a process of its own, on a free port: for tests, benchmarks and fault drivers."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from offers_simulator.settings import Settings

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0
CALL_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.02


class LaunchError(Exception):
    """The simulator ended, or did not serve in time; the message holds its output."""


class AdminError(Exception):
    """An admin call was refused with this status, and for this reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class LaunchedSimulator:
    """A running simulator."""

    process: subprocess.Popen[bytes]
    origin: str
    """Scheme, host and port."""
    base_url: str
    """What `OFFERS_BASE_URL` is to be."""

    def admin(self, method: str, path: str, content: Any = None) -> Any:
        """One admin call such as `admin("POST", "/faults", {...})`; `content` may be bytes, which are sent as they are.

        Raises:
            AdminError: it was refused.
        """
        body = content if content is None or isinstance(content, bytes) else json.dumps(content).encode()
        request = Request(f"{self.origin}/admin{path}", body, method=method)  # noqa: S310 - always http
        try:
            with urlopen(request, timeout=CALL_SECONDS) as answer:  # noqa: S310
                return json.load(answer)
        except HTTPError as refusal:
            with refusal:
                raise AdminError(refusal.code, json.load(refusal)["error"]) from None

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(STOP_SECONDS)


@contextmanager
def launched(**settings: object) -> Iterator[LaunchedSimulator]:
    """A simulator with these settings (`simulator_seed=3`) while the context lasts, on any free port unless given.

    Settings of the environment that this process runs in do not reach it.

    Raises:
        LaunchError: it does not come up.
    """
    own = {name.upper() for name in Settings.model_fields}
    environment = {name: value for name, value in os.environ.items() if name not in own}
    environment |= {"PORT": "0", "LOG_FORMAT": "json"} | {name.upper(): str(value) for name, value in settings.items()}
    with tempfile.TemporaryDirectory(prefix="offers-simulator-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "offers_simulator", "serve"],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            base_url = _base_url(process, log)
            origin = "/".join(base_url.split("/")[:3])
            yield LaunchedSimulator(process, origin, base_url)
        finally:
            process.kill()
            process.wait()


def _base_url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for line in log.read_text().splitlines(keepends=True):
            if '"simulator_serving"' in line and line.endswith("\n"):
                return str(json.loads(line)["base_url"])
        if process.poll() is not None:
            break
        time.sleep(_POLL_SECONDS)
    raise LaunchError(f"the simulator does not serve (exit code {process.poll()}): {log.read_text()}")
