"""Listens, and stops at once when a signal asks for it: a simulator has nothing to drain."""

import asyncio
import signal
from collections.abc import Callable
from typing import Final

import structlog

from offers_simulator.http.connection import Connection
from offers_simulator.http.message import Answer, Request

BACKLOG: Final = 4096

_log = structlog.get_logger()


async def serve(application: Callable[[Request], Answer], host: str, port: int, path_prefix: str) -> None:
    """Answer until SIGTERM or SIGINT; port 0 takes any free one, and the log line `simulator_serving` names it.

    Raises:
        OSError: the address can't be bound.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    connections: set[Connection] = set()
    server = await loop.create_server(lambda: Connection(application, connections), host, port, backlog=BACKLOG)
    bound_port = server.sockets[0].getsockname()[1]
    _log.info("simulator_serving", base_url=f"http://{host}:{bound_port}{path_prefix}", port=bound_port)
    await stopping.wait()
    server.close()
    for connection in tuple(connections):
        connection.abort()
    _log.info("simulator_stopped")
