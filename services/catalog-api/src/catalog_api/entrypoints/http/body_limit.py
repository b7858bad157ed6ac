"""How large a request's body may be, and how long it may take to arrive."""

import asyncio
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from catalog_api.entrypoints.http.routing import BATCH_PATH
from http_api import RequestRefusedError, problem_response

BODY_BYTES: Final = 64 * 1024
BATCH_BODY_BYTES: Final = 8 * 1024 * 1024


class BodyLimit:
    """Refuses bodies over 64 KiB (8 MiB for a batch) with 413, counted as they arrive: a length may be missing.

    One that has not arrived after `seconds` is refused with 408, so that a slow client does not hold a place among the
    requests in flight for long.
    """

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = BATCH_BODY_BYTES if scope["path"] == BATCH_PATH else BODY_BYTES
        if _announced_length(scope) > limit:
            await problem_response(413, _too_large(limit))(scope, receive, send)
            return
        deadline = asyncio.get_running_loop().time() + self._seconds
        received = 0
        whole = False

        async def counted() -> Message:
            nonlocal received, whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise RequestRefusedError(408, f"The body did not arrive within {self._seconds:g} s.") from None
            received += len(message.get("body", b""))
            if received > limit:
                raise RequestRefusedError(413, _too_large(limit))
            whole = not message.get("more_body", False)
            return message

        await self._app(scope, counted, send)


def _announced_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def _too_large(limit: int) -> str:
    return f"The body is larger than {limit} bytes."
