"""Headers that keep a browser from making of an answer what it is not."""

from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_EVERYWHERE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
API_HEADERS: Final = (
    *_EVERYWHERE,
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
"""Of answers that are no pages: they load nothing, are shown in no frame, and are kept by no cache."""
_DOCUMENTATION: Final = "/docs"
_DOCUMENTATION_HEADERS: Final = (
    *_EVERYWHERE,
    (
        b"content-security-policy",
        # FastAPI's page of Swagger UI: its files come from that host, its start is a script in the page.
        (
            b"default-src 'none'; script-src 'unsafe-inline' https://cdn.jsdelivr.net; "
            b"style-src 'unsafe-inline' https://cdn.jsdelivr.net; img-src 'self' data: https://fastapi.tiangolo.com; "
            b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
    ),
)
EVENT_DOCUMENTATION: Final = "/docs/events"
_EVENT_DOCUMENTATION_HEADERS: Final = (
    *_EVERYWHERE,
    (
        b"content-security-policy",
        # A page with a style of its own, and nothing else.
        b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)


class SecurityHeaders:
    """Adds them to every answer; only the page of the REST documentation may load anything."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, with_headers(send, _headers(scope["path"])))


def _headers(path: str) -> Iterable[tuple[bytes, bytes]]:
    if path.startswith(EVENT_DOCUMENTATION):
        return _EVENT_DOCUMENTATION_HEADERS
    return _DOCUMENTATION_HEADERS if path.startswith(_DOCUMENTATION) else API_HEADERS


def with_headers(send: Send, headers: Iterable[tuple[bytes, bytes]]) -> Send:
    """`send` that adds these headers, their names in lower case, to the answer."""

    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    return add
