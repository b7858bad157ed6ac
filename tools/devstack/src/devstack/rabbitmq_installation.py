"""Finds RabbitMQ's server script on this machine, or installs RabbitMQ where that needs no question."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

USUAL_PLACES: Final = (
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",  # Debian, Ubuntu, Fedora
    "/usr/local/lib/erlang/lib/rabbitmq_server-*/sbin",
    "/opt/rabbitmq/sbin",  # the official container image
    "/opt/rabbitmq_server-*/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
    "/home/linuxbrew/.linuxbrew/opt/rabbitmq/sbin",
)
POLICY: Final = Path("/usr/sbin/policy-rc.d")


class RabbitMissing(Exception):  # noqa: N818 - says what happened
    """RabbitMQ is not on this machine and could not be put there."""


def find_server_script() -> Path | None:
    """The newest real `rabbitmq-server` script, which lies beside `rabbitmq-env`; a distribution's wrapper does not."""
    found = [script for pattern in USUAL_PLACES for script in Path("/").glob(f"{pattern[1:]}/rabbitmq-server")]
    on_path = shutil.which("rabbitmq-server")
    if on_path is not None:
        found.append(Path(on_path).resolve())
    real = [script for script in found if script.with_name("rabbitmq-env").exists()]
    return max(real, key=lambda script: [int(number) for number in re.findall(r"\d+", str(script))], default=None)


def require_server_script(say: Callable[[str], None]) -> Path:
    """Find the server script, installing RabbitMQ if need be. Raises RabbitMissing."""
    script = find_server_script()
    if script is None:
        _install(say)
        script = find_server_script()
    if script is None:
        raise RabbitMissing("RabbitMQ was installed, but its rabbitmq-server script is in none of the usual folders")
    return script


def _install(say: Callable[[str], None]) -> None:
    if shutil.which("apt-get") and (as_root := _root_prefix()) is not None:
        say("RabbitMQ is not on this machine: installing it with apt-get")
        with _no_service_starts(as_root):
            _run([*as_root, "apt-get", "update", "-q"])
            install = ["apt-get", "install", "-y", "-q", "-o", "DPkg::Lock::Timeout=300", "--no-install-recommends"]
            _run([*as_root, "env", "DEBIAN_FRONTEND=noninteractive", *install, "rabbitmq-server"])
    elif shutil.which("brew"):
        say("RabbitMQ is not on this machine: installing it with Homebrew")
        _run(["brew", "install", "rabbitmq"])
    else:
        raise RabbitMissing(
            "RabbitMQ is not on this machine and can't be installed without a question. Install it (Debian, Ubuntu: "
            "`sudo apt-get install rabbitmq-server`; Fedora: `sudo dnf install rabbitmq-server`; macOS: "
            "`brew install rabbitmq`), or start a Docker engine, and run this again."
        )


def _root_prefix() -> list[str] | None:
    """The words before a command that make it run as root without a question; None where that can't be."""
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "-n"]
    if shutil.which("sudo") and subprocess.run([*sudo, "true"], capture_output=True, check=False).returncode == 0:
        return sudo
    return None


@contextmanager
def _no_service_starts(as_root: list[str]) -> Iterator[None]:
    """Debian's packages start their service when installed, unless policy-rc.d forbids: only our own broker is wanted.

    A policy that is already there is the machine's own decision, and stays. What the package enabled for the next
    boot is disabled, as nobody asked for a broker of the machine.
    """
    ours = not POLICY.exists()
    if ours:
        _run([*as_root, "sh", "-c", f"printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}"])
    try:
        yield
    finally:
        if ours:
            _run([*as_root, "rm", "-f", str(POLICY)])
    if shutil.which("systemctl"):
        units = ["rabbitmq-server.service", "epmd.service", "epmd.socket"]
        subprocess.run([*as_root, "systemctl", "disable", *units], capture_output=True, check=False)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = "\n".join(f"  {line}" for line in (done.stdout + done.stderr).splitlines()[-10:])
        raise RabbitMissing(f"`{' '.join(command)}` failed, so RabbitMQ could not be installed:\n{last}")
