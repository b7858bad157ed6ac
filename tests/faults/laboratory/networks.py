"""Networks of our own, joined by a switch whose cables can be pulled.

Each is a Linux network namespace without a name, so the kernel removes it when this process and those in it are gone,
however they ended. Nothing of the machine's own network is touched.
"""

import ctypes
import os
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

CLONE_NEWNET: Final = 0x40000000
PREFIX: Final = "10.255.0"


class Network:
    """One network, with the loopback address in it. Raises OSError where none can be made."""

    def __init__(self) -> None:
        # This thread alone lives in it, with what it starts.
        self._inside = ThreadPoolExecutor(1, thread_name_prefix="network")
        try:
            self.path = self._inside.submit(_leave_network).result()
            self.run("link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    @property
    def enter(self) -> tuple[str, ...]:
        """The words before a command that have it run inside."""
        return ("nsenter", f"--net={self.path}")

    def socket(self) -> socket.socket:
        """A TCP socket inside, which anybody in this process may use."""
        return self._inside.submit(socket.socket).result()

    def run(self, *words: str) -> None:
        """Run `ip` inside. Raises OSError."""
        done = self._inside.submit(subprocess.run, ["ip", *words], capture_output=True, text=True).result()
        if done.returncode != 0:
            raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")

    def close(self) -> None:
        """Leave it."""
        self._inside.shutdown()


def _leave_network() -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "no network namespace can be made")
    return f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net"


class Switch:
    """Networks 1 to `count`, each with a cable to one switch. Raises OSError where that can't be made."""

    def __init__(self, count: int) -> None:
        self.networks: dict[int, Network] = {}
        try:
            self._hub = Network()
        except AttributeError:
            raise OSError("this system has no network namespaces") from None
        try:
            self._hub.run("link", "add", "switch", "up", "type", "bridge")
            for number in range(1, count + 1):
                self._add(number)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def address(self, number: int) -> str:
        """The address in a network."""
        return f"{PREFIX}.{number}"

    def unplug(self, number: int) -> None:
        """Pull the cable of one network: nothing goes in or out, and nobody is told."""
        self._hub.run("link", "set", f"port{number}", "down")

    def plug(self, number: int) -> None:
        """Put it back."""
        self._hub.run("link", "set", f"port{number}", "up")

    def close(self) -> None:
        """Leave all of them."""
        for network in (*self.networks.values(), self._hub):
            network.close()

    def _add(self, number: int) -> None:
        network = self.networks[number] = Network()
        self._hub.run("link", "add", f"port{number}", "type", "veth", "peer", "name", "cable", "netns", network.path)
        self._hub.run("link", "set", f"port{number}", "master", "switch", "up")
        network.run("address", "add", f"{self.address(number)}/24", "dev", "cable")
        network.run("link", "set", "cable", "up")
