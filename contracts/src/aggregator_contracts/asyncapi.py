"""Describes the contract as an AsyncAPI 3.0 document: who sends what to whom, by which way, and what it looks like.

FastStream's generator knows a process of its own and no more; this one goes by the classes and the topology, so that
neither headers, bindings, examples nor the other services are missing.
Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0, bindings:
https://github.com/asyncapi/bindings/tree/v3.0.0/amqp
"""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from importlib.resources import files
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from aggregator_contracts.envelope import CONTENT_TYPE, Event
from aggregator_contracts.topology import EXCHANGE, SUBSCRIBER, SUBSCRIPTIONS

BINDING_VERSION: Final = "0.3.0"
DISTRIBUTION: Final = "aggregator-contracts"

Document = dict[str, Any]


def asyncapi_document(event_classes: Iterable[type[Event]], examples: Mapping[str, Any]) -> Document:
    """The document; `examples` holds an event for each type, as JSON that was read."""
    classes = list(event_classes)
    return {
        "asyncapi": "3.0.0",
        "id": "urn:product-aggregator:events",
        "info": {
            "title": "Events of the product aggregator",
            "version": version(DISTRIBUTION),
            "description": files("aggregator_contracts").joinpath("asyncapi.md").read_text(encoding="utf-8"),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "plain": _server("amqp", "5672", "Inside a trusted network."),
            "tls": _server("amqps", "5671", "From anywhere else."),
        },
        "channels": {event_class.TYPE: _channel(event_class) for event_class in classes},
        "operations": {name: operation for event_class in classes for name, operation in _operations(event_class)},
        "components": {
            "messages": {
                event_class.__name__: _message(event_class, examples.get(event_class.TYPE)) for event_class in classes
            },
            "messageTraits": {"cloudEvent": _cloud_event()},
            "operationTraits": {
                "published": {"bindings": {"amqp": _binding(deliveryMode=2, mandatory=True)}},
                "consumed": {"bindings": {"amqp": _binding(ack=True)}},
            },
            "schemas": _schemas(classes),
            "securitySchemes": {
                "account": {
                    "type": "userPassword",
                    "description": f"A broker account. That of other systems is `{SUBSCRIBER}`: it reads every event, "
                    f"publishes none, and its queues are named `{SUBSCRIBER}.…`.",
                }
            },
        },
    }


def _server(protocol: str, port: str, description: str) -> Document:
    return {
        "host": "{host}:{port}",
        "pathname": "/{virtualHost}",
        "protocol": protocol,
        "protocolVersion": "0.9.1",
        "title": "RabbitMQ",
        "description": description,
        "variables": {
            "host": {"default": "localhost", "description": "Any node of the broker."},
            "port": {"default": port},
            "virtualHost": {"default": "aggregator", "description": "The one that holds the exchange."},
        },
        "security": [_reference("components", "securitySchemes", "account")],
    }


def _channel(event_class: type[Event]) -> Document:
    return {
        "address": event_class.TYPE,
        "title": event_class.TYPE,
        "summary": _about(event_class),
        "messages": {event_class.__name__: _reference("components", "messages", event_class.__name__)},
        "bindings": {
            "amqp": _binding(
                **{
                    "is": "routingKey",
                    "exchange": {"name": EXCHANGE, "type": "topic", "durable": True, "autoDelete": False},
                }
            )
        },
        "tags": [{"name": _domain(event_class)}],
    }


def _operations(event_class: type[Event]) -> Iterable[tuple[str, Document]]:
    """What is done with an event: its service sends it, other services receive it, and so may any other system."""
    event, sender = event_class.TYPE, _sender(event_class)
    yield f"{sender}.send.{event}", _operation(event_class, "send", sender, f"`{sender}` publishes it.")
    for subscription in SUBSCRIPTIONS:
        if event_class in subscription.events:
            receiver, queue = subscription.service, subscription.queue
            summary = f"`{receiver}` consumes it from its queue `{queue}`."
            yield f"{queue}.receive.{event}", _operation(event_class, "receive", receiver, summary)
    summary = f"Any other system consumes it from a queue of its own, `{SUBSCRIBER}.…`, bound to `{event}`."
    yield f"{SUBSCRIBER}.receive.{event}", _operation(event_class, "receive", SUBSCRIBER, summary)


def _operation(event_class: type[Event], action: str, service: str, summary: str) -> Document:
    return {
        "action": action,
        "channel": _reference("channels", event_class.TYPE),
        "summary": summary,
        "tags": [{"name": service}],
        "traits": [_reference("components", "operationTraits", "published" if action == "send" else "consumed")],
        "messages": [_reference("channels", event_class.TYPE, "messages", event_class.__name__)],
    }


def _message(event_class: type[Event], example: Any) -> Document:
    return {
        "name": event_class.TYPE,
        "title": event_class.__name__,
        "summary": _about(event_class),
        "contentType": CONTENT_TYPE,
        "payload": _reference("components", "schemas", event_class.__name__),
        "tags": [{"name": _domain(event_class)}],
        "bindings": {"amqp": _binding(messageType=event_class.TYPE)},
        "traits": [_reference("components", "messageTraits", "cloudEvent")],
        **({} if example is None else {"examples": [{"name": event_class.__name__, "payload": example}]}),
    }


def _cloud_event() -> Document:
    """What is the same for every message. AMQP's own properties are no headers to AsyncAPI, and have no place there."""
    return {
        "description": "One CloudEvents 1.0 event in structured mode.",
        "headers": {
            "type": "object",
            "description": "None is needed: all there is to know is in the body. Ignore those that you do not know.",
            "additionalProperties": True,
        },
        "externalDocs": {
            "description": "CloudEvents, AMQP and structured mode",
            "url": "https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md",
        },
        "x-amqp-properties": {
            "type": "object",
            "required": ["content_type", "delivery_mode", "message_id", "type"],
            "properties": {
                "content_type": {"const": CONTENT_TYPE},
                "delivery_mode": {"const": 2, "description": "Persistent."},
                "message_id": {"type": "string", "description": "The event's `id`."},
                "type": {"type": "string", "description": "The event's `type`, which is its routing key too."},
            },
        },
    }


def _schemas(classes: list[type[Event]]) -> Document:
    _, schemas = models_json_schema(
        [(event_class, "serialization") for event_class in classes], ref_template="#/components/schemas/{model}"
    )
    definitions: Document = schemas["$defs"]
    return definitions


def _about(event_class: type[Event]) -> str:
    return (event_class.__doc__ or "").strip()


def _sender(event_class: type[Event]) -> str:
    return event_class.SOURCE.removeprefix("/")


def _domain(event_class: type[Event]) -> str:
    return event_class.TYPE.partition(".")[0]


def _binding(**binding: Any) -> Document:
    return {**binding, "bindingVersion": BINDING_VERSION}


def _reference(*path: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(path)}
