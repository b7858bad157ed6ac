"""From the bytes of a request's body to what a use case takes, refusing what is not exactly that."""

import json
from collections.abc import Collection
from typing import Any, Final, Never, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from http_api import RequestRefusedError, validation_errors

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"

M = TypeVar("M", bound=BaseModel)


async def read_json(request: Request, media_types: Collection[str] = (JSON,)) -> Any:
    """The body's JSON value.

    Raises:
        RequestRefusedError: 415 for another content type or charset, 400 for what is not JSON in UTF-8.
    """
    media_type, *parameters = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    charsets = {part.removeprefix("charset=").strip('"') for part in parameters if part.startswith("charset=")}
    if media_type not in media_types or not charsets <= {"utf-8", "utf8"}:
        raise RequestRefusedError(415, f"The body must be {' or '.join(media_types)} in UTF-8.")
    return decode_json(await request.body())


def decode_json(body: bytes) -> Any:
    """The JSON value of `body`. Lone surrogates are let through, to be refused where they stand.

    Raises:
        RequestRefusedError: 400, it is not JSON (RFC 8259), not UTF-8, or nested too deeply.
    """
    try:
        return json.loads(body.decode(), parse_constant=_refuse_constant)
    except RecursionError:
        raise RequestRefusedError(400, "The body is nested too deeply.") from None
    except UnicodeDecodeError:
        raise RequestRefusedError(400, "The body is not UTF-8.") from None
    except ValueError as error:
        raise RequestRefusedError(400, f"The body is not JSON: {error}.") from None


def validated(model: type[M], value: Any) -> M:
    """The value as `model`.

    Raises:
        RequestRefusedError: 422, with a pointer to everything that is wrong.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise RequestRefusedError(422, "The body is not valid.", errors_of(error, model)) from None


def errors_of(error: ValidationError, model: type[BaseModel]) -> list[dict[str, str]]:
    """What is wrong where with a body that is no `model`, for a problem."""
    unions = {field.alias or name for name, field in model.model_fields.items() if field.discriminator is not None}

    def place(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
        # Within a union pydantic names the member that was chosen, which is no part of the body.
        return (location[0], *location[2:]) if location[:1] and location[0] in unions else location

    found = error.errors(include_url=False, include_input=False)
    return validation_errors([{**one, "loc": ("body", *place(one["loc"]))} for one in found])


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is no JSON number")
