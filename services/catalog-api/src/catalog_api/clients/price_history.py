"""Asks price-history over HTTP: one pool of connections for the process, a deadline for each call."""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import aiohttp
import msgspec
from pydantic import SecretStr
from yarl import URL

from catalog_api.domain.errors import PriceHistoryUnavailableError

CONNECTIONS: Final = 64
CONNECT_SECONDS: Final = 2.0
CSV_STALL_SECONDS: Final = 30.0
CHUNK_BYTES: Final = 64 * 1024
PASSED_ON: Final = frozenset({200, 404, 422})
"""Statuses that speak of the request; any other speaks of price-history, and is nothing to the client."""

_URL_CHARACTERS: Final = "%/:?@!$&'()*+,;=~[]"


class HistoryAnswer(msgspec.Struct, frozen=True):
    """An answer of price-history's; `body` is a stream when it is CSV, which has no bound.

    `kept_since` is since when it keeps every single change, as it says of trends; None where it forgot none.
    """

    status: int
    content_type: str
    body: bytes | AsyncIterator[bytes]
    kept_since: str | None = None


class PriceHistory:
    """An asynchronous context manager; open it once for the process.

    Args:
        base_url: of price-history, without `/api/v1`.
        timeout: seconds from asking to the last byte, waiting for a connection included.
        csv_timeout: the same when CSV is asked for.
        token: what it knows us by, where it requires access.
    """

    def __init__(self, base_url: str, *, timeout: float, csv_timeout: float, token: SecretStr | None) -> None:
        self._api = f"{base_url}/api/v1"
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_SECONDS)
        self._csv_timeout = aiohttp.ClientTimeout(
            total=csv_timeout, sock_connect=CONNECT_SECONDS, sock_read=CSV_STALL_SECONDS
        )
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity", "Product-Known": "true", **self._authorization()},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, query: bytes, accept: str | None) -> HistoryAnswer:
        """What price-history answers to `path` (encoded, under its `/api/v1`) with the same query and `Accept`.

        Raises:
            PriceHistoryUnavailableError: it is away, too slow, or its answer is none of 200, 404 and 422.
        """
        assert self._session is not None, "not open"  # noqa: S101 - a mistake of ours
        url = f"{self._api}{path}?{quote(query, safe=_URL_CHARACTERS)}".removesuffix("?")
        wants_csv = accept is not None and "text/csv" in accept
        try:
            response = await self._session.get(
                URL(url, encoded=True),
                headers={} if accept is None else {"Accept": accept},
                timeout=self._csv_timeout if wants_csv else self._timeout,
                allow_redirects=False,
            )
            return await _answer_of(response)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise PriceHistoryUnavailableError(type(error).__name__) from error

    def _authorization(self) -> dict[str, str]:
        return {} if self._token is None else {"Authorization": f"Bearer {self._token.get_secret_value()}"}


async def _answer_of(response: aiohttp.ClientResponse) -> HistoryAnswer:
    content_type = response.headers.get("Content-Type", "application/octet-stream")
    if response.status not in PASSED_ON:
        response.release()
        raise PriceHistoryUnavailableError(f"status {response.status}")
    if response.content_type == "text/csv":
        return HistoryAnswer(response.status, content_type, _chunks(response))
    try:
        kept_since = response.headers.get("Changes-Kept-Since")
        return HistoryAnswer(response.status, content_type, await response.read(), kept_since)
    finally:
        response.release()


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    # When price-history breaks off, so do we: the client sees an answer cut short, never a whole one that is not.
    try:
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            yield chunk
    finally:
        response.close()
