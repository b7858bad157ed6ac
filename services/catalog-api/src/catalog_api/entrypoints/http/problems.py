"""The one place that says which of the catalog's errors is which HTTP status."""

from collections.abc import Mapping
from typing import Final

from catalog_api.domain.errors import (
    DatabaseUnavailableError,
    IdempotencyKeyInFlightError,
    IdempotencyKeyReusedError,
    InvalidCursorError,
    PriceHistoryUnavailableError,
    ProductNotFoundError,
    TokenNotFoundError,
    VersionMismatchError,
)
from http_api import Answer, fixed, problem_response, unavailable

ANSWERS: Final[Mapping[type[Exception], Answer]] = {
    ProductNotFoundError: lambda _, error: problem_response(404, f"There is no product {error.product_id}."),
    TokenNotFoundError: lambda _, error: problem_response(404, f"There is no token {error.token_id} to revoke."),
    VersionMismatchError: lambda _, error: problem_response(
        412, f"The product is at version {error.version}, which If-Match does not name."
    ),
    InvalidCursorError: lambda _, error: problem_response(
        422, "The request is not valid.", [{"pointer": "/query/cursor", "detail": str(error)}]
    ),
    IdempotencyKeyReusedError: fixed(422, "This Idempotency-Key was used with another request."),
    IdempotencyKeyInFlightError: lambda _, __: problem_response(
        409, "The first request with this Idempotency-Key is still being handled.", headers={"Retry-After": "1"}
    ),
    DatabaseUnavailableError: unavailable("the database"),
    PriceHistoryUnavailableError: unavailable("price-history"),
}
