"""The HTTP application."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Final

import structlog
from fastapi import FastAPI

from http_api import (
    AccessGate,
    HeadAsGet,
    InFlightLimit,
    Limits,
    Measured,
    RateLimit,
    SecurityHeaders,
    add_problem_handlers,
    request_histogram,
)
from lifecycle import Readiness, health_routes
from price_history.entrypoints.http.access import SharedSecretCheck, needed_scope
from price_history.entrypoints.http.history import add_history_routes
from price_history.entrypoints.http.openapi import document
from price_history.entrypoints.http.problems import ANSWERS
from price_history.settings import ServeSettings
from price_history.use_cases.read_history import ReadHistory
from price_history.use_cases.read_trend import ReadTrend

_log = structlog.get_logger()

REQUEST_SECONDS: Final = request_histogram("aggregator_price_history_http_request_seconds")


def create_app(
    *,
    read_trend: ReadTrend,
    read_history: ReadHistory,
    readiness: Readiness,
    close: Callable[[], Awaitable[None]],
    settings: ServeSettings,
) -> FastAPI:
    """The application; `close` is awaited when it stops."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await close()

    app = FastAPI(
        title="price-history",
        version=version("price-history"),
        description="Keeps the history of every price and computes trends.",
        lifespan=lifespan,
        redirect_slashes=False,
        redoc_url=None,
    )
    app.add_middleware(HeadAsGet)
    if settings.api_auth == "required":
        _add_access(app, settings)
    app.add_middleware(InFlightLimit, limit=settings.http_max_requests_in_flight)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Measured, seconds=REQUEST_SECONDS)
    add_problem_handlers(app, ANSWERS)
    add_history_routes(app.router, read_trend, read_history)
    app.router.routes.extend(health_routes(readiness))
    app.openapi = document(app)  # type: ignore[method-assign]
    return app


def _add_access(app: FastAPI, settings: ServeSettings) -> None:
    if settings.price_history_token is None:
        _log.warning("nobody_is_let_in", reason="API_AUTH=required, and no PRICE_HISTORY_TOKEN")
    failures = settings.unauthenticated_rate_limit_per_minute
    app.add_middleware(
        AccessGate,
        credentials=SharedSecretCheck(settings.price_history_token),
        needed_scope=needed_scope,
        limits=Limits(strangers=RateLimit("address", failures) if failures else None),
    )
