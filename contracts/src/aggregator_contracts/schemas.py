"""Writes the JSON Schema of each event to `contracts/schemas/`, or checks that the files there are up to date.

Run as `python -m aggregator_contracts.schemas [--check]`, from a checkout. The check also reads each example in
`contracts/examples/`: every event has one, each is a valid event of its class, and nothing else lies there.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from aggregator_contracts.events import EVENT_CLASSES, Event, InvalidEventError, parse_event

CONTRACTS: Final = Path(__file__).parents[2]
SCHEMAS: Final = CONTRACTS / "schemas"
EXAMPLES: Final = CONTRACTS / "examples"


def schema_of(event_class: type[Event]) -> str:
    """The event's JSON Schema (draft 2020-12) as the text of its file."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:product-aggregator:{event_class.TYPE}",
        **event_class.model_json_schema(mode="serialization"),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def problems() -> Iterator[str]:
    """What is out of date, missing, orphaned or invalid, a line for each."""
    names = {f"{event_class.TYPE}.json" for event_class in EVENT_CLASSES}
    for folder in (SCHEMAS, EXAMPLES):
        present = {path.name for path in folder.iterdir()}
        yield from (f"{folder.name}/{name} belongs to no event" for name in sorted(present - names))
        yield from (f"{folder.name}/{name} is missing" for name in sorted(names - present))
    for event_class in EVENT_CLASSES:
        schema = SCHEMAS / f"{event_class.TYPE}.json"
        if schema.exists() and schema.read_text() != schema_of(event_class):
            yield f"schemas/{schema.name} is out of date: run `make schemas`, and add a v2 for a breaking change"
        example = EXAMPLES / schema.name
        if example.exists():
            yield from _problems_of_example(example, event_class)


def _problems_of_example(path: Path, event_class: type[Event]) -> Iterator[str]:
    try:
        event = parse_event(path.read_bytes())
    except InvalidEventError as error:
        yield f"examples/{path.name} is no valid event: {error}"
        return
    if not isinstance(event, event_class):
        yield f"examples/{path.name} is a {type(event).__name__}, not a {event_class.__name__}"
    elif json.loads(event.to_json()) != json.loads(path.read_bytes()):
        yield f"examples/{path.name} does not come back the same from {event_class.__name__}"


def main() -> int:
    """The command; 1 when the check finds a problem."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a file is not as it should be")
    if parser.parse_args().check:
        found = list(problems())
        sys.stderr.writelines(f"contracts: {problem}\n" for problem in found)
        return 1 if found else 0
    SCHEMAS.mkdir(exist_ok=True)
    for event_class in EVENT_CLASSES:
        (SCHEMAS / f"{event_class.TYPE}.json").write_text(schema_of(event_class))
    return 0


if __name__ == "__main__":
    sys.exit(main())
