"""What surrounds every request: its measure, and the gate in front of the API."""

import time
from typing import Final

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from price_history.entrypoints.http.problems import problem_response

API: Final = "/api/v1"

request_seconds: Final = Histogram(
    "aggregator_price_history_http_request_seconds",
    "Time to answer HTTP requests, to the last byte, by route template",
    ["route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


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
            request_seconds.labels(route, status).observe(time.perf_counter() - started)


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
