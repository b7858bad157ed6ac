"""No secret reaches a log, a metric, an error, a queue, a database or a command line, whatever goes wrong.

Every secret that there is is a canary: what the stack made for itself, what it is given, what the Offers MS hands out.
They are looked for wherever somebody could read them who is not meant to know them.
"""

import asyncio
import itertools
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import aio_pika
import psycopg2
import pytest
from cryptography.fernet import Fernet

from aggregator_contracts.topology import EXCHANGE, LOG, SUBSCRIPTIONS
from devstack import loopback_http
from devstack.conditions import wait_until
from devstack.settings import StackSettings
from devstack.stack import Stack

SECONDS: Final = 60.0
TOKEN_KEY: Final = Fernet.generate_key().decode()
WEBHOOK_KEY: Final = Fernet.generate_key().decode()
STRANGERS_TOKEN: Final = "agg_0123456789abcdef_canary0canary0canary0canary0canary0"
HOOK_PATH: Final = "canary-in-the-address-of-a-webhook"
RECORD: Final = "another-system"

Json = dict[str, Any]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    ports = ("CATALOG_PORT", "PRICE_HISTORY_PORT", "SIMULATOR_PORT", "RABBITMQ_PORT")
    settings = StackSettings.from_environment(
        {
            "STACK_DIR": str(tmp_path_factory.mktemp("stack")),
            **dict.fromkeys(ports, "0"),
            "DEMO": "0",
            "API_AUTH": "required",
            "LOG_LEVEL": "DEBUG",
            "LOG_FORMAT": "json",
            "OFFERS_POLL_INTERVAL_SECONDS": "1",
            "OFFERS_TOKEN_KEYS": TOKEN_KEY,
            "WEBHOOK_SECRET_KEYS": WEBHOOK_KEY,
            "WEBHOOK_TARGETS": "any",
        }
    )
    with Stack(settings) as stack:
        yield stack


class Trouble:
    """Everything that makes a process speak of what it was doing; `heard` is what it answered."""

    def __init__(self, stack: Stack) -> None:
        self.heard: list[str] = []
        self.webhook_secrets: list[str] = []
        self._stack = stack
        described = stack.description()
        self._catalog: str = described["catalog_url"]
        self._history: str = described["price_history_url"]
        self._offers_ms = described["offers_base_url"].partition("/api/")[0] + "/admin"
        self._broker: str = described["rabbitmq_url"]

    def offers_token(self) -> str:
        ((item),) = loopback_http.call("GET", f"{self._offers_ms}/tokens")["items"]
        return str(item["token"])

    def registered_and_refused(self) -> None:
        """One product that is registered, and one that the Offers MS refuses in words that repeat the token."""
        refusal = {"code": "BAD_REQUEST", "msg": f"token {self.offers_token()} may not register this"}
        self._offers_ms_fault("status", "register", status=400, body=refusal, times=1)
        self._until_registration("failed")
        self._until_registration("registered")

    def offers_ms_misbehaves(self) -> None:
        for status in (401, 429, 500):
            body = {"msg": self.offers_token()}
            self._offers_ms_fault("status", "offers", status=status, body=body, times=3)

    def refused_requests(self) -> None:
        product = f"/api/v1/products/{uuid4()}"
        for origin, token in itertools.product(
            (self._catalog, self._history), (self._stack.api_token, STRANGERS_TOKEN, f"{self._stack.api_token}x")
        ):
            for method, path, body in (
                ("GET", f"{product}/trend?period={token}", None),
                ("GET", f"{product}/history?cursor={token}", None),
                ("POST", "/api/v1/products", {"name": token, "nonsense": token}),
                ("DELETE", product, None),
            ):
                self._ask(method, origin + path, token, body)

    def webhook_that_fails(self) -> None:
        """Its messages are tried, and its secret is changed; the two answers that show a secret are not looked at."""
        webhooks = f"{self._catalog}/api/v1/webhooks"
        headers = {"Authorization": f"Bearer {self._stack.api_token}"}
        made = loopback_http.call("POST", webhooks, {"url": f"http://127.0.0.1:9/{HOOK_PATH}"}, headers=headers)
        mine = f"{webhooks}/{made['id']}"
        rotated = loopback_http.call("POST", f"{mine}/rotate-secret", {}, headers=headers)
        self.webhook_secrets = [shown["secret"].removeprefix("whsec_") for shown in (made, rotated)]
        self._ask("POST", f"{mine}/test", self._stack.api_token)

        def failed() -> bool:
            return "no connection" in self._ask("GET", f"{mine}/deliveries", self._stack.api_token)

        assert wait_until(failed, seconds=SECONDS)
        for path in (webhooks, mine):
            self._ask("GET", path, self._stack.api_token)

    def poison(self) -> None:
        asyncio.run(self._poison())

    def servers_die(self) -> None:
        """Both are killed and started again; what was connected says so."""
        for name in ("postgresql", "rabbitmq"):
            self._stack.kill_process(name)
            self._ask("GET", f"{self._catalog}/readyz", None)
            self._ask("POST", f"{self._catalog}/api/v1/products", self._stack.api_token, {"name": "Mower"})
            self._stack.start_process(name)
        assert wait_until(lambda: all(part.why_not_ready() is None for part in self._stack.parts.values()), seconds=90)

    def _until_registration(self, outcome: str) -> None:
        product = {"name": "Lawn mower", "description": "Cuts"}
        path = f"{self._catalog}/api/v1/products"
        made = json.loads(self._ask("POST", path, self._stack.api_token, product))

        def settled() -> bool:
            answer = self._ask("GET", f"{path}/{made['id']}", self._stack.api_token)
            return bool(json.loads(answer)["registration"] == outcome)

        assert wait_until(settled, seconds=SECONDS)

    def _offers_ms_fault(self, kind: str, endpoint: str, **parameters: Any) -> None:
        loopback_http.call("POST", f"{self._offers_ms}/faults", {"kind": kind, "endpoint": endpoint, **parameters})

    def _ask(self, method: str, url: str, token: str | None, body: Json | None = None) -> str:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, method=method, data=data, headers=headers)  # noqa: S310 - ours
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:  # noqa: S310 - ours
                said = f"{answer.headers}\n{answer.read().decode()}"
        except urllib.error.HTTPError as error:
            with error:
                said = f"{error.headers}\n{error.read().decode()}"
        # What an error repeats of the request its sender knows.
        self.heard.append(said if body is None or "nonsense" not in body else "")
        return said.partition("\n\n")[2] or said.rpartition("\n")[2]

    async def _poison(self) -> None:
        async with await aio_pika.connect(self._broker) as connection:
            channel = await connection.channel()
            for subscription in SUBSCRIPTIONS:
                await channel.default_exchange.publish(aio_pika.Message(b"poison"), subscription.queue)


async def record(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(RECORD, durable=True)
        await queue.bind(EXCHANGE, "#")


async def messages(url: str, queues: list[str]) -> list[str]:
    """Bodies and headers of all that lies in the queues."""
    found: list[str] = []
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for name in queues:
            queue = await channel.get_queue(name)
            while (message := await queue.get(fail=False, no_ack=True)) is not None:
                found.append(f"{name} {message.headers} {message.body.decode()}")
    return found


def tables(dsn: str) -> Iterator[str]:
    """Every row of every table, as text."""
    connection = psycopg2.connect(dsn)
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT row.*::text FROM "{table}" AS row')  # noqa: S608 - a name of ours
            yield from (f"{table} {row}" for (row,) in cursor.fetchall())
    finally:
        connection.close()


def command_lines(stack: Stack) -> Iterator[str]:
    for part in stack.parts.values():
        if part.child is not None:
            yield Path(f"/proc/{part.child.pid}/cmdline").read_text()


def pages(stack: Stack) -> Iterator[str]:
    for name, part in stack.parts.items():
        if part.health_url is None or name in ("postgresql", "rabbitmq", "offers-simulator"):
            continue
        for path in ("/metrics", "/readyz", "/healthz"):
            try:
                with urllib.request.urlopen(part.health_url + path, timeout=SECONDS) as answer:  # noqa: S310 - ours
                    yield answer.read().decode()
            except urllib.error.HTTPError as error:  # not ready, which it may say, too
                with error:
                    yield error.read().decode()


def test_no_secret_is_told(stack: Stack) -> None:
    described = stack.description()
    asyncio.run(record(described["rabbitmq_url"]))
    trouble = Trouble(stack)
    trouble.registered_and_refused()
    trouble.offers_ms_misbehaves()
    trouble.refused_requests()
    trouble.webhook_that_fails()
    trouble.poison()
    trouble.servers_die()
    assert stack.broker is not None
    # What the log has, the record has, too.
    others = {LOG, *(subscription.queue for subscription in SUBSCRIPTIONS)}
    queues = sorted({queue["name"] for queue in stack.broker.management.call("GET", "/queues")} - others)
    found_messages: list[str] = []

    def poison_is_parked() -> bool:
        found_messages.extend(asyncio.run(messages(described["rabbitmq_url"], queues)))
        return any("poison" in message for message in found_messages)

    assert wait_until(poison_is_parked, seconds=SECONDS)

    canaries = {
        **stack.folder.passwords(),
        "the access token": trouble.offers_token(),
        "the key of its encryption": TOKEN_KEY,
        "a token of the API": str(stack.api_token),
        "its secret part": str(stack.api_token).rpartition("_")[2],
        "a token that is nobody's": STRANGERS_TOKEN,
        "the key of webhooks' secrets": WEBHOOK_KEY,
        **{f"secret {number} of a webhook": secret for number, secret in enumerate(trouble.webhook_secrets)},
    }
    places = {
        "logs": [log.read_text(errors="replace") for log in stack.folder.log("any").parent.glob("*.log*")],
        "messages": found_messages,
        "tables": [row for dsn in described["databases"].values() for row in tables(dsn)],
        "answers": trouble.heard,
        "pages": list(pages(stack)),
        "command lines": list(command_lines(stack)),
    }
    assert all(places.values()), "something is looked through everywhere"
    assert any("may not register this" in message for message in places["messages"]), "the refusal was published"
    found = {
        (place, name)
        for place, texts in places.items()
        for text in texts
        for name, canary in canaries.items()
        if canary in text
    }
    assert found == set()
    assert not any(HOOK_PATH in log for log in places["logs"]), "whoever knows the address of a webhook may use it"
