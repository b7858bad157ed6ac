"""Cuts off clients that ask and do not read: neither ASGI nor uvicorn bounds how long an answer may take to leave."""

import asyncio
from typing import Any, Final

import uvicorn
from prometheus_client import Counter
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

SEND_SECONDS: Final = 30.0
DRAINING_SEND_SECONDS: Final = 2.0
"""The same once the server drains: it waits for its clients, but not for one that reads nothing."""
LEAST_BYTES: Final = 16 * 1024
"""What a client has to take in each `send_seconds` while more of its answer waits."""

cut_off_clients = Counter("aggregator_http_clients_cut_off_total", "Clients disconnected as they read nothing")


class HttpConfig(uvicorn.Config):
    """uvicorn's configuration, and how long a client may go without reading."""

    def __init__(self, app: Any, *, send_seconds: float, **others: Any) -> None:
        super().__init__(app, http=ReadingClientsOnly, **others)
        self.send_seconds = send_seconds


class ReadingClientsOnly(HttpToolsProtocol):
    """HTTP to a client whose connection is dropped, with all that waits for it, once it stops reading.

    Whoever waits in `send` goes on at once and learns of the disconnection as of any other. A closed connection would
    linger until the client takes what was written to it; an aborted one does not.
    """

    config: HttpConfig
    _check: asyncio.TimerHandle | None = None
    _draining = False

    def pause_writing(self) -> None:
        """Watch whether the client takes any of what waits for it."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """Let the answer go on."""
        self._stop_watching()
        super().resume_writing()

    def shutdown(self) -> None:
        """Let the answer under way be the last one, and go on only with a client that reads."""
        self._draining = True
        super().shutdown()
        if self._check is not None:
            self._watch()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection, and see to it that it does."""
        if not self.transport.is_closing():
            super().timeout_keep_alive_handler()
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell those who are answering."""
        self._stop_watching()
        super().connection_lost(exc)

    def _watch(self) -> None:
        self._stop_watching()
        waiting = self.transport.get_write_buffer_size()
        seconds = self.config.send_seconds
        if self._draining:
            seconds = min(seconds, DRAINING_SEND_SECONDS)
        self._check = self.loop.call_later(seconds, self._judge, waiting)

    def _judge(self, waited: int) -> None:
        if self.transport.get_write_buffer_size() > waited - LEAST_BYTES:
            cut_off_clients.inc()
            self.transport.abort()
        else:
            self._watch()

    def _stop_watching(self) -> None:
        if self._check is not None:
            self._check.cancel()
            self._check = None
