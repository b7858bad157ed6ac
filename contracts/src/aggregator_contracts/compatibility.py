"""Tells whether a schema may take the place of a published one.

The rule is the contract's: a published schema never changes, but for optional fields that are added and for words
(titles, descriptions, examples). Everything else is a new version beside it, also what only promises more: a consumer
may have generated its types from the published one.
"""

from collections.abc import Iterator
from typing import Any, Final

WORDS: Final = frozenset({"$id", "$schema", "$comment", "title", "description", "examples", "default", "deprecated"})
"""Keywords that say nothing about which events are valid."""

Schema = dict[str, Any]


def breaking_changes(published: Schema, proposed: Schema) -> Iterator[str]:
    """What keeps `proposed` from taking the place of `published`, a line for each, with the place in the event.

    Both are JSON Schemas whose references lead to their own `$defs`, and not in circles.
    """
    yield from _of_values("event", _inlined(published, published), _inlined(proposed, proposed))


def _inlined(value: Any, root: Schema) -> Any:
    """The value without words, with what its references lead to in their place."""
    if isinstance(value, list):
        return [_inlined(item, root) for item in value]
    if not isinstance(value, dict):
        return value
    if (reference := value.get("$ref")) is not None:
        target: Any = root["$defs"][reference.removeprefix("#/$defs/")]
        return _inlined({**target, **{key: value[key] for key in value if key != "$ref"}}, root)
    inlined = {
        key: _inlined(inner, root)
        for key, inner in value.items()
        if key not in WORDS and key not in ("$defs", "properties")
    }
    if "properties" in value:
        # Their keys are names of fields, which may be words.
        inlined["properties"] = {name: _inlined(field, root) for name, field in value["properties"].items()}
    return inlined


def _of_values(place: str, published: Any, proposed: Any) -> Iterator[str]:
    if isinstance(published, dict) and isinstance(proposed, dict):
        yield from _of_schemas(place, published, proposed)
    elif isinstance(published, list) and isinstance(proposed, list) and len(published) == len(proposed):
        for before, after in zip(published, proposed, strict=True):
            yield from _of_values(place, before, after)
    elif published != proposed or type(published) is not type(proposed):
        yield f"{place}: {published!r} became {proposed!r}"


def _of_schemas(place: str, published: Schema, proposed: Schema) -> Iterator[str]:
    yield from _of_fields(place, published, proposed)
    for keyword in sorted((published.keys() | proposed.keys()) - {"properties", "required"}):
        inner = f"{place}[]" if keyword == "items" else f"{place} ({keyword})"
        if keyword not in proposed:
            yield f"{inner}: {published[keyword]!r} was dropped"
        elif keyword not in published:
            yield f"{inner}: {proposed[keyword]!r} was added"
        else:
            yield from _of_values(inner, published[keyword], proposed[keyword])


def _of_fields(place: str, published: Schema, proposed: Schema) -> Iterator[str]:
    before, after = published.get("properties", {}), proposed.get("properties", {})
    for name in before:
        if name not in after:
            yield f"{place}.{name}: was removed"
        else:
            yield from _of_values(f"{place}.{name}", before[name], after[name])
    required_before, required_after = set(published.get("required", ())), set(proposed.get("required", ()))
    yield from (
        f"{place}.{name}: is optional now" for name in sorted(required_before - required_after) if name in after
    )
    yield from (f"{place}.{name}: is required now" for name in sorted(required_after - required_before))
