"""The requests that hold much for long, of which only some are taken at once."""

from starlette.types import Scope

from catalog_api.entrypoints.http.routing import BATCH_PATH, DRY_RUN, PRODUCTS, STREAM


def is_batch(scope: Scope) -> bool:
    """Whether its body may have 8 MiB."""
    return bool(scope.get("path") == BATCH_PATH)


def is_dry_run(scope: Scope) -> bool:
    """Whether it may read the recorded prices of many products."""
    return bool(scope.get("path") == DRY_RUN)


def may_stream_csv(scope: Scope) -> bool:
    """Whether its answer may be a CSV history, which holds a connection to price-history while the client reads it."""
    return (
        scope["type"] == "http"
        and scope["path"].startswith(f"{PRODUCTS}/")
        and scope["path"].endswith("/history")
        and any(name == b"accept" and b"text/csv" in value.lower() for name, value in scope["headers"])
    )


def is_stream(scope: Scope) -> bool:
    """Whether it is for the stream of events, which has no end."""
    return bool(scope.get("path") == STREAM)
