"""Serving an ASGI application until a signal asks to stop."""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final

import uvicorn
import uvloop

from lifecycle.send_deadline import SEND_SECONDS, HttpConfig

DRAIN_SECONDS: Final = 8.0
STARTUP_FAILURE: Final = 3
"""uvicorn's exit code."""
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


OnDrain = Callable[[], None]
"""Ends the answers that have no end of their own."""


class HttpServer(uvicorn.Server):
    """uvicorn that leaves signals alone: its own handling ends a drained process by the signal, not with code 0.

    It waits for requests in flight, of which those without an end are told first.
    """

    def __init__(self, config: uvicorn.Config, *, on_drain: OnDrain | None) -> None:
        super().__init__(config)
        self._on_drain = on_drain

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more requests, and wait for those that there are."""
        if self._on_drain is not None:
            self._on_drain()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def http_server(  # noqa: PLR0913 - each is named by its caller
    app: Any,
    host: str,
    port: int,
    *,
    drain_seconds: float = DRAIN_SECONDS,
    send_seconds: float = SEND_SECONDS,
    on_drain: OnDrain | None = None,
) -> HttpServer:
    """A server with uvloop, our logging, and a bounded wait for requests in flight and for clients that don't read."""
    return HttpServer(
        HttpConfig(
            app,
            send_seconds=send_seconds,
            host=host,
            port=port,
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(drain_seconds),
        ),
        on_drain=on_drain,
    )


def serve_http(  # noqa: PLR0913 - each is named by its caller
    app: Any,
    host: str,
    port: int,
    *,
    drain_seconds: float = DRAIN_SECONDS,
    send_seconds: float = SEND_SECONDS,
    on_drain: OnDrain | None = None,
) -> None:
    """Serve `app` until SIGTERM or SIGINT, then finish the requests in flight for up to `drain_seconds`.

    A client that reads nothing of its answer for `send_seconds` is disconnected. `on_drain` is called when no request
    is taken any more.

    Raises:
        SystemExit: with uvicorn's code for it (3) when the address can't be bound or the application does not start.
    """
    server = http_server(app, host, port, drain_seconds=drain_seconds, send_seconds=send_seconds, on_drain=on_drain)

    async def serve() -> None:
        for number in STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, setattr, server, "should_exit", True)
        # What was loaded stays until the end: to look for garbage in it now and then would hold up every request.
        gc.collect()
        gc.freeze()
        await server.serve()

    uvloop.run(serve())
    if not server.started:
        raise SystemExit(STARTUP_FAILURE)
