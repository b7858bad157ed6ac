"""A private RabbitMQ node: it shares no name, epmd, cookie, port or folder with a broker of the machine.

The real server script is run, not a distribution's wrapper (which changes the user and reads /etc/rabbitmq).
"""

import os
import re
import shutil
import signal
from pathlib import Path
from typing import Final

from devstack.broker_management import BrokerManagement
from devstack.child import Child, Command
from devstack.conditions import wait_until
from devstack.part import Part
from devstack.ports import LOOPBACK, free_port, is_free

ADMINISTRATOR: Final = "admin"
VHOST: Final = "aggregator"
# The data on disk bears the name, so it never changes. With an address in it, no resolver is asked for "localhost".
NODE_NAME: Final = f"aggregator@{LOOPBACK}"


class RabbitNode(Part):
    """One node with its data in `folder`, and an administrator's account with the password given.

    It stops in a second; before RabbitMQ 3.13 in six, as the management plugin sleeps for five when it is stopped.
    """

    start_seconds = 90.0

    def __init__(self, folder: Path, *, server_script: Path, log: Path, port: int, password: str) -> None:
        super().__init__("rabbitmq")
        self.port = port
        self.management = BrokerManagement(f"http://{LOOPBACK}:{free_port()}", ADMINISTRATOR, password)
        self._folder = folder.resolve()
        self._server_script = server_script
        self._epmd_port = free_port()
        self._distribution_port = free_port()
        self._log = log
        self._epmd: Child | None = None

    def url(self, vhost: str = VHOST, user: str = ADMINISTRATOR, password: str | None = None) -> str:
        """An AMQP URL; the administrator's unless told otherwise."""
        return f"amqp://{user}:{password or self.management.password}@{LOOPBACK}:{self.port}/{vhost}"

    @property
    def children(self) -> list[Child]:
        """The node, then what serves it."""
        epmd = [] if self._epmd is None or self._epmd.exit_code is not None else [self._epmd]
        return super().children + epmd

    def command(self) -> Command:
        """Write its configuration, see to its epmd, and return what starts the node."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "home").mkdir(mode=0o700, exist_ok=True)  # the Erlang cookie is made in it
        self._write_configuration()
        self._start_epmd()
        return Command(
            name=self.name,
            argv=[str(self._server_script)],
            log=self._log,
            env=self._environment(),
            stop_seconds=30.0,
        )

    def why_not_ready(self) -> str | None:
        """Whether its management API answers, which starts last."""
        return None if self.management.answers() else "its management API does not answer"

    def ended(self) -> None:
        """Nobody needs its epmd any more."""
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd = None

    def _start_epmd(self) -> None:
        """Erlang starts an epmd that stays for ever where it finds none, so it must find one: a child of ours."""
        if self._epmd is not None and self._epmd.exit_code is None:
            return
        self._epmd = Child(
            Command(
                name="epmd",
                argv=[_epmd_program(), "-port", str(self._epmd_port), "-address", LOOPBACK],
                log=self._log.with_name("epmd.log"),
                env=self._environment(),
                stop_signal=signal.SIGKILL,
            )
        )
        wait_until(lambda: not is_free(self._epmd_port), seconds=5)
        self._epmd.check()

    def _write_configuration(self) -> None:
        configuration = self._folder / "rabbitmq.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f"listeners.tcp.1 = {LOOPBACK}:{self.port}\n"
            f"management.tcp.ip = {LOOPBACK}\n"
            f"management.tcp.port = {self.management.url.rpartition(':')[2]}\n"
            f"default_user = {self.management.user}\n"
            f"default_pass = {self.management.password}\n"
            f"default_vhost = {VHOST}\n"
            # Milliseconds; at most so old are the queue lengths that the management API tells.
            "collect_statistics_interval = 1000\n"
            "log.file = false\n"
            "log.console = true\n"
        )
        (self._folder / "enabled_plugins").write_text("[rabbitmq_management].\n")

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(folder / "home"),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            # Makes the script become the Erlang VM instead of waiting for it, so that a signal reaches the broker.
            "RUNNING_UNDER_SYSTEMD": "true",
            "ERL_CRASH_DUMP": str(folder / "erl_crash.dump"),
            "RABBITMQ_NODENAME": NODE_NAME,
            "RABBITMQ_USE_LONGNAME": "true",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
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


def _epmd_program() -> str:
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
