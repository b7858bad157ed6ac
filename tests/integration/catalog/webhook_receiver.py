"""A receiver of webhooks on a real socket, which can misbehave."""

import asyncio
import contextlib
import ssl
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import standardwebhooks
from aiohttp import web
from tests.integration.processes import started

from catalog_api.clients.webhooks import WebhookCaller
from catalog_api.db.database import Database
from catalog_api.domain.targets import Targets
from catalog_api.use_cases.send_webhooks import Sending, SendWebhooks
from sealing import Seals


@dataclass(frozen=True)
class Got:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """The message, as the reference library has verified it; raises when it is not signed with this secret."""
        return standardwebhooks.Webhook(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """`answer` makes an answer, or takes its time to; `got` is all that came."""

    url: str = ""
    answer: Callable[[Got], Any] = lambda _: web.Response()
    got: list[Got] = field(default_factory=list)

    @property
    def ids(self) -> Counter[str]:
        return Counter(got.id for got in self.got)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        got = Got(request.path, headers, await request.read())
        self.got.append(got)
        answer = self.answer(got)
        response: web.StreamResponse = await answer if asyncio.iscoroutine(answer) else answer
        return response


@contextlib.asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def sending(
    database: Database, dsn: str, *, attempt_seconds: float = 5, at_once: int = 64, seals: Seals | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """A sender, as a worker runs it."""
    stopping = asyncio.Event()
    caller = WebhookCaller(timeout=attempt_seconds, targets=Targets.ANY)
    sender = SendWebhooks(database, caller, seals or Seals(), Sending(dsn, attempt_seconds, at_once, 4))
    task = asyncio.create_task(sender.run(stopping))
    try:
        yield task
    finally:
        stopping.set()
        if not task.done():
            await task


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """What serves TLS for hook.example and 127.0.0.1, and the certificate, which nobody else signed."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=hook.example"]
    names = ["-addext", "subjectAltName=DNS:hook.example,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


@contextlib.asynccontextmanager
async def working(dsn: str, **others: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`catalog-api work`, which has no broker here: webhooks need none."""
    settings = {
        "DATABASE_URL": dsn,
        "RABBITMQ_URL": "amqp://guest:guest@127.0.0.1:9/",
        "PRICE_HISTORY_URL": "http://127.0.0.1:9",
        "WEBHOOK_TARGETS": "any",
    }
    async with started("catalog-api", "work", settings=settings | others) as worker:
        yield worker
