"""A private RabbitMQ node: it shares no name, epmd, cookie, port or folder with a broker of the machine.

The real server script is run, not a distribution's wrapper (which changes the user and reads /etc/rabbitmq).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devstack.broker_management import BrokerManagement
from devstack.child import Child, Command
from devstack.epmd import Epmd
from devstack.part import Part
from devstack.ports import LOOPBACK, free_port

ADMINISTRATOR: Final = "admin"
VHOST: Final = "aggregator"
# The data on disk bears the name, so it never changes. With an address in it, no resolver is asked for "localhost".
NODE_NAME: Final = f"aggregator@{LOOPBACK}"


@dataclass(frozen=True)
class Placement:
    """Where a node is, and with whom: alone on the loopback address unless told otherwise."""

    #: The name of its process, and the Erlang node's, whose part after the @ is the address that it listens on.
    process: str = "rabbitmq"
    node: str = NODE_NAME
    #: Words before a command that put it there, such as into a network of its own.
    enter: Sequence[str] = ()
    #: Any free one where it is None. Nodes find one another only where they are told the same.
    epmd_port: int | None = None
    #: The Erlang cookie that the nodes of a cluster share.
    cookie: str | None = None
    #: Further lines of configuration.
    configuration: str = ""
    #: A peer that says nothing for so long, a quarter more or less, is held for gone.
    tick_seconds: int = 60

    @property
    def address(self) -> str:
        """What it listens on."""
        return self.node.partition("@")[2]


ALONE: Final = Placement()


class RabbitNode(Part):
    """One node with its data in `folder`, and an administrator's account with the password given.

    It stops in a second; before RabbitMQ 3.13 in six, as the management plugin sleeps for five when it is stopped.
    """

    start_seconds = 90.0

    def __init__(  # noqa: PLR0913 - each is named by its caller
        self,
        folder: Path,
        *,
        server_script: Path,
        log: Path,
        port: int,
        password: str,
        placement: Placement = ALONE,
    ) -> None:
        super().__init__(placement.process)
        self.port = port
        self.management = BrokerManagement(f"http://{LOOPBACK}:{free_port()}", ADMINISTRATOR, password)
        self._folder = folder.resolve()
        self._server_script = server_script
        self._distribution_port = free_port()
        self._log = log
        self._placement = placement
        self._epmd = Epmd(
            placement.epmd_port or free_port(),
            log=log.with_name(f"epmd-{log.name}"),
            address=placement.address,
            enter=placement.enter,
        )

    @property
    def parts(self) -> list[Part]:
        """All that this broker is made of."""
        return [self]

    def url(self, vhost: str = VHOST, user: str = ADMINISTRATOR, password: str | None = None) -> str:
        """An AMQP URL; the administrator's unless told otherwise."""
        return f"amqp://{user}:{password or self.management.password}@{LOOPBACK}:{self.port}/{vhost}"

    @property
    def children(self) -> list[Child]:
        """The node, then what serves it."""
        return super().children + self._epmd.children

    def command(self) -> Command:
        """Write its configuration, see to its epmd, and return what starts the node."""
        home = self._folder / "home"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)  # the Erlang cookie is kept in it, and made if need be
        self._write_configuration()
        cookie = home / ".erlang.cookie"
        if self._placement.cookie is not None and not cookie.exists():
            cookie.touch(mode=0o600)
            cookie.write_text(self._placement.cookie)
            cookie.chmod(0o400)  # as Erlang demands
        environment = self._environment()
        self._epmd.start(environment)
        return Command(
            name=self.name,
            argv=[*self._placement.enter, str(self._server_script)],
            log=self._log,
            env=environment,
            stop_seconds=30.0,
        )

    def why_not_ready(self) -> str | None:
        """Whether its management API answers, which starts last."""
        return None if self.management.answers() else "its management API does not answer"

    def ended(self) -> None:
        """Nobody needs its epmd any more."""
        self._epmd.kill()

    def _write_configuration(self) -> None:
        configuration = self._folder / "rabbitmq.conf"
        configuration.touch(mode=0o600)
        address = self._placement.address
        configuration.write_text(
            f"listeners.tcp.1 = {address}:{self.port}\n"
            f"management.tcp.ip = {address}\n"
            f"management.tcp.port = {self.management.url.rpartition(':')[2]}\n"
            f"default_user = {self.management.user}\n"
            f"default_pass = {self.management.password}\n"
            f"default_vhost = {VHOST}\n"
            # Milliseconds; at most so old are the queue lengths that the management API tells.
            "collect_statistics_interval = 1000\n"
            "log.file = false\n"
            "log.console = true\n"
            f"{self._placement.configuration}"
        )
        (self._folder / "enabled_plugins").write_text("[rabbitmq_management].\n")

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        placement = self._placement
        interface = f"{{{placement.address.replace('.', ',')}}}"
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(folder / "home"),
            **self._epmd.environment,
            # Makes the script become the Erlang VM instead of waiting for it, so that a signal reaches the broker.
            "RUNNING_UNDER_SYSTEMD": "true",
            "ERL_CRASH_DUMP": str(folder / "erl_crash.dump"),
            "RABBITMQ_NODENAME": placement.node,
            "RABBITMQ_USE_LONGNAME": "true",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"-kernel inet_dist_use_interface {interface} -kernel net_ticktime {placement.tick_seconds}"
            ),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            # Each of these would be a folder or file of the machine's own broker.
            "RABBITMQ_MNESIA_BASE": str(folder),
            "RABBITMQ_MNESIA_DIR": str(folder / "data"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(folder / "feature_flags"),
            "RABBITMQ_PLUGINS_EXPAND_DIR": str(folder / "plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
        }
