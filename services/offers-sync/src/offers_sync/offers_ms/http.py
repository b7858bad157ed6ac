"""HTTP for a server that is not trusted: bounded in time and size, without cookies and redirects."""

from collections.abc import Mapping
from types import TracebackType
from typing import Final, NamedTuple, Self

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from offers_sync.domain.answers import BadAnswer, Unavailable

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
"""After decompression; room for some 40,000 offers."""
DNS_CACHE_SECONDS: Final = 30
JSON: Final = "application/json"


class Response(NamedTuple):
    """A whole response."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def is_json(self) -> bool:
        """Whether the server calls the body JSON, or says nothing of it: its documentation names no content type."""
        content_type = self.headers.get("Content-Type", JSON)
        if content_type == JSON:
            return True
        kind = content_type.partition(";")[0].strip().lower()
        return kind == JSON or (kind.startswith("application/") and kind.endswith("+json"))


class HttpCaller:
    """One session; enter it before the first call.

    Args:
        timeout_seconds: from connecting to the last byte of an answer.
        connections: open at once.
    """

    def __init__(self, timeout_seconds: float, connections: int) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._connections = connections
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, ttl_dns_cache=DNS_CACHE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            # A list of offers is a few hundred bytes: compressing it would cost both sides more than it saves.
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "product-aggregator"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def call(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None = None
    ) -> Response | Unavailable | BadAnswer:
        """Make a call; never raises for anything that the server or the network does."""
        try:
            async with self._session.request(
                method,
                url,
                headers=headers,
                data=body,
                allow_redirects=False,
                # aiohttp names a content type for a POST without content. Not for GET, where leaving headers out costs.
                skip_auto_headers=None if method == "GET" else ("Content-Type",),
            ) as response:
                content = await _read(response)
                if content is None:
                    return BadAnswer("too_large")
                return Response(response.status, response.headers, content)
        except TimeoutError:
            return Unavailable("timeout")
        except (aiohttp.ClientError, OSError) as error:
            return Unavailable(type(error).__name__)
        except ValueError:
            # Headers that aiohttp itself can't make sense of.
            return BadAnswer("malformed_response")


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """The body; None if it is too large, in which case the connection is cut."""
    first = await response.content.readany()
    if response.content.at_eof() and len(first) <= MAX_BODY_BYTES:
        return first
    chunks, size = [first], len(first)
    while size <= MAX_BODY_BYTES:
        chunk = await response.content.readany()
        if not chunk and response.content.at_eof():
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)
    response.close()
    return None
