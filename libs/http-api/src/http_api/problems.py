"""RFC 9457 problems, and how the errors that every API meets are answered."""

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

from http_api.security_headers import API_HEADERS

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 2
# As in RFC 9110; the standard library has them from Python 3.13 on.
_TITLES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}

_log = structlog.get_logger()

Answer = Callable[[Request, Any], Response]
"""How an error of one kind is answered."""


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


_WHOLE: Final = "must be a whole number"
_NUMBER: Final = "must be a number"
_OBJECT: Final = "must be a JSON object"
_PLAIN: Final = {
    "bool_type": "must be true or false",
    "enum": "must be {expected}",
    "extra_forbidden": "is not known here",
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": _WHOLE,
    "int_parsing": _WHOLE,
    "int_type": _WHOLE,
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "missing": "is required",
    "model_attributes_type": _OBJECT,
    "model_type": _OBJECT,
    "string_type": "must be a string",
    "union_tag_invalid": "must be one of {expected_tags}",
    "union_tag_not_found": "is required",
}
"""What pydantic words for programmers, by its types of errors; in braces what an error has in its context."""


def validation_errors(errors: Sequence[Any]) -> list[dict[str, str]]:
    """The contract's errors for pydantic's: parts of the body are `/name`, others `/query/limit` and the like."""
    return [{"pointer": pointer(_location(error)), "detail": _detail(error)} for error in errors]


def _location(error: Any) -> tuple[str | int, ...]:
    location: tuple[str | int, ...] = tuple(error["loc"])
    if error["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        location += (error["ctx"]["discriminator"].strip("'"),)  # what is wrong is not the whole, but what says which
    return location[1:] if location[:1] == ("body",) else location


def _detail(error: Any) -> str:
    plain = _PLAIN.get(error["type"])
    return error["msg"].removeprefix("Value error, ") if plain is None else plain.format_map(error.get("ctx", {}))


def unavailable(what: str) -> Answer:
    """503 with Retry-After: a dependency, named as in "the database", does not answer."""

    def answer(_: Request, error: Any) -> Response:
        _log.warning("dependency_unavailable", dependency=what, reason=str(error))
        return problem_response(
            503, f"{what.capitalize()} does not answer; try again.", headers={"Retry-After": str(RETRY_AFTER_SECONDS)}
        )

    return answer


def fixed(status: int, detail: str) -> Answer:
    """The same problem each time."""
    return lambda _, __: problem_response(status, detail)


def _refused(_: Request, error: Any) -> Response:
    return problem_response(error.status, error.detail, error.errors)


def _invalid(_: Request, error: Any) -> Response:
    return problem_response(422, "The request is not valid.", validation_errors(error.errors()))


def _http(request: Request, error: Any) -> Response:
    status = HTTPStatus(error.status_code)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        methods = _allowed_methods(request) | set(error.headers["Allow"].split(", "))
        allow = ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))
        detail = f"{request.method} is not allowed here; {allow} is."
        return problem_response(status, detail, headers={"Allow": allow})
    detail = "Nothing is here." if status == HTTPStatus.NOT_FOUND else str(error.detail)
    return problem_response(status, detail, headers=error.headers)


def _allowed_methods(request: Request) -> set[str]:
    """The methods of every route with this path; the one that refused the request told only of its own."""
    routes = (route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE)
    return {method for route in routes for method in getattr(route, "methods", None) or ()}


def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("request_failed", method=request.method, error=type(error).__name__)
    # Starlette answers this one outside of every middleware of ours.
    headers = {name.decode(): value.decode() for name, value in API_HEADERS}
    return problem_response(500, "Something went wrong on our side.", headers=headers)


_ANSWERS: Final[Mapping[type[Exception], Answer]] = {
    RequestRefusedError: _refused,
    RequestValidationError: _invalid,
    HTTPException: _http,
    ClientDisconnect: fixed(400, "The body broke off."),
    Exception: _unexpected,
}


def add_problem_handlers(app: FastAPI, answers: Mapping[type[Exception], Answer]) -> None:
    """Have every error answered with a problem: those that only this API knows as `answers` says."""
    for kind, answer in {**_ANSWERS, **answers}.items():
        app.add_exception_handler(kind, answer)
