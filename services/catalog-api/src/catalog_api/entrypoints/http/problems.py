"""RFC 9457 problems, and the one place that says which error is which HTTP status."""

import json
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from catalog_api.domain.errors import (
    CatalogError,
    DatabaseUnavailableError,
    IdempotencyKeyInFlightError,
    IdempotencyKeyReusedError,
    InvalidCursorError,
    PriceHistoryUnavailableError,
    ProductNotFoundError,
    VersionMismatchError,
)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 2
# As in RFC 9110; the standard library has them from Python 3.13 on.
_TITLES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}

_log = structlog.get_logger()


class RequestRefusedError(Exception):
    """A request that is refused before any use case sees it.

    Args:
        status: the HTTP status.
        detail: a sentence for the client.
        errors: for validation, what is wrong where.
    """

    def __init__(self, status: int, detail: str, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors


def problem(status: int, detail: str, errors: Sequence[Mapping[str, str]] = ()) -> dict[str, Any]:
    """The problem as JSON data."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(status) or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = list(errors)
    return body


def problem_response(
    status: int,
    detail: str,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The problem as an answer."""
    # What is quoted of the request may hold lone surrogates, which are no UTF-8.
    body = json.dumps(problem(status, detail, errors), ensure_ascii=False).encode("utf-8", "replace")
    return Response(body, status, headers, MEDIA_TYPE)


def pointer(location: Sequence[str | int]) -> str:
    """A JSON pointer (RFC 6901) to the part of a request at `location`."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in location)


_PLAIN: Final = {
    "extra_forbidden": "is not known here",
    "missing": "is required",
    "model_type": "must be a JSON object",
    "string_type": "must be a string",
}
"""What pydantic words for programmers."""


def validation_errors(errors: Sequence[Any]) -> list[dict[str, str]]:
    """The contract's errors for pydantic's: parts of the body are `/name`, others `/query/limit` and the like."""
    return [
        {
            "pointer": pointer(error["loc"][1:] if error["loc"][:1] == ("body",) else error["loc"]),
            "detail": _PLAIN.get(error["type"]) or error["msg"].removeprefix("Value error, "),
        }
        for error in errors
    ]


def _refused(_: Request, error: Any) -> Response:
    return problem_response(error.status, error.detail, error.errors)


def _invalid(_: Request, error: Any) -> Response:
    errors = validation_errors(error.errors())
    return problem_response(422, "The request is not valid.", errors)


def _http(request: Request, error: Any) -> Response:
    status = HTTPStatus(error.status_code)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        allow = ", ".join(allowed_methods(request))
        detail = f"{request.method} is not allowed here; {allow} is."
        return problem_response(status, detail, headers={"Allow": allow})
    detail = "Nothing is here." if status == HTTPStatus.NOT_FOUND else str(error.detail)
    return problem_response(status, detail, headers=error.headers)


def allowed_methods(request: Request) -> list[str]:
    """The methods of every route with this path; each route by itself knows of its own only."""
    routes = (route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE)
    return sorted({method for route in routes for method in getattr(route, "methods", None) or ()})


def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("request_failed", method=request.method, error=type(error).__name__)
    return problem_response(500, "Something went wrong on our side.")


def _unavailable(what: str) -> Callable[[Request, Any], Response]:
    def answer(_: Request, error: Any) -> Response:
        _log.warning("dependency_unavailable", dependency=what, reason=str(error))
        return problem_response(
            503, f"{what.capitalize()} does not answer; try again.", headers={"Retry-After": str(RETRY_AFTER_SECONDS)}
        )

    return answer


def _fixed(status: int, detail: str) -> Callable[[Request, Any], Response]:
    return lambda _, __: problem_response(status, detail)


_ANSWERS: Final[Mapping[type[Exception], Callable[[Request, Any], Response]]] = {
    RequestRefusedError: _refused,
    RequestValidationError: _invalid,
    HTTPException: _http,
    ClientDisconnect: _fixed(400, "The body broke off."),
    ProductNotFoundError: lambda _, error: problem_response(404, f"There is no product {error.product_id}."),
    VersionMismatchError: lambda _, error: problem_response(
        412, f"The product is at version {error.version}, which If-Match does not name.", headers=None
    ),
    InvalidCursorError: lambda _, error: problem_response(
        422, "The request is not valid.", [{"pointer": "/query/cursor", "detail": str(error)}]
    ),
    IdempotencyKeyReusedError: _fixed(422, "This Idempotency-Key was used with another request."),
    IdempotencyKeyInFlightError: lambda _, __: problem_response(
        409, "The first request with this Idempotency-Key is still being handled.", headers={"Retry-After": "1"}
    ),
    DatabaseUnavailableError: _unavailable("the database"),
    PriceHistoryUnavailableError: _unavailable("price-history"),
    CatalogError: _unexpected,
    Exception: _unexpected,
}


def add_problem_handlers(app: FastAPI) -> None:
    """Have every error answered with a problem."""
    for kind, answer in _ANSWERS.items():
        app.add_exception_handler(kind, answer)
