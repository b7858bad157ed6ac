"""A door before a PostgreSQL server that speaks TLS, with a certificate nobody signed, and nothing else."""

import asyncio
import contextlib
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

TLS_REQUEST: Final = bytes.fromhex("00000008 04d2162f")
"""SSLRequest: https://www.postgresql.org/docs/18/protocol-message-formats.html"""
CHUNK: Final = 65_536


@contextlib.contextmanager
def tls_front(folder: Path, port: int) -> Iterator[int]:
    """The port of a door to `port` of the loopback address; whoever comes without TLS is turned away."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*_self_signed(folder))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        front = _Front(port, context)
        yield asyncio.run_coroutine_threadsafe(front.open(), loop).result()
        asyncio.run_coroutine_threadsafe(front.close(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _Front:
    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._port, self._context = port, context
        self._visits: set[asyncio.Task[None]] = set()

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._visit, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        self._server.close()
        for visit in self._visits:
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._visits.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                if await reader.readexactly(len(TLS_REQUEST)) == TLS_REQUEST:
                    writer.write(b"S")
                    await writer.start_tls(self._context)
                    server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
                    await asyncio.gather(_forward(reader, server_writer), _forward(server_reader, writer))
        finally:
            writer.close()
            self._visits.discard(task)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
    finally:
        writer.close()


def _self_signed(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "server.crt", folder / "server.key"
    subject = ["-subj", "/CN=nobody-knows-me", "-days", "2"]
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*new, "-keyout", key, "-out", certificate, *subject], check=True, capture_output=True)
    return certificate, key
