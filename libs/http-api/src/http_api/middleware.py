"""What surrounds every request: its measure, the limit on those in flight, HEAD."""

import time
from collections.abc import Callable
from typing import Final

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from http_api.problems import problem_response

API: Final = "/api/v1"
EVENT_STREAM: Final = "text/event-stream"
_STREAM: Final = EVENT_STREAM.encode()
OVERLOADED_RETRY_AFTER_SECONDS: Final = 1
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def request_histogram(name: str) -> Histogram:
    """The histogram for `Measured`, in seconds."""
    return Histogram(
        name,
        "Time to answer HTTP requests, to the last byte, by route template",
        ["method", "route", "status"],
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    )


class Measured:
    """Counts and times requests by route template, so that no id becomes a label.

    A stream of events is timed to its beginning: how long it goes on is for its client to say.
    """

    def __init__(self, app: ASGIApp, *, seconds: Histogram) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = "none"
        ended: float | None = None

        async def watch(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = str(message["status"])
                if any(name == b"content-type" and value.startswith(_STREAM) for name, value in message["headers"]):
                    ended = time.perf_counter()
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            route = getattr(scope.get("route"), "path_format", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._seconds.labels(method, route, status).observe((ended or time.perf_counter()) - started)


class HeadAsGet:
    """Answers HEAD as GET (RFC 9110, section 9.3.2), wherever there is a GET; the server leaves the body out.

    A body of several parts is over with the first of them: to whoever makes it the client has gone.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        over = False

        async def send_head(message: Message) -> None:
            nonlocal over
            if over:
                return
            over = message["type"] == "http.response.body"
            await send({**message, "more_body": False} if over else message)

        # A copy, as the server looks at its own scope for the method.
        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send_head)
        finally:
            scope["route"] = asked.get("route")


def is_for_api(scope: Scope) -> bool:
    """Whether it is a request to the API, and not one for health, metrics or documentation, which are open."""
    return scope["type"] == "http" and f"{scope['path']}/".startswith(f"{API}/")


class InFlightLimit:
    """Answers 503 with Retry-After, at once, what comes while `limit` requests of a kind are in flight.

    So a client that sends more than can be answered costs neither memory nor the time of those who are being answered.

    Args:
        limit: how many are taken.
        kind: what they are called.
        counts: which ones they are; by default all to the API. Health and metrics are always served.
    """

    def __init__(
        self, app: ASGIApp, *, limit: int, kind: str = "requests", counts: Callable[[Scope], bool] = is_for_api
    ) -> None:
        self._app = app
        self._limit = limit
        self._kind = kind
        self._counts = counts
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if not self._counts(scope):
            await self._app(scope, receive, send)
            return
        if self._in_flight >= self._limit:
            answer = problem_response(
                503,
                f"{self._limit} {self._kind} are being answered, as many as this server takes; try again.",
                headers={"Retry-After": str(OVERLOADED_RETRY_AFTER_SECONDS)},
            )
            await answer(scope, receive, send)
            return
        self._in_flight += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_flight -= 1
