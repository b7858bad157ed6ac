"""The HTTP application."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI

from http_api import Closed, InFlightLimit, Measured, add_problem_handlers, request_histogram
from lifecycle import Readiness, health_routes
from price_history.entrypoints.http.history import history_router
from price_history.entrypoints.http.openapi import document
from price_history.entrypoints.http.problems import ANSWERS
from price_history.settings import ServeSettings
from price_history.use_cases.read_history import ReadHistory
from price_history.use_cases.read_trend import ReadTrend

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
    if settings.api_auth == "required":
        app.add_middleware(Closed)
    app.add_middleware(InFlightLimit, limit=settings.http_max_requests_in_flight)
    app.add_middleware(Measured, seconds=REQUEST_SECONDS)
    add_problem_handlers(app, ANSWERS)
    app.router.routes.extend(health_routes(readiness))
    app.include_router(history_router(read_trend, read_history))
    app.openapi = document(app)  # type: ignore[method-assign]
    return app
