"""RFC 9457 problems, and the one place that says which error is which HTTP status."""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from price_history.db.engine import DatabaseUnavailableError
from price_history.domain.errors import InvalidParameterError, UnknownOfferError, UnknownProductError

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 2
# As in RFC 9110; the standard library has it from Python 3.13 on.
_TITLES: Final = {422: "Unprocessable Content"}

_log = structlog.get_logger()

Errors = Sequence[Mapping[str, str]]


def problem(status: int, detail: str, errors: Errors = ()) -> dict[str, Any]:
    """The problem as JSON data."""
    title = _TITLES.get(status, HTTPStatus(status).phrase)
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status}
    body["detail"] = detail
    if errors:
        body["errors"] = errors
    return body


def problem_response(
    status: int, detail: str, errors: Errors = (), headers: Mapping[str, str] | None = None
) -> Response:
    """The problem as an answer."""
    return Response(msgspec.json.encode(problem(status, detail, errors)), status, headers, MEDIA_TYPE)


def _invalid(parameter: str, detail: str) -> Response:
    return problem_response(422, "The request is not valid.", [{"pointer": f"/query/{parameter}", "detail": detail}])


def _not_valid(_: Request, error: Any) -> Response:
    errors = [{"pointer": _pointer(e["loc"]), "detail": _PLAIN.get(e["type"]) or e["msg"]} for e in error.errors()]
    return problem_response(422, "The request is not valid.", errors)


_PLAIN: Final = {"extra_forbidden": "is not known here"}


def _pointer(location: Sequence[str | int]) -> str:
    # What a client sends may hold lone surrogates, which are no UTF-8.
    parts = (str(part).encode("utf-8", "replace").decode() for part in location)
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in parts)


def _http(_: Request, error: Any) -> Response:
    status = HTTPStatus(error.status_code)
    detail = {404: "There is nothing here.", 405: "This is only to be read: GET."}.get(status, str(error.detail))
    return problem_response(status, detail, headers=error.headers)


def _unavailable(_: Request, error: Any) -> Response:
    _log.warning("database_unavailable", reason=str(error))
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return problem_response(503, "The database does not answer; try again.", headers=headers)


def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("request_failed", method=request.method, error=type(error).__name__)
    return problem_response(500, "Something went wrong on our side.")


def _not_found(what: str) -> Callable[[Request, Any], Response]:
    return lambda _, __: problem_response(404, f"There is no such {what}.")


_ANSWERS: Final[Mapping[type[Exception], Callable[[Request, Any], Response]]] = {
    RequestValidationError: _not_valid,
    InvalidParameterError: lambda _, error: _invalid(error.parameter, error.detail),
    UnknownProductError: _not_found("product"),
    UnknownOfferError: _not_found("offer"),
    HTTPException: _http,
    DatabaseUnavailableError: _unavailable,
    Exception: _unexpected,
}


def add_problem_handlers(app: FastAPI) -> None:
    """Have every error answered with a problem."""
    for kind, answer in _ANSWERS.items():
        app.add_exception_handler(kind, answer)
