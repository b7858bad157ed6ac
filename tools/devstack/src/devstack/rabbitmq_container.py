"""RabbitMQ in a container, for machines with a Docker engine and no RabbitMQ."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from devstack.broker_management import BrokerManagement
from devstack.child import Command
from devstack.part import Part
from devstack.ports import LOOPBACK, free_port
from devstack.rabbitmq import ADMINISTRATOR, VHOST

IMAGE: Final = "rabbitmq:4-management"


def docker_engine_answers() -> bool:
    """Whether there is a Docker command whose engine answers within five seconds."""
    if shutil.which("docker") is None:
        return False
    try:
        asked = subprocess.run(["docker", "version"], capture_output=True, timeout=5, check=False)
    except (subprocess.TimeoutExpired, OSError):
        return False
    return asked.returncode == 0


class RabbitContainer(Part):
    """A container named after `folder`, with its data in a volume of that name; its ports are loopback's."""

    start_seconds = 300.0  # pulling the image included

    def __init__(self, folder: Path, *, log: Path, port: int, password: str) -> None:
        super().__init__("rabbitmq")
        self.port = port
        self.management = BrokerManagement(f"http://{LOOPBACK}:{free_port()}", ADMINISTRATOR, password)
        self._log = log
        self._container = f"aggregator-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"

    @property
    def parts(self) -> list[Part]:
        """All that this broker is made of."""
        return [self]

    def url(self, vhost: str = VHOST, user: str = ADMINISTRATOR, password: str | None = None) -> str:
        """An AMQP URL; the administrator's unless told otherwise."""
        return f"amqp://{user}:{password or self.management.password}@{LOOPBACK}:{self.port}/{vhost}"

    def command(self) -> Command:
        """Remove what a killed run left, and return what runs a new container on the old volume."""
        self._remove()
        management_port = self.management.url.rpartition(":")[2]
        return Command(
            name=self.name,
            argv=[
                *("docker", "run", "--rm", "--name", self._container),
                # The data on disk bears the node's name, so it never changes.
                *("--hostname", "aggregator", "--volume", f"{self._container}:/var/lib/rabbitmq"),
                *("--publish", f"{LOOPBACK}:{self.port}:5672", "--publish", f"{LOOPBACK}:{management_port}:15672"),
                *(
                    "--env",
                    "RABBITMQ_DEFAULT_USER",
                    "--env",
                    "RABBITMQ_DEFAULT_PASS",
                    "--env",
                    "RABBITMQ_DEFAULT_VHOST",
                ),
                IMAGE,
            ],
            log=self._log,
            env={
                **os.environ,
                "RABBITMQ_DEFAULT_USER": self.management.user,
                "RABBITMQ_DEFAULT_PASS": self.management.password,
                "RABBITMQ_DEFAULT_VHOST": VHOST,
            },
            stop_seconds=30.0,
        )

    def why_not_ready(self) -> str | None:
        """Whether its management API answers, which starts last."""
        return None if self.management.answers() else "its management API does not answer"

    def kill(self) -> None:
        """End it as a crash would: the container, not just the command that runs it."""
        subprocess.run(["docker", "kill", self._container], capture_output=True, check=False)
        super().kill()

    def _remove(self) -> None:
        subprocess.run(["docker", "rm", "--force", self._container], capture_output=True, check=False)
