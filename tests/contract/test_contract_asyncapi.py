"""The AsyncAPI document is valid by AsyncAPI's own schema, whole, and true to the classes and the topology."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator, ValidationError
from tests.node_tools import ROOT, require

from aggregator_contracts import EVENT_CLASSES, Event
from aggregator_contracts.schemas import CONTRACTS, EXAMPLES, SCHEMAS
from aggregator_contracts.topology import EXCHANGE, SUBSCRIPTIONS

DOCUMENT: dict[str, Any] = yaml.safe_load((CONTRACTS / "asyncapi.yaml").read_text())
OFFICIAL = ROOT / "tests/node/node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json"

each_event = pytest.mark.parametrize("event_class", EVENT_CLASSES, ids=lambda event_class: event_class.TYPE)


@pytest.fixture(scope="module")
def official() -> Draft7Validator:
    return Draft7Validator(json.loads(require(OFFICIAL).read_text()))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from references(item)


def at(reference: str) -> Any:
    value: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        value = value[step]
    return value


def operations(event_class: type[Event], action: str) -> set[str]:
    channel = {"$ref": f"#/channels/{event_class.TYPE}"}
    found = [o for o in DOCUMENT["operations"].values() if o["channel"] == channel and o["action"] == action]
    return {tag["name"] for operation in found for tag in operation["tags"]}


def test_it_is_valid_by_asyncapis_own_schema(official: Draft7Validator) -> None:
    official.check_schema(official.schema)
    assert [f"{error.json_path}: {error.message}" for error in official.iter_errors(DOCUMENT)] == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: document["servers"]["tls"].pop("host"),
        lambda document: document["info"].update(nonsense=1),
        lambda document: document["channels"][EVENT_CLASSES[0].TYPE]["bindings"]["amqp"].update({"is": "stream"}),
        lambda document: next(iter(document["operations"].values())).update(action="publish"),
    ],
)
def test_that_schema_finds_what_is_wrong(official: Draft7Validator, damage: Any) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    damage(document)
    assert not official.is_valid(document)


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > 20
    for reference in found:
        at(reference)


@each_event
def test_an_event_has_a_channel_with_its_exchange_and_routing_key(event_class: type[Event]) -> None:
    channel = DOCUMENT["channels"][event_class.TYPE]
    assert channel["address"] == event_class.TYPE
    assert channel["bindings"]["amqp"]["is"] == "routingKey"
    exchange = {"name": EXCHANGE, "type": "topic", "durable": True, "autoDelete": False}
    assert channel["bindings"]["amqp"]["exchange"] == exchange


@each_event
def test_an_event_says_who_sends_and_who_receives_it(event_class: type[Event]) -> None:
    assert operations(event_class, "send") == {event_class.SOURCE.removeprefix("/")}
    consumers = {s.service for s in SUBSCRIPTIONS if event_class in s.events}
    assert operations(event_class, "receive") == consumers | {"subscriber"}


@each_event
def test_an_event_has_its_schema_and_example(event_class: type[Event]) -> None:
    message = DOCUMENT["components"]["messages"][event_class.__name__]
    example = json.loads((EXAMPLES / f"{event_class.TYPE}.json").read_text())
    assert [shown["payload"] for shown in message["examples"]] == [example]
    payload = {**message["payload"], "components": DOCUMENT["components"]}
    Draft202012Validator(payload).validate(example)
    with pytest.raises(ValidationError, match="is a required property"):
        Draft202012Validator(payload).validate({**example, "data": {}})
    published = json.loads((SCHEMAS / f"{event_class.TYPE}.json").read_text())
    described = at(message["payload"]["$ref"])
    assert described["properties"].keys() == published["properties"].keys()
    assert described["required"] == published["required"]


@each_event
def test_every_field_of_an_event_stands_on_the_page(event_class: type[Event]) -> None:
    page = (CONTRACTS / "src/aggregator_contracts/asyncapi.html").read_text()
    section = page.partition(f'<h2 id="{event_class.TYPE}">')[2].partition("</section>")[0]
    example = json.loads((EXAMPLES / f"{event_class.TYPE}.json").read_text())
    for name in paths(example):
        assert f"<code>{name}</code>" in section


def paths(value: Any, path: str = "") -> Iterator[str]:
    """The fields of an event as the page names them."""
    for name, inner in value.items():
        yield f"{path}{name}"
        if isinstance(inner, dict):
            yield from paths(inner, f"{path}{name}.")
        elif isinstance(inner, list):
            for item in inner:
                yield from paths(item, f"{path}{name}[].")
