"""The stack's broker: RabbitMQ of this machine, installed if need be, else a container."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from devstack.broker_management import BrokerManagement
from devstack.part import Part
from devstack.rabbitmq import ADMINISTRATOR, VHOST, RabbitNode
from devstack.rabbitmq_container import RabbitContainer, docker_engine_answers
from devstack.rabbitmq_installation import RabbitMissing, require_server_script


class Broker(Protocol):
    """A broker of one node or more, each of them a part of the stack."""

    @property
    def parts(self) -> Sequence[Part]:
        """Its nodes."""

    @property
    def management(self) -> BrokerManagement:
        """Its management API."""

    def url(self, vhost: str = VHOST, user: str = ADMINISTRATOR, password: str | None = None) -> str:
        """AMQP URLs, separated by commas; the administrator's unless told otherwise."""


class OpenBroker(Protocol):
    """Makes a broker that has not been started. Raises RabbitMissing, with what to install."""

    def __call__(self, folder: Path, *, log: Path, port: int, password: str, say: Callable[[str], None]) -> Broker:
        """A broker with its data in `folder`."""


def private_broker(folder: Path, *, log: Path, port: int, password: str, say: Callable[[str], None]) -> Broker:
    """A broker of one node that has not been started. Raises RabbitMissing, with what to install."""
    try:
        script = require_server_script(say)
    except RabbitMissing:
        if not docker_engine_answers():
            raise
        say("RabbitMQ is not on this machine: running it as a container")
        return RabbitContainer(folder, log=log, port=port, password=password)
    return RabbitNode(folder, server_script=script, log=log, port=port, password=password)
