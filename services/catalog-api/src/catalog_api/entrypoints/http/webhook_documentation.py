"""The section `webhooks` of the OpenAPI document: what is posted to the webhooks of others."""

from typing import Any, Final

from pydantic import BaseModel

from catalog_api.domain.webhooks import TEST_TYPE
from catalog_api.entrypoints.http import examples
from catalog_api.entrypoints.http.alert_schemas import AlertFired
from catalog_api.entrypoints.http.bodies import JSON
from catalog_api.entrypoints.http.webhook_schemas import TestMessage
from catalog_api.use_cases.fire_alerts import FIRED

MESSAGES: Final[dict[str, tuple[type[BaseModel], str, dict[str, Any]]]] = {
    FIRED: (AlertFired, "Sent when an alert fires.", examples.ALERT_FIRED),
    TEST_TYPE: (TestMessage, "Sent when somebody asks for a test.", examples.TEST_MESSAGE),
}
"""By type: the body, when it is sent, and an example."""

_ID: Final = """\
The message's id, the same however often it is sent. A message may come more than once: drop what you have seen."""
_TIMESTAMP: Final = """\
When it was sent, seconds since 1970. Refuse what is older than five minutes, or whoever recorded a message can send it
to you again."""
_SIGNATURE: Final = """\
`v1,` and the HMAC-SHA256, in base64, of `{webhook-id}.{webhook-timestamp}.{body}` under the secret's bytes (base64
after `whsec_`). While a secret is being changed there are two, separated by a space: one that fits is enough."""
_HEADERS: Final = {
    "webhook-id": (_ID, {"type": "string", "format": "uuid"}, examples.DELIVERY["id"]),
    "webhook-timestamp": (_TIMESTAMP, {"type": "string", "pattern": "^[0-9]+$"}, "1795417200"),
    "webhook-signature": (_SIGNATURE, {"type": "string"}, "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
}
_STANDARD: Final = "Signed by [Standard Webhooks](https://www.standardwebhooks.com): use one of its libraries."
_RESPONSES: Final = {
    "2XX": {"description": "Taken. Answer at once and work afterwards: there are 15 seconds."},
    "410": {"description": "You want nothing any more: the webhook is disabled."},
    "default": {
        "description": "Anything else, a redirection too, is a failure: the message is sent again after 5 s, then "
        "after ever longer, over a day. `Retry-After` is honoured up to an hour."
    },
}


def models() -> list[type[BaseModel]]:
    """The bodies that the section names."""
    return [model for model, _, _ in MESSAGES.values()]


def section(reference: str) -> dict[str, Any]:
    """The section; `reference` makes of `model` the reference to a schema."""
    return {
        type_: {
            "post": {
                "tags": ["webhooks"],
                "summary": summary,
                "operationId": f"receive {type_}",
                "description": _STANDARD,
                "security": [],
                "parameters": [
                    {
                        "name": name,
                        "in": "header",
                        "required": True,
                        "description": text,
                        "schema": schema,
                        "example": shown,
                    }
                    for name, (text, schema, shown) in _HEADERS.items()
                ],
                "requestBody": {
                    "required": True,
                    "content": {JSON: {"schema": {"$ref": reference.format(model=model.__name__)}, "example": example}},
                },
                "responses": _RESPONSES,
            }
        }
        for type_, (model, summary, example) in MESSAGES.items()
    }
