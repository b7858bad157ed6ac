"""What the OpenAPI document says beyond the routes' signatures: bodies, problems, headers."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from catalog_api.entrypoints.http import examples, webhook_documentation
from catalog_api.entrypoints.http.alert_schemas import AlertInput, AlertPatch, DryRunInput
from catalog_api.entrypoints.http.bodies import JSON
from catalog_api.entrypoints.http.schemas import BatchInput, Problem, ProductInput, ProductPatch
from catalog_api.entrypoints.http.token_schemas import TokenInput
from catalog_api.entrypoints.http.webhook_schemas import RotationInput, WebhookInput, WebhookPatch
from http_api import MEDIA_TYPE, problem

_REFERENCE: Final = "#/components/schemas/{model}"
_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}, "required": True}
}
_DETAILS: Final = {
    400: "The body is not JSON.",
    401: "A bearer token is required.",
    403: "The token lacks a scope.",
    404: "Nothing has this id.",
    408: "The body did not arrive in time.",
    409: "The first request with this Idempotency-Key is still being handled.",
    412: "The product is at another version than If-Match names.",
    413: "The body is too large.",
    415: "The body's content type is not taken.",
    422: "The request is not valid.",
    429: "Too many requests.",
    503: "A dependency does not answer.",
}

ETAG: Final = {
    "ETag": {"description": "The product's version, for If-Match.", "schema": {"type": "string"}, "required": True}
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that an operation may answer with; 503 is always among them."""
    return {status: _problem_response(status) for status in sorted({*statuses, 503})}


def conflict(detail: str) -> dict[int | str, dict[str, Any]]:
    """409 for what only somebody's doing will change, so that there is no telling when to ask again."""
    return {409: _described(409, detail)}


def _problem_response(status: int) -> dict[str, Any]:
    retry_after = {"headers": _RETRY_AFTER} if status in {409, 429, 503} else {}
    return _described(status, _DETAILS[status]) | retry_after


def _described(status: int, detail: str) -> dict[str, Any]:
    errors = [{"pointer": "/name", "detail": "is required"}] if status == HTTPStatus.UNPROCESSABLE_ENTITY else []
    return {
        "description": detail,
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": _REFERENCE.format(model="Problem")},
                "example": problem(status, detail, errors),
            }
        },
    }


def json_body(model: type[BaseModel], example: Any, *media_types: str, required: bool = True) -> dict[str, Any]:
    """An operation's body."""
    content = {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}, "example": example}
    return {"requestBody": {"required": required, "content": dict.fromkeys(media_types or (JSON,), content)}}


def parameter(name: str, where: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    """An optional parameter that a route reads, or passes on, by itself."""
    return {"name": name, "in": where, "required": False, "schema": schema, "description": description}


def document(app: FastAPI, *, access_required: bool) -> Callable[[], dict[str, Any]]:
    """What makes the application's document, once."""

    def make() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _made(app, access_required=access_required)
        return app.openapi_schema

    return make


def _made(app: FastAPI, *, access_required: bool) -> dict[str, Any]:
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schema["webhooks"] = webhook_documentation.section(_REFERENCE)
    models: list[type[BaseModel]] = [
        *(Problem, ProductInput, ProductPatch, BatchInput, TokenInput, WebhookInput, WebhookPatch, RotationInput),
        *(AlertInput, AlertPatch, DryRunInput),
        *webhook_documentation.models(),
    ]
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCE)
    schema["components"]["schemas"] = dict(sorted((definitions["$defs"] | schema["components"]["schemas"]).items()))
    for operations in schema["paths"].values():
        for operation in operations.values():
            _show_example(operation)
    if access_required:
        _require_access(schema)
    return schema


def _show_example(operation: dict[str, Any]) -> None:
    # Not given to the routes, as FastAPI drops every null of theirs.
    if (example := examples.ANSWERS.get(operation["operationId"])) is not None:
        status = min(operation["responses"])
        operation["responses"][status]["content"][JSON]["example"] = example


def _require_access(schema: dict[str, Any]) -> None:
    schema["components"]["securitySchemes"] = {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "`agg_<id>_<secret>`. Reading needs the scope `read`, changing `write`, tokens and "
            "webhooks `admin`; each contains the ones before.",
        }
    }
    schema["security"] = [{"token": []}]
    refusals = {str(status): _problem_response(status) for status in (401, 403, 429)}
    for status in ("401", "403"):
        refusals[status]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}}
    for operations in schema["paths"].values():
        for operation in operations.values():
            operation["responses"] = dict(sorted((operation["responses"] | refusals).items()))
