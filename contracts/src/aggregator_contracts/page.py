"""Renders the AsyncAPI document as one HTML page that needs nothing else: no script, no file, no other host."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

_markdown: Final = MarkdownIt("commonmark", {"html": False})
_templates: Final = Environment(
    loader=PackageLoader("aggregator_contracts", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_templates.filters["markdown"] = lambda text: Markup(_markdown.render(text))  # noqa: S704 - lets no HTML through
_templates.filters["words"] = lambda text: Markup(_markdown.renderInline(text))  # noqa: S704 - lets no HTML through
_templates.filters["json"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)


@dataclass(frozen=True)
class Field:
    """A row of an event's table."""

    path: str
    type: str
    required: bool
    about: str


def page(document: dict[str, Any]) -> str:
    """The page of a document that `asyncapi_document` made."""
    schemas = document["components"]["schemas"]
    events = [
        {
            **document["components"]["messages"][name],
            "key": key,
            "exchange": channel["bindings"]["amqp"]["exchange"],
            "fields": list(_fields(schemas[name], schemas)),
            "operations": [
                operation for operation in document["operations"].values() if operation["channel"] == _channel(key)
            ],
        }
        for key, channel in document["channels"].items()
        for name in channel["messages"]
    ]
    properties = document["components"]["messageTraits"]["cloudEvent"]["x-amqp-properties"]
    return _templates.get_template("asyncapi.html.jinja").render(
        info=document["info"],
        servers=document["servers"].values(),
        account=document["components"]["securitySchemes"]["account"],
        properties=list(_fields(properties, {})),
        events=events,
    )


def _channel(key: str) -> dict[str, str]:
    return {"$ref": f"#/channels/{key}"}


def _fields(schema: dict[str, Any], schemas: dict[str, Any], path: str = "") -> Iterator[Field]:
    """The fields of an object and of what it holds, depth first, each with its whole path."""
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        resolved, suffix = _resolved(field, schemas), ""
        about = resolved.get("description", "")
        yield Field(path + name, _type(resolved, schemas), name in required, field.get("description", about))
        if resolved.get("type") == "array":
            resolved, suffix = _resolved(resolved["items"], schemas), "[]"
        if "properties" in resolved:
            yield from _fields(resolved, schemas, f"{path}{name}{suffix}.")


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """The schema that a reference leads to; what is no reference, or may be null beside something else, as that."""
    if "$ref" in schema:
        resolved: dict[str, Any] = schemas[schema["$ref"].rpartition("/")[2]]
        return resolved
    return schema


def _type(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    """In a word or two, with its bounds."""
    if "const" in schema:
        return json.dumps(schema["const"])
    if "anyOf" in schema:
        return " or ".join(_type(_resolved(choice, schemas), schemas) for choice in schema["anyOf"])
    if schema["type"] == "array":
        return (
            f"array of {_type(_resolved(schema['items'], schemas), schemas)}s{_bounds(schema, 'minItems', 'maxItems')}"
        )
    kind = schema.get("format", schema["type"])
    return f"{kind}{_bounds(schema, 'minimum', 'maximum')}{_bounds(schema, 'minLength', 'maxLength', ' characters')}"


def _bounds(schema: dict[str, Any], lowest: str, highest: str, unit: str = "") -> str:
    if lowest not in schema and highest not in schema:
        return ""
    return (
        f", {schema.get(lowest, 0):,} to {schema[highest]:,}{unit}" if highest in schema else f", from {schema[lowest]}"
    )
