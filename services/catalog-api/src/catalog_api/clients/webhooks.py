"""Sends messages to webhooks, and goes nowhere that they may not lead.

What counts is the address of each socket, looked at when the socket is made: no name that changes its mind between a
check and its use, no literal address, no redirection and no proxy comes past that.
"""

import contextlib
import socket
import ssl
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from catalog_api.clients.host_addresses import HostAddresses
from catalog_api.domain.delivery import Outcome
from catalog_api.domain.targets import Targets, checked_url, is_public

ANSWER_BYTES: Final = 1024
"""How much of an answer's body is read."""
_NOT_PUBLIC: Final = "the address is not public"


class _NotPublicError(OSError):
    """All of the host's addresses are inside."""

    def __init__(self) -> None:
        super().__init__(_NOT_PUBLIC)


class WebhookCaller:
    """An asynchronous context manager; open it once for the process.

    Args:
        timeout: seconds for an attempt as a whole, from the look for addresses to the last byte.
        targets: where webhooks may lead.
        resolver: how names are looked up.
    """

    def __init__(self, *, timeout: float, targets: Targets, resolver: AbstractResolver | None = None) -> None:
        self._timeout = timeout
        self._targets = targets
        self._resolver = HostAddresses() if resolver is None else resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=self._resolver,
                use_dns_cache=False,
                limit=0,  # who sends says how many at once
                force_close=True,  # the next message looks for the address again
                socket_factory=self._socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            headers={"User-Agent": "product-aggregator", "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, url: str, body: str, headers: Mapping[str, str]) -> Outcome:
        """Post a message and say what came of it; whatever goes wrong is an outcome, too."""
        assert self._session is not None, "not open"  # noqa: S101 - a mistake of ours
        began = time.monotonic()
        try:
            target = URL(checked_url(url, self._targets), encoded=True)
            async with self._session.post(
                target,
                data=body.encode(),
                headers={"Content-Type": "application/json", **headers},
                allow_redirects=False,
            ) as response:
                answer = await _beginning(response)
                retry_after = response.headers.get("Retry-After")
                return Outcome(time.monotonic() - began, response.status, None, answer, retry_after)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return Outcome(time.monotonic() - began, None, self._reason(error))

    def _socket(self, where: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = where
        if self._targets is Targets.PUBLIC and not is_public(str(address[0])):
            raise _NotPublicError
        return socket.socket(family, kind, protocol)

    def _reason(self, error: Exception) -> str:
        """What the log of deliveries says. No text of a library's: it may repeat the URL, which may be a secret."""
        match error:
            case TimeoutError():
                reason = f"no answer within {self._timeout:g} s"
            case aiohttp.ClientConnectorDNSError():
                reason = "the host has no address"
            case aiohttp.ClientConnectorCertificateError(certificate_error=ssl.SSLCertVerificationError() as cause):
                reason = f"the certificate is not valid: {cause.verify_message}"
            case aiohttp.ClientConnectorError(os_error=cause) if _NOT_PUBLIC in str(cause):
                reason = _NOT_PUBLIC
            case aiohttp.ClientConnectorError(os_error=cause):
                reason = f"no connection: {cause.strerror or type(cause).__name__}"
            case ValueError():
                reason = f"webhooks may not have this URL with WEBHOOK_TARGETS={self._targets}"
            case _:
                reason = f"the connection broke: {type(error).__name__}"
        return reason


async def _beginning(response: aiohttp.ClientResponse) -> str:
    body = b""
    # The status has been given; an answer that breaks off or drags on after it changes nothing.
    with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
        while len(body) < ANSWER_BYTES and (chunk := await response.content.read(ANSWER_BYTES - len(body))):
            body += chunk
    # PostgreSQL takes no NUL in text.
    return body.decode(errors="replace").replace("\x00", "\ufffd")
