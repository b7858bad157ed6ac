"""Puts the HTTP application together."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from catalog_api.entrypoints.http.access import needed_scope
from catalog_api.entrypoints.http.alerts import add_alert_routes
from catalog_api.entrypoints.http.body_limit import BodyLimit
from catalog_api.entrypoints.http.changing import add_changing_routes
from catalog_api.entrypoints.http.costly import is_batch, is_dry_run, is_stream, may_stream_csv
from catalog_api.entrypoints.http.creation import add_creation_routes
from catalog_api.entrypoints.http.event_documentation import event_documentation_routes
from catalog_api.entrypoints.http.forwarding import add_forwarding_routes
from catalog_api.entrypoints.http.openapi import document
from catalog_api.entrypoints.http.problems import ANSWERS
from catalog_api.entrypoints.http.reading import add_reading_routes
from catalog_api.entrypoints.http.routing import StrictRoute
from catalog_api.entrypoints.http.streaming import Streams, add_stream_route
from catalog_api.entrypoints.http.tokens import add_token_routes
from catalog_api.entrypoints.http.webhooks import add_webhook_routes
from catalog_api.settings import TOKEN_REQUESTS_PER_MINUTE, ServeSettings
from catalog_api.use_cases.catalog import Catalog
from http_api import (
    EVENT_DOCUMENTATION,
    AccessGate,
    AddressLimit,
    Credentials,
    HeadAsGet,
    InFlightLimit,
    Limits,
    Measured,
    RateLimit,
    SecurityHeaders,
    add_problem_handlers,
    is_for_api,
    request_histogram,
    still_granted,
)
from lifecycle import Readiness, health_routes

REQUEST_SECONDS: Final = request_histogram("aggregator_catalog_http_request_seconds")
MAX_DRY_RUNS: Final = 4
"""Dry runs at once: each keeps this process and price-history busy for up to ten seconds."""
DESCRIPTION: Final = (
    "Products, the offers for them, and how their prices move. Errors are RFC 9457 problems. "
    f"What other systems may subscribe to: [the events]({EVENT_DOCUMENTATION})."
)


def create_application(
    catalog: Catalog,
    credentials: Credentials,
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
        version=version("catalog-api"),
        description=DESCRIPTION,
        lifespan=around,
        redirect_slashes=False,
        redoc_url=None,
    )
    app.router.route_class = StrictRoute
    add_reading_routes(app.router, catalog)
    add_creation_routes(app.router, catalog)
    add_changing_routes(app.router, catalog)
    add_forwarding_routes(app.router, catalog)
    add_alert_routes(app.router, catalog)
    access_required = settings.api_auth == "required"
    add_token_routes(app.router, catalog.tokens, access_required=access_required)
    add_webhook_routes(app.router, catalog.webhooks)
    granted = partial(still_granted, credentials=credentials, needed_scope=needed_scope) if access_required else None
    add_stream_route(app.router, catalog.follow, Streams(settings.stream_heartbeat_seconds, granted))
    app.router.routes.extend([*health_routes(readiness), *event_documentation_routes()])
    add_problem_handlers(app, ANSWERS)
    # The last one that is added is the first to see a request.
    app.add_middleware(HeadAsGet)
    app.add_middleware(BodyLimit, seconds=settings.http_body_seconds)
    app.add_middleware(InFlightLimit, limit=settings.http_max_batches_in_flight, kind="batches", counts=is_batch)
    app.add_middleware(
        InFlightLimit, limit=settings.http_max_csv_in_flight, kind="CSV histories", counts=may_stream_csv
    )
    app.add_middleware(InFlightLimit, limit=MAX_DRY_RUNS, kind="dry runs", counts=is_dry_run)
    _add_access(app, credentials, settings)
    app.add_middleware(
        InFlightLimit,
        limit=settings.http_max_requests_in_flight,
        counts=lambda scope: is_for_api(scope) and not is_stream(scope),
    )
    app.add_middleware(InFlightLimit, limit=settings.http_max_streams, kind="streams", counts=is_stream)
    if settings.cors_allowed_origins:
        _add_cors(app, settings.cors_allowed_origins)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Measured, seconds=REQUEST_SECONDS)
    app.openapi = document(app, access_required=access_required)  # type: ignore[method-assign]
    return app


def _add_access(app: FastAPI, credentials: Credentials, settings: ServeSettings) -> None:
    per_minute = settings.rate_limit_per_minute
    if settings.api_auth == "required":
        app.add_middleware(
            AccessGate,
            credentials=credentials,
            needed_scope=needed_scope,
            limits=Limits(
                holders=_limit("token", TOKEN_REQUESTS_PER_MINUTE if per_minute is None else per_minute),
                strangers=_limit("address", settings.unauthenticated_rate_limit_per_minute),
            ),
        )
    elif (limit := _limit("address", per_minute or 0)) is not None:
        app.add_middleware(AddressLimit, limit=limit)


def _limit(name: str, per_minute: int) -> RateLimit | None:
    return RateLimit(name, per_minute) if per_minute else None


def _add_cors(app: FastAPI, origins: Sequence[str]) -> None:
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Last-Event-ID"],
        expose_headers=["ETag", "Idempotency-Replayed", "Location", "RateLimit", "RateLimit-Policy", "Retry-After"],
    )
