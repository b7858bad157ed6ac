"""Looks up the addresses of hosts, each look in a thread of its own.

The loop's own way has few threads: some names whose servers do not answer would hold up everyone else's. These are
daemons, so they do not hold up the end of the process either. A look that nobody waits for any more goes on for as long
as the system's resolver likes, so it is the threads that are counted.
"""

import asyncio
import contextlib
import socket
import threading
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

MOST_LOOKS: Final = 64
"""Under way at once; a container may have 128 threads in all."""


class HostAddresses(AbstractResolver):
    """Resolves as the system does; nothing is remembered."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(MOST_LOOKS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of a host.

        Raises:
            OSError: it has none, nobody knows, or there is no thread to look.
        """
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[Any]] = loop.create_future()

        def settle(addresses: list[Any], error: Exception | None) -> None:
            self._places.release()
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

        try:
            threading.Thread(target=look, daemon=True, name="host-addresses").start()
        except RuntimeError as error:
            self._places.release()
            raise OSError(str(error)) from error
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
