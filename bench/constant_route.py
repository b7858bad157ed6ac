"""`catalog-api serve` with one route more, which returns a constant: a program of its own, with the same environment.

The route is declared as those of the API are, and is the first to be looked at, so that what it costs is what every
request costs: the server, the middleware, the framework.
"""

import msgspec
from starlette.responses import Response

from catalog_api import bootstrap
from catalog_api.settings import ServeSettings
from lifecycle import configure_logging, load_settings, serve_http

PATH = "/api/v1/constant"
BODY = msgspec.json.encode({"status": "alive"})


async def constant() -> Response:
    """Always the same."""
    return Response(BODY, media_type="application/json")


def main() -> None:
    """Serve until SIGTERM."""
    settings = load_settings(ServeSettings)
    configure_logging(settings)
    app = bootstrap.http_application(settings)
    app.router.add_api_route(PATH, constant)
    app.router.routes.insert(0, app.router.routes.pop())
    serve_http(app, settings.host, settings.port)


if __name__ == "__main__":
    main()
