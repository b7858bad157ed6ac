"""A broker that finds its disk too full, and so blocks whoever publishes."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.part import Part


@contextmanager
def disk_alarm(broker: Part) -> Iterator[None]:
    """While inside, a running broker reads nothing more from connections that publish."""
    _free_limit(broker, "1000000GB")
    try:
        yield
    finally:
        _free_limit(broker, "50MB")


def _free_limit(broker: Part, limit: str) -> None:
    assert broker.child is not None
    command = broker.child.command
    script = Path(command.argv[0]).with_name("rabbitmqctl")
    arguments = [str(script), "--longnames", "-n", command.env["RABBITMQ_NODENAME"], "set_disk_free_limit", limit]
    subprocess.run(arguments, env=dict(command.env), check=True, capture_output=True, timeout=60)
