"""What the OpenAPI document says beyond the routes' signatures: the problems."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from http_api import MEDIA_TYPE
from price_history.entrypoints.http.schemas import Problem

_REFERENCE: Final = "#/components/schemas/{model}"
_RETRY_AFTER: Final = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}, "required": True}

_TO_BE_TRIED_AGAIN: Final = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}

PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(model=Problem.__name__)}}},
        **({"headers": {"Retry-After": _RETRY_AFTER}} if status in _TO_BE_TRIED_AGAIN else {}),
    }
    for status, description in {
        401: "A bearer token is required.",
        404: "There is no such product or offer.",
        422: "The request is not valid.",
        429: "Too many requests without the right token.",
        503: "The database does not answer; try again.",
    }.items()
}


def document(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """What makes the application's document, once."""

    def make() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            _, definitions = models_json_schema([(Problem, "serialization")], ref_template=_REFERENCE)
            schemas = {**made["components"]["schemas"], **definitions["$defs"]}
            # FastAPI's own forms of validation errors, which no answer here has.
            unused = {"HTTPValidationError", "ValidationError"}
            made["components"]["schemas"] = {name: schemas[name] for name in sorted(schemas.keys() - unused)}
            app.openapi_schema = made
        return app.openapi_schema

    return make
