"""One of our own processes: a console script of the project, ready when its `/readyz` says so."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from devstack import loopback_http
from devstack.child import Command
from devstack.part import Part


class ServiceProcess(Part):
    """`argv` run with `env`, which answers for its health at `health_url`; `environment` holds from its next start."""

    def __init__(self, name: str, argv: Sequence[str], *, env: Mapping[str, str], log: Path, health_url: str) -> None:
        super().__init__(name)
        self._argv, self._log, self._health_url = list(argv), log, health_url
        self.environment = dict(env)

    @property
    def health_url(self) -> str:
        """Base URL of `/healthz`, `/readyz` and `/metrics`."""
        return self._health_url

    def command(self) -> Command:
        """What to run; a process of ours drains within ten seconds."""
        return Command(name=self.name, argv=self._argv, env=self.environment, log=self._log, stop_seconds=10.0)

    def why_not_ready(self) -> str | None:
        """What `/readyz` says."""
        return loopback_http.failure(f"{self._health_url}/readyz")
