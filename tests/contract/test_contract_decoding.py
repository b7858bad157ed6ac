"""Frequent events are read by the contract's classes or by the event bus's structs, with the same result: what is an
event to one is the same event to the other, and what one refuses the other refuses for the same reason."""

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator_contracts import (
    BestPriceChanged,
    InvalidEventError,
    Offer,
    OffersUpdate,
    OffersUpdated,
    ProductDeleted,
    parse_event,
)
from aggregator_contracts.schemas import EXAMPLES
from event_bus import ReceivedBestPriceChanged, ReceivedOffersUpdated, ReceivedUpdate, decode_event
from event_bus.decoding import FrequentEvent, ReceivedBestPriceChanges, ReceivedUpdates, decode_as_written_today
from offers_sync.domain.offers import parse_offer_list
from offers_sync.domain.polling import ChangedList, HeldBucket
from offers_sync.use_cases.offers_updated import offers_updated

A_MOMENT = datetime(2026, 11, 22, 10, 0, 0, 250_000, tzinfo=UTC)

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
moments = st.datetimes(timezones=st.timezones() | st.just(UTC)).map(lambda moment: moment.isoformat())
offers = st.fixed_dictionaries(
    {"id": texts, "price": st.integers(0, 2**63 - 1), "items_in_stock": st.integers(0, 2**31 - 1)}
)
updates = st.fixed_dictionaries(
    {
        "product_id": st.uuids().map(str),
        "revision": st.integers(1, 2**63 - 1),
        "observed_at": moments,
        "offers": st.lists(offers, max_size=3),
    }
)
prices = st.none() | st.integers(0, 2**63 - 1)
changes = st.fixed_dictionaries(
    {
        "product_id": st.uuids().map(str),
        "revision": st.integers(1, 2**63 - 1),
        "at": moments,
        "old_price": prices,
        "new_price": prices,
        "change_percent": st.none() | st.integers(-(10**20), 10**25) | st.floats(allow_nan=False, allow_infinity=False),
        "offer_id": st.none() | texts,
        "cause": st.sampled_from(["repriced", "appeared", "ended", "stock"]),
        "cause_offer_id": texts,
    }
)


def envelopes(source: str, event_type: str, data: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {
            "specversion": st.just("1.0"),
            "id": texts,
            "source": st.just(source),
            "type": st.just(event_type),
            "time": moments,
            "datacontenttype": st.just("application/json"),
            "data": st.fixed_dictionaries(data),
        }
    )


events = envelopes(
    "/offers-sync", "offers.offers-updated.v1", {"updates": st.lists(updates, min_size=1, max_size=3)}
) | envelopes("/price-history", "prices.best-price-changed.v1", {"changes": st.lists(changes, min_size=1, max_size=3)})
SUSPICIOUS: list[Any] = [
    *(None, True, False, -1, 0, 1, 1.0, 1.5, 1e3, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63)),
    *("", "1", "x" * 200, "x" * 201, "😀" * 200, "NUL\x00", "2.0", "1.0", "/catalog-api", "catalog.product-deleted.v1"),
    *("2026-11-22T10:00:00Z", "2026-11-22 10:00:00z", "2026-11-22T10:00:00", "2026-11-22T10:00Z", "2026-11-22"),
    *("2026-11-22T10:00:00+0100", "2026-11-22T10:00:00-23:59", "2026-11-22T10:00:00+24:00", "2026-11-22T24:00:00Z"),
    *("0000-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z", "2026-02-29T00:00:00Z", "1700000000", 1700000000),
    *(
        "01a20540-51ce-73cb-9dff-327a6e42fcb5",
        "01A2054051CE73CB9DFF327A6E42FCB5",
        "{01a20540-51ce-73cb-9dff-327a6e42fcb5}",
    ),
    *("urn:uuid:01a20540-51ce-73cb-9dff-327a6e42fcb5", "01a20540-51ce-73cb-9dff-327a6e42fcb"),
    *([], {}, [None], [[]], {"updates": []}, {"updates": [{}]}, {"changes": []}, {"changes": [{}]}),
    *(float("nan"), float("inf"), 10**400, 1e-400, -0.0, 2**1024, "NaN", "1.5", "ended", "gone", "/price-history"),
]
suspicious = st.sampled_from(SUSPICIOUS).map(deepcopy)


def places(document: Any) -> list[tuple[Any, Any]]:
    """Every value inside as its container and the key that it has there."""
    keys = list(document) if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else []
    return [place for key in keys for place in ((document, key), *places(document[key]))]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid event with one to three things changed: a value, a field less or more, a product twice, or any byte."""
    document = deepcopy(draw(events))
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(places(document)))
        match draw(st.sampled_from(["replace", "remove", "add", "repeat"])):
            case "replace":
                container[key] = draw(suspicious | updates | changes | moments | st.integers() | st.text())
            case "remove":
                del container[key]
            case "add" if isinstance(container, dict):
                container[draw(st.sampled_from(["subject", "id", "price", "at", "x", "X\x00"]))] = draw(suspicious)
            case "repeat" if isinstance(container, list):
                container.append(deepcopy(container[key]))
        if not places(document):
            break
    body = json.dumps(document, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    if draw(st.booleans()):
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.binary(max_size=3)) + body[at + draw(st.integers(0, 2)) :]
    return body


def verdict(parse: Callable[[bytes], Any], body: bytes) -> Any:
    """The event as structs, or why it is none."""
    try:
        event = parse(body)
    except InvalidEventError as error:
        return str(error)
    match event:
        case OffersUpdated():
            return ReceivedOffersUpdated.of(event)
        case BestPriceChanged():
            return ReceivedBestPriceChanged.of(event)
    return event


def moments_of(event: FrequentEvent) -> list[datetime]:
    if isinstance(event, ReceivedOffersUpdated):
        return [event.time, *(update.observed_at for update in event.data.updates)]
    return [event.time, *(change.at for change in event.data.changes)]


def without_moments(event: FrequentEvent) -> Any:
    replace = msgspec.structs.replace
    data: Any
    if isinstance(event, ReceivedOffersUpdated):
        data = ReceivedUpdates([replace(update, observed_at=A_MOMENT) for update in event.data.updates])
    else:
        data = ReceivedBestPriceChanges([replace(change, at=A_MOMENT) for change in event.data.changes])
    return replace(event, time=A_MOMENT, data=data)


def assert_same(body: bytes) -> None:
    ours, contract = verdict(decode_event, body), verdict(parse_event, body)
    if not isinstance(ours, FrequentEvent) or not isinstance(contract, FrequentEvent):
        assert ours == contract
        return
    assert without_moments(ours) == without_moments(contract)
    # Digits beyond the microsecond are rounded by the one and cut off by the other.
    for our, theirs in zip(moments_of(ours), moments_of(contract), strict=True):
        assert abs(our - theirs) <= timedelta(microseconds=1)


@given(events)
def test_valid_events_are_the_same_either_way(document: dict[str, Any]) -> None:
    assert_same(json.dumps(document).encode())


@settings(max_examples=300)
@given(damaged())
def test_damaged_events_are_refused_alike_and_what_is_still_valid_is_the_same(body: bytes) -> None:
    assert_same(body)


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.stem)
def test_examples_are_the_same_either_way(path: Any) -> None:
    assert_same(path.read_bytes())


@pytest.mark.parametrize("event_type", [OffersUpdated.TYPE, BestPriceChanged.TYPE])
def test_unknown_fields_are_ignored(event_type: str) -> None:
    body = (EXAMPLES / f"{event_type}.json").read_bytes()
    document = json.loads(body)
    for container in [document, *(value for c, key in places(document) if isinstance(value := c[key], dict))]:
        container["unknown"] = {"deep": [[1]]}
    assert decode_event(json.dumps(document).encode()) == decode_event(body)


@pytest.mark.parametrize("event_type", [OffersUpdated.TYPE, BestPriceChanged.TYPE])
def test_frequent_events_as_their_examples_need_no_second_look(event_type: str) -> None:
    event = decode_as_written_today((EXAMPLES / f"{event_type}.json").read_bytes())
    assert event is not None
    assert event.type == event_type


def test_what_offers_sync_writes_needs_no_second_look() -> None:
    bucket = HeldBucket(bucket=1, fence=1, slot=0.0, held_until=0.0)
    found = parse_offer_list(
        '[{"id": "é", "price": 0, "items_in_stock": 1}, {"id": 7, "price": 1, "items_in_stock": 0}]'.encode()
    )
    product_ids = [UUID(int=1), UUID(int=2)]
    event = decode_as_written_today(
        offers_updated([ChangedList(product_id, bucket, found, 3, A_MOMENT) for product_id in product_ids]).body
    )
    assert isinstance(event, ReceivedOffersUpdated)
    assert [update.product_id for update in event.data.updates] == product_ids
    first: ReceivedUpdate = event.data.updates[0]
    assert (first.revision, first.observed_at) == (3, A_MOMENT)
    assert [(offer.id, offer.price, offer.items_in_stock) for offer in first.offers] == [("7", 1, 0), ("é", 0, 1)]


def test_other_events_are_the_contracts_own() -> None:
    deleted = ProductDeleted.of(UUID(int=1), 2)
    assert decode_event(deleted.to_json()) == deleted


def test_a_nul_and_a_product_twice_are_refused() -> None:
    """What only `parse_event` can tell."""
    update = OffersUpdate(
        product_id=UUID(int=1), revision=1, observed_at=A_MOMENT, offers=[Offer(id="1", price=1, items_in_stock=1)]
    )
    document = json.loads(OffersUpdated.of([update]).to_json())
    document["data"]["updates"][0]["offers"][0]["id"] = "NUL\x00"
    with pytest.raises(InvalidEventError, match="NUL"):
        decode_event(json.dumps(document).encode())
    document["data"]["updates"][0]["offers"][0]["id"] = "\\u0000 in letters"
    again = decode_event(json.dumps(document).encode())
    assert isinstance(again, ReceivedOffersUpdated)
    assert again.data.updates[0].offers[0].id == "\\u0000 in letters"
    document["data"]["updates"] *= 2
    with pytest.raises(InvalidEventError, match="each product once"):
        decode_event(json.dumps(document).encode())
