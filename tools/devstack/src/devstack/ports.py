"""TCP ports on the loopback address."""

import fcntl
import os
import random
import socket
import tempfile
from functools import cache
from pathlib import Path

LOOPBACK = "127.0.0.1"
# Below the ephemeral range of Linux (32768) and macOS (49152): no outgoing connection can take a port of ours
# between the moment it is chosen and the moment it is listened on, nor while a process restarts.
CHOICE = range(20_000, 32_000)

_handed_out: set[int] = set()


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that nobody listens on, and that neither this process nor another one that lives was given here before.

    A broker listens some fifteen seconds after its port was chosen, and not at all while it is started again.
    """
    for port in random.sample(CHOICE, len(CHOICE)):
        if port not in _handed_out and _claim(port):
            _handed_out.add(port)
            if is_free(port):
                return port
    raise OSError(f"no free TCP port between {CHOICE.start} and {CHOICE.stop} on {LOOPBACK}")


def _claim(port: int) -> bool:
    """Whether no other process of this account has the port until it ends; from now on this one has it."""
    try:
        fcntl.lockf(_claims(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


@cache
def _claims() -> int:
    """A file of which each process locks the bytes at the ports that it was given. Closing it would unlock them all."""
    return os.open(Path(tempfile.gettempdir()) / f"aggregator-ports-{os.getuid()}", os.O_RDWR | os.O_CREAT, 0o600)
