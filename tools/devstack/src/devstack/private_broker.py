"""The stack's broker: RabbitMQ of this machine, installed if need be, else a container."""

from collections.abc import Callable
from pathlib import Path

from devstack.rabbitmq import RabbitNode
from devstack.rabbitmq_container import RabbitContainer, docker_engine_answers
from devstack.rabbitmq_installation import RabbitMissing, require_server_script

Broker = RabbitNode | RabbitContainer


def private_broker(folder: Path, *, log: Path, port: int, password: str, say: Callable[[str], None]) -> Broker:
    """A broker that has not been started. Raises RabbitMissing, with what to install."""
    try:
        script = require_server_script(say)
    except RabbitMissing:
        if not docker_engine_answers():
            raise
        say("RabbitMQ is not on this machine: running it as a container")
        return RabbitContainer(folder, log=log, port=port, password=password)
    return RabbitNode(folder, server_script=script, log=log, port=port, password=password)
