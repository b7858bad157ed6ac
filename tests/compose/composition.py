"""A Compose project under test: its commands, its containers, and where they are reached."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.broker_management import BrokerManagement

ROOT = Path(__file__).parents[2]
COMMAND_SECONDS = 1200.0
# Would change the stack under test, where whoever runs the tests has them set.
SETTINGS = ("API_AUTH", "COMPOSE_FILE", "COMPOSE_PROFILES", "DEMO", "OFFERS_BASE_URL")
Json = dict[str, Any]


def docker(*arguments: str) -> str:
    """What a docker command prints. Raises AssertionError with all it said when it fails."""
    return run(["docker", *arguments])


def run(command: list[str], *, folder: Path | None = None, environment: Mapping[str, str] | None = None) -> str:
    """What a command prints to its standard output."""
    inherited = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**inherited, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Composition:
    """The project of this name in `folder`, a clone of the repository; `environment` chooses its ports."""

    folder: Path
    project: str
    environment: dict[str, str]

    def run(self, *command: str, **environment: str) -> str:
        """A command in the clone, which acts on this project."""
        own = {"COMPOSE_PROJECT_NAME": self.project, "VERSION": "test", **self.environment, **environment}
        return run(list(command), folder=self.folder, environment=own)

    def compose(self, *arguments: str, **environment: str) -> str:
        """A docker compose command."""
        return self.run("docker", "compose", *arguments, **environment)

    def containers(self, service: str | None = None) -> list[Json]:
        """All that docker knows of the containers, ended ones included."""
        ids = self.compose("ps", "--all", "--quiet", *([service] if service else [])).split()
        inspected: list[Json] = json.loads(docker("inspect", *ids)) if ids else []
        return inspected

    def url(self, port: str) -> str:
        """Where the port chosen by this variable is reached."""
        return f"http://127.0.0.1:{self.environment[port]}"

    @property
    def catalog(self) -> str:
        """The REST API."""
        return f"{self.url('CATALOG_PORT')}/api/v1"

    def secret(self, volume: str, name: str) -> str:
        """A secret out of its volume, read by a container that has it."""
        return self.compose("exec", "-T", volume, "cat", f"/run/secrets/{name}").strip()

    def management(self) -> BrokerManagement:
        """The broker's management API."""
        return BrokerManagement(
            self.url("RABBITMQ_MANAGEMENT_PORT"), "administrator", self.secret("rabbitmq", "administrator")
        )

    def rabbitmq_url(self, account: str = "administrator") -> str:
        """AMQP for an account of the broker."""
        port = self.environment["RABBITMQ_PORT"]
        return f"amqp://{account}:{self.secret('rabbitmq', account)}@127.0.0.1:{port}/aggregator"

    def query(self, database: str, sql: str) -> list[str]:
        """Rows of one of the databases, as text."""
        psql = ("psql", "--username=postgres", f"--dbname={database}", "--tuples-only", "--no-align", "--command", sql)
        return self.compose("exec", "-T", "postgres", *psql).splitlines()

    def metrics(self, service: str, copy: int = 1) -> str:
        """What a copy of a process tells Prometheus, asked from inside."""
        ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/metrics').read().decode())"
        return self.compose("exec", "-T", "--index", str(copy), service, "/app/bin/python", "-c", ask)
