"""Looks up the addresses of hosts, each look in a thread of its own.

The loop's own way has few threads: some names whose servers do not answer would hold up everyone else's. These are
daemons, so they do not hold up the end of the process either.
"""

import asyncio
import contextlib
import socket
import threading
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult


class HostAddresses(AbstractResolver):
    """Resolves as the system does; nothing is remembered."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of a host.

        Raises:
            OSError: it has none, or nobody knows.
        """
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[Any]] = loop.create_future()

        def settle(addresses: list[Any], error: Exception | None) -> None:
            if found.cancelled():
                return
            if error is None:
                found.set_result(addresses)
            else:
                found.set_exception(error)

        def look() -> None:
            addresses: list[Any] = []
            error: Exception | None = None
            try:
                addresses = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as raised:  # UnicodeError: a label that is empty or too long
                error = raised if isinstance(raised, OSError) else OSError(str(raised))
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(settle, addresses, error)

        threading.Thread(target=look, daemon=True, name="host-addresses").start()
        return [
            {
                "hostname": host,
                "host": str(sockaddr[0]),
                "port": port,
                "family": found_family,
                "proto": proto,
                "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            }
            for found_family, _, proto, _, sockaddr in await found
        ]

    async def close(self) -> None:
        """Nothing is held open."""
