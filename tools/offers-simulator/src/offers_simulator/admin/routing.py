"""A table of routes for the admin API, and the errors that it answers."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from offers_simulator.http.message import Answer, Request, Response, json_response
from offers_simulator.product_ids import is_uuid_like

T = TypeVar("T")


class BadRequestError(Exception):
    """The request can't be carried out; the message says what is wrong with it."""

    status = 400


class UnknownError(BadRequestError):
    """What the path names does not exist."""

    status = 404


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path whose `{parameter}` segments become the handler's keyword arguments."""

    method: str
    path: str
    handler: Callable[..., Answer]
    summary: str

    def arguments(self, path: str) -> dict[str, str] | None:
        """The parameters, where the path matches."""
        match = re.fullmatch(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", self.path), path)
        return match.groupdict() if match else None


class Routes:
    """Finds the handler for a request and turns what it raises into an answer."""

    def __init__(self, routes: list[Route]) -> None:
        self.routes = routes

    def answer(self, request: Request) -> Answer:
        """The handler's answer; 404, 405 or 400 with `{"error"}` otherwise."""
        matching = [(route, found) for route in self.routes if (found := route.arguments(request.path)) is not None]
        if not matching:
            return error_response(404, f"There is no {request.path}; GET /admin lists what there is")
        for route, arguments in matching:
            if route.method == request.method:
                try:
                    return route.handler(request, **arguments)
                except BadRequestError as error:
                    return error_response(error.status, str(error))
        allowed = ", ".join(route.method for route, _ in matching)
        return error_response(405, f"{request.path} takes {allowed}, not {request.method}", (("Allow", allowed),))


def error_response(status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """`{"error": message}`."""
    return json_response(status, {"error": message}, headers)


def read_body(request: Request, decode: Callable[[bytes], T]) -> T:
    """The decoded body.

    Raises:
        BadRequestError: the decoder refused it.
    """
    try:
        return decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequestError(f"body: {error}") from None


def read_query(request: Request, query_type: type[T]) -> T:
    """The query string as a struct.

    Raises:
        BadRequestError: a parameter is unknown or malformed.
    """
    try:
        return msgspec.convert(request.parameters(), query_type, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequestError(f"query string: {error}") from None


def read_product_id(text: str) -> str:
    """A product id in lower case.

    Raises:
        BadRequestError: it is not written as a UUID.
    """
    if not is_uuid_like(text):
        raise BadRequestError(f"product id {text[:100]!r} is not a UUID")
    return text.lower()
