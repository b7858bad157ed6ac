"""What surrounds every request: its measure, its size limit, and the gate in front of the API."""

import time
from typing import Final

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from catalog_api.entrypoints.http.problems import RequestRefusedError, problem_response
from catalog_api.entrypoints.http.routing import API, BATCH_PATH

BODY_BYTES: Final = 64 * 1024
BATCH_BODY_BYTES: Final = 8 * 1024 * 1024

request_seconds: Final = Histogram(
    "aggregator_catalog_http_request_seconds",
    "Time to answer HTTP requests, by route template",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Measured:
    """Counts and times requests by route template, so that no id becomes a label."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = "none"

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            route = getattr(scope.get("route"), "path_format", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            request_seconds.labels(method, route, status).observe(time.perf_counter() - started)


class BodyLimit:
    """Refuses bodies over 64 KiB (8 MiB for a batch) with 413, counted as they arrive: a length may be missing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = BATCH_BODY_BYTES if scope["path"] == BATCH_PATH else BODY_BYTES
        if _announced_length(scope) > limit:
            await _too_large(limit)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise RequestRefusedError(413, _too_large_detail(limit))
            return message

        await self._app(scope, counted, send)


class Closed:
    """Answers every request to the API with 401: access is required, and this version has no tokens to grant it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and (scope["path"] == API or scope["path"].startswith(f"{API}/")):
            answer = problem_response(
                401,
                "This API requires a bearer token (API_AUTH=required), and this version has no tokens yet.",
                headers={"WWW-Authenticate": "Bearer"},
            )
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _announced_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def _too_large(limit: int) -> ASGIApp:
    return problem_response(413, _too_large_detail(limit))


def _too_large_detail(limit: int) -> str:
    return f"The body is larger than {limit} bytes."
