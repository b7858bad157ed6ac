"""Puts the HTTP application together."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from fastapi import FastAPI

from catalog_api.entrypoints.http.body_limit import BodyLimit
from catalog_api.entrypoints.http.changing import add_changing_routes
from catalog_api.entrypoints.http.creation import add_creation_routes
from catalog_api.entrypoints.http.forwarding import add_forwarding_routes
from catalog_api.entrypoints.http.openapi import document
from catalog_api.entrypoints.http.problems import ANSWERS
from catalog_api.entrypoints.http.reading import add_reading_routes
from catalog_api.entrypoints.http.routing import StrictRoute
from catalog_api.settings import ServeSettings
from catalog_api.use_cases.catalog import Catalog
from http_api import Closed, InFlightLimit, Measured, add_problem_handlers, request_histogram
from lifecycle import Readiness, health_routes

REQUEST_SECONDS: Final = request_histogram("aggregator_catalog_http_request_seconds")
DESCRIPTION: Final = "Products, the offers for them, and how their prices move. Errors are RFC 9457 problems."


def create_application(
    catalog: Catalog,
    readiness: Readiness,
    lifespan: Callable[[], AbstractAsyncContextManager[None]],
    settings: ServeSettings,
) -> FastAPI:
    """The application; `lifespan` holds open what it needs while it serves."""

    @asynccontextmanager
    async def around(_: FastAPI) -> AsyncIterator[None]:
        async with lifespan():
            yield

    app = FastAPI(
        title="Product aggregator",
        version="0.1.0",
        description=DESCRIPTION,
        lifespan=around,
        redirect_slashes=False,
        redoc_url=None,
    )
    app.router.routes.extend(health_routes(readiness))
    app.router.route_class = StrictRoute
    add_creation_routes(app.router, catalog)
    add_reading_routes(app.router, catalog)
    add_changing_routes(app.router, catalog)
    add_forwarding_routes(app.router, catalog)
    add_problem_handlers(app, ANSWERS)
    app.add_middleware(BodyLimit, seconds=settings.http_body_seconds)
    app.add_middleware(InFlightLimit, limit=settings.http_max_requests_in_flight)
    access_required = settings.api_auth == "required"
    if access_required:
        app.add_middleware(Closed)
    app.add_middleware(Measured, seconds=REQUEST_SECONDS)
    app.openapi = document(app, access_required=access_required)  # type: ignore[method-assign]
    return app
