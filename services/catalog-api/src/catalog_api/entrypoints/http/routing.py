"""What the routes of the API have in common: paths, the id in them, and that nothing unknown is asked for."""

import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Path, Request
from fastapi.routing import APIRoute
from pydantic import BeforeValidator
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response

from http_api import API, RequestRefusedError, pointer

PRODUCTS: Final = f"{API}/products"
BATCH_PATH: Final = f"{PRODUCTS}/batch"
STREAM: Final = f"{API}/stream"
PRODUCT: Final = f"{PRODUCTS}/{{product_id:product_id}}"
ALERTS: Final = f"{API}/alerts"
DRY_RUN: Final = f"{ALERTS}/dry-run"
ALERT: Final = f"{ALERTS}/{{alert_id:alert_id}}"

_CANONICAL: Final = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def canonical_id(raw: str) -> UUID:
    """The UUID that is written as in RFC 9562.

    Raises:
        ValueError: it is none.
    """
    if not _CANONICAL.fullmatch(raw):
        raise ValueError("must be a UUID such as 01936d2e-7c1a-7cc0-8000-5a7b1c2d3e4f")
    return UUID(raw)


CanonicalId = BeforeValidator(canonical_id)
ProductId = Annotated[UUID, CanonicalId, Path(description="A product's id.")]


AlertId = Annotated[UUID, CanonicalId, Path(description="An alert's id.")]


class _Segment(Convertor[str]):
    """A path segment."""

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _ProductIdSegment(_Segment):
    """A path segment, but not `batch`: so `GET /products/batch` is 405 and not an id that is malformed."""

    regex = "(?!batch(?:/|$))[^/]+"


class _AlertIdSegment(_Segment):
    """A path segment, but not `dry-run`, for the same reason."""

    regex = "(?!dry-run(?:/|$))[^/]+"


register_url_convertor("product_id", _ProductIdSegment())
register_url_convertor("alert_id", _AlertIdSegment())


class StrictRoute(APIRoute):
    """A route that refuses query parameters that it does not know."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler behind the check."""
        handle = super().get_route_handler()
        known = {parameter.alias for parameter in self.dependant.query_params}

        async def check(request: Request) -> Response:
            if request.scope["query_string"] and (unknown := sorted(request.query_params.keys() - known)):
                errors = [{"pointer": pointer(("query", name)), "detail": "is not known here"} for name in unknown]
                raise RequestRefusedError(422, f"Unknown query parameters: {', '.join(unknown)}.", errors)
            return await handle(request)

        return check
