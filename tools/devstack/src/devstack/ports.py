"""TCP ports on the loopback address."""

import os
import random
import socket

LOOPBACK = "127.0.0.1"
# Below the ephemeral range of Linux (32768) and macOS (49152): no outgoing connection can take a port of ours
# between the moment it is chosen and the moment it is listened on, nor while a process restarts.
CHOICE = range(20_000, 32_000)

# A port is chosen some time before it is listened on. Processes that choose at once begin in different shares.
SHARES = 40

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
    """A port that nobody listens on, never the same one twice in one process."""
    share = CHOICE[os.getpid() % SHARES :: SHARES]
    for port in (*random.sample(share, len(share)), *random.sample(CHOICE, len(CHOICE))):
        if port not in _handed_out and is_free(port):
            _handed_out.add(port)
            return port
    raise OSError(f"no free TCP port between {CHOICE.start} and {CHOICE.stop} on {LOOPBACK}")
