"""Where webhooks may lead: on real sockets, with names that change their mind."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from tests.integration.processes import eventually

from catalog_api.clients.host_addresses import MOST_LOOKS, HostAddresses
from catalog_api.clients.webhook_targets import CheckTarget
from catalog_api.clients.webhooks import WebhookCaller
from catalog_api.domain.delivery import Outcome
from catalog_api.domain.errors import TargetRefusedError
from catalog_api.domain.targets import Targets

from .webhook_receiver import Receiver, receiving, self_signed

REFUSED = "webhooks may not have this URL with WEBHOOK_TARGETS=public"


class Names(AbstractResolver):
    """Gives each look the next list of addresses, and the last one from then on."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - the interface's
    ) -> list[ResolveResult]:
        self.asked.append(host)
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if not addresses:
            raise OSError("unknown")
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in addresses
        ]

    async def close(self) -> None:
        pass


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def tls_receiver(tmp_path: Path) -> AsyncIterator[Receiver]:
    context, _ = self_signed(tmp_path)
    async with receiving(context) as receiver:
        yield receiver


async def send(url: str, names: AbstractResolver | None = None, targets: Targets = Targets.PUBLIC) -> Outcome:
    async with WebhookCaller(timeout=5, targets=targets, resolver=names) as caller:
        return await caller.send(url, "{}", {})


def port_of(receiver: Receiver) -> str:
    return receiver.url.rpartition(":")[2]


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "::1", "10.0.0.1", "169.254.169.254"])
async def test_a_name_that_has_turned_inside_is_not_followed(address: str, tls_receiver: Receiver) -> None:
    names = Names(["8.8.8.8"], [address])
    url = f"https://hook.example:{port_of(tls_receiver)}/"
    await CheckTarget(Targets.PUBLIC, names)(url)
    outcome = await send(url, names)
    assert (outcome.status, outcome.error) == (None, "the address is not public")
    assert tls_receiver.got == []


async def test_a_name_is_looked_up_once_for_each_message(tls_receiver: Receiver) -> None:
    names = Names(["10.0.0.1", "127.0.0.1"], ["127.0.0.1"])
    url = f"https://hook.example:{port_of(tls_receiver)}/"
    assert (await send(url, names)).error == "the address is not public"
    assert names.asked == ["hook.example"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1", "0.0.0.0", "localhost"]
)
async def test_an_address_in_the_place_of_a_name_is_looked_at_too(host: str, tls_receiver: Receiver) -> None:
    url = f"https://{host}:{port_of(tls_receiver)}/"
    assert (await send(url)).error == "the address is not public"
    with pytest.raises(TargetRefusedError) as refused:
        await CheckTarget(Targets.PUBLIC)(url)
    assert "not public" in refused.value.reason
    assert tls_receiver.got == []


@pytest.mark.parametrize(
    ("host", "error"),
    [
        (
            "127.1",
            REFUSED,
        ),  # the client's own refusal, which is not relied upon
        ("2130706433", REFUSED),
        ("0177.0.0.1", REFUSED),
        ("0x7f000001", "the address is not public"),
    ],
)
async def test_neither_is_one_in_disguise(host: str, error: str, tls_receiver: Receiver) -> None:
    url = f"https://{host}:{port_of(tls_receiver)}/"
    assert (await send(url)).error == error
    with pytest.raises(TargetRefusedError):
        await CheckTarget(Targets.PUBLIC)(url)
    assert tls_receiver.got == []


async def test_one_address_inside_among_others_is_enough_to_refuse_a_new_webhook() -> None:
    with pytest.raises(TargetRefusedError) as refused:
        await CheckTarget(Targets.PUBLIC, Names(["8.8.8.8", "10.0.0.1"]))("https://hook.example/")
    assert "not public" in refused.value.reason
    with pytest.raises(TargetRefusedError) as unknown:
        await CheckTarget(Targets.PUBLIC, Names([]))("https://hook.example/")
    assert "has an address" in unknown.value.reason


async def test_a_name_is_looked_up_as_it_is_written() -> None:
    names = Names(["8.8.8.8"])
    await CheckTarget(Targets.PUBLIC, names)("https://xn--fa-hia.example/")
    assert names.asked == ["xn--fa-hia.example"], "not as fass.example, which is somebody else's"


async def test_plain_http_made_while_it_was_allowed_is_refused_later(receiver: Receiver) -> None:
    assert (await send(receiver.url, targets=Targets.ANY)).status == 200
    outcome = await send(receiver.url)
    assert outcome.error == REFUSED
    assert len(receiver.got) == 1


async def test_certificates_are_checked(tls_receiver: Receiver) -> None:
    outcome = await send(f"{tls_receiver.url}/", targets=Targets.ANY)
    assert outcome.error == "the certificate is not valid: self-signed certificate"
    assert tls_receiver.got == []


async def test_proxies_of_the_environment_cookies_and_redirections_are_ignored(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as elsewhere:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, elsewhere.url)
        headers = {"Set-Cookie": "a=b", "Location": elsewhere.url}
        receiver.answer = lambda _: web.Response(status=307, headers=headers)
        async with WebhookCaller(timeout=5, targets=Targets.ANY) as caller:
            for _ in range(2):
                assert (await caller.send(f"{receiver.url}/hook", "{}", {})).status == 307
        assert elsewhere.got == []
    assert [got.path for got in receiver.got] == ["/hook", "/hook"]
    assert not any("cookie" in got.headers for got in receiver.got)


async def test_names_are_looked_up_beside_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    real = socket.getaddrinfo

    def slow(host: str, *rest: object, **others: object) -> object:
        if host.startswith("slow"):
            assert answered.wait(60)
        return real("127.0.0.1", *rest, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    names = HostAddresses()
    waiting = [asyncio.create_task(names.resolve(f"slow{number}.example", 80)) for number in range(60)]
    (found,) = await asyncio.wait_for(names.resolve("quick.example", 80), 10)
    assert (found["host"], found["port"]) == ("127.0.0.1", 80)
    waiting[0].cancel()
    answered.set()
    assert len(await asyncio.gather(*waiting[1:])) == 59


def looking() -> int:
    """Threads that look for addresses; those of an earlier test may take a moment to end."""
    return sum(thread.name == "host-addresses" for thread in threading.enumerate())


async def test_looks_that_nobody_waits_for_any_more_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    begun: list[str] = []

    def slow(host: str, *_: object, **__: object) -> object:
        begun.append(host)
        assert answered.wait(30)
        raise OSError("unknown")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    names = HostAddresses()
    waiting = [asyncio.create_task(names.resolve("slow.example")) for _ in range(MOST_LOOKS)]

    async def all_begun() -> bool:
        return len(begun) == MOST_LOOKS

    async def nobody_else_looks() -> bool:
        return looking() == MOST_LOOKS

    await eventually(all_begun)
    await eventually(nobody_else_looks)
    for look in waiting:
        look.cancel()
    late = [asyncio.create_task(names.resolve("late.example")) for _ in range(2)]
    await asyncio.sleep(0)  # both have begun, as far as they may
    assert looking() == MOST_LOOKS
    answered.set()
    assert [type(error) for error in await asyncio.gather(*late, return_exceptions=True)] == [OSError, OSError]
    assert begun.count("late.example") == 2


async def test_without_a_thread_to_look_there_is_no_address_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    names = HostAddresses()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        for _ in range(MOST_LOOKS + 1):
            with pytest.raises(OSError, match="thread"):
                await names.resolve("127.0.0.1")
        with pytest.raises(TargetRefusedError):
            await CheckTarget(Targets.ANY, names)("http://127.0.0.1/")
    assert [found["host"] for found in await names.resolve("127.0.0.1")] == ["127.0.0.1"]


async def test_a_name_without_an_address_is_an_error() -> None:
    for host in ("nobody.invalid", "a..b", "x" * 70):
        with pytest.raises(OSError) as unknown:  # noqa: PT011 - what it says is the system's
            await HostAddresses().resolve(host, 443)
        assert not isinstance(unknown.value, TimeoutError)
