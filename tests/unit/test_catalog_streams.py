"""What of an event is for whom, how it is written in a stream, and what a ring holds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator_contracts import EVENT_CLASSES, Event, parse_event
from aggregator_contracts.schemas import CONTRACTS
from catalog_api.domain.streams import Gap
from catalog_api.entrypoints.http.event_stream import frame, gap, position
from catalog_api.live.event import LiveEvent, Wanted
from catalog_api.live.ring import Ring
from event_bus import LogEntry

EXAMPLES = sorted((CONTRACTS / "examples").glob("*.json"))
ONE, OTHER, THIRD = (f"01936d2e-7c1a-7cc0-8000-00000000000{number}" for number in (1, 2, 3))


def live(document: Any, offset: int = 7, type_: str = "offers.offers-updated.v1") -> LiveEvent:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return LiveEvent.of(LogEntry(offset, type_, body))


def of(*products: str) -> Wanted:
    return Wanted(products=frozenset(products))


def products_in(value: Any) -> Iterator[str]:
    """Whatever a document names as a product, anywhere."""
    if isinstance(value, dict):
        yield from ([value["product_id"]] if "product_id" in value else [])
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from products_in(part)


def test_each_event_of_the_contract_is_tried() -> None:
    assert {parse_event(path.read_bytes()).type for path in EXAMPLES} == {event.TYPE for event in EVENT_CLASSES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_event_narrowed_to_a_product_says_of_it_what_it_said_and_nothing_of_others(path: Path) -> None:
    document = json.loads(path.read_bytes())
    whole = parse_event(path.read_bytes())
    event = live(document, type_=whole.type)
    products = set(products_in(document))
    assert products
    assert event.only(frozenset({THIRD})) is None
    together = event.only(frozenset(products))
    assert together is not None
    assert parse_event(together) == whole
    for product in products:
        narrowed = event.only(frozenset({product, THIRD}))
        assert narrowed is not None
        assert set(products_in(json.loads(narrowed))) == {product}
        assert _without_data(parse_event(narrowed)) == _without_data(whole)
        parts = [part for parts in json.loads(narrowed)["data"].values() if isinstance(parts, list) for part in parts]
        all_parts = [part for parts in document["data"].values() if isinstance(parts, list) for part in parts]
        assert parts == [part for part in all_parts if part["product_id"] == product]


def _without_data(event: Event) -> dict[str, Any]:
    return event.model_dump(exclude={"data"})


def test_what_is_not_narrowed_is_the_bytes_that_were_published() -> None:
    body = b'{ "subject" : "%s", "data":{}  }' % ONE.encode()
    assert Wanted().of(live(body)) == body
    assert of(ONE).of(live(body)) == body


def test_narrowing_keeps_what_nobody_here_knows() -> None:
    document = {"traceparent": "00-ab", "data": {"source": [1], "changes": [{"product_id": ONE, "x": 1.50}]}}
    narrowed = of(ONE).of(live(document))
    assert narrowed is not None
    assert json.loads(narrowed) == document
    assert b"1.5" in narrowed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        b'{"data": 1}',
        b'{"subject": 1}',
        b'{"subject": "\xff"}',
        b'{"data": {"updates": 1}}',
        b'{"data": {"updates": [{}]}}',
        b'{"data": {"updates": []}}',
        b'{"data": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_event_is_about_no_product(body: bytes) -> None:
    assert of(ONE).of(live(body)) is None
    assert Wanted().of(live(body)) == body


def test_types_and_products_are_both_asked_for() -> None:
    event = live({"subject": ONE}, type_="a.b.v1")
    assert Wanted(frozenset({"a.b.v1", "c.d.v1"})).of(event) == event.body
    assert Wanted(frozenset({"c.d.v1"})).of(event) is None
    assert Wanted(frozenset({"a.b.v1"}), frozenset({OTHER})).of(event) is None
    assert Wanted(frozenset({"a.b.v1"}), frozenset({ONE, OTHER})).of(event) == event.body


def test_an_event_is_one_line_of_data_whatever_it_holds() -> None:
    event = live(b'{\r\n "a":\n1}', type_="a\r\nid: 9\n.v1")
    assert frame(event, event.body) == b'id: 7\nevent: a id: 9 .v1\ndata: {   "a": 1}\n\n'


def test_gaps_and_positions_have_the_id_to_come_again_with() -> None:
    assert gap(Gap(3, 9, 10)) == b'id: 9\nevent: gap\ndata: {"missed_from":3,"missed_to":9}\n\n'
    assert gap(Gap(None, None, 0)) == b'id: -1\nevent: gap\ndata: {"missed_from":null,"missed_to":null}\n\n'
    assert position(10) == b"id: 9\n:\n\n"


@given(
    gaps=st.lists(st.integers(0, 2), min_size=1, max_size=60),
    sizes=st.lists(st.integers(0, 50), min_size=60, max_size=60),
    start=st.integers(0, 5),
    bytes_max=st.integers(1, 300),
    events_max=st.integers(1, 40),
)
def test_a_ring_holds_all_from_its_first_to_its_end(
    gaps: list[int], sizes: list[int], start: int, bytes_max: int, events_max: int
) -> None:
    ring = Ring(start, bytes_max=bytes_max, events_max=events_max)
    assert (ring.first, ring.end, ring.since(start, bytes_max=1)) == (start, start, ())
    appended: list[LiveEvent] = []
    for gap_before, size in zip(gaps, sizes, strict=False):
        appended.append(live(b"x" * size, ring.end + gap_before))
        ring.append(appended[-1])
        held = ring.since(ring.first, bytes_max=10**9)
        assert held == [event for event in appended if event.offset >= ring.first]
        assert len(held) == 1 or sum(len(event.body) for event in held) <= bytes_max
        assert 1 <= len(held) <= events_max
        assert ring.end == appended[-1].offset + 1
        if len(held) < len(appended):
            assert ring.first == appended[-len(held) - 1].offset + 1
    for position_ in range(ring.first, ring.end + 3):
        expected = [event for event in appended if event.offset >= position_]
        assert list(ring.since(position_, bytes_max=10**9)) == expected
        assert list(ring.since(position_, bytes_max=1))[:1] == expected[:1]
