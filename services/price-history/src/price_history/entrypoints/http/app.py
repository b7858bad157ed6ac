"""The HTTP application."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from lifecycle import Readiness, health_routes
from price_history.entrypoints.http.history import history_router
from price_history.entrypoints.http.middleware import Closed, Measured
from price_history.entrypoints.http.openapi import document
from price_history.entrypoints.http.problems import add_problem_handlers
from price_history.use_cases.read_history import ReadHistory
from price_history.use_cases.read_trend import ReadTrend


def create_app(
    *,
    read_trend: ReadTrend,
    read_history: ReadHistory,
    readiness: Readiness,
    close: Callable[[], Awaitable[None]],
    access_required: bool,
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
    if access_required:
        app.add_middleware(Closed)
    app.add_middleware(Measured)
    add_problem_handlers(app)
    app.router.routes.extend(health_routes(readiness))
    app.include_router(history_router(read_trend, read_history))
    app.openapi = document(app)  # type: ignore[method-assign]
    return app
