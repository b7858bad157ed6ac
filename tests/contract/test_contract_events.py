"""The events as other systems see them: their files, their classes, and what is refused."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from jsonschema import Draft202012Validator

from aggregator_contracts import (
    EVENT_CLASSES,
    BackInStock,
    BestPriceChange,
    BestPriceChanged,
    Event,
    InvalidEventError,
    LowReached,
    NewLow,
    Offer,
    OffersUpdate,
    OffersUpdated,
    OutOfStock,
    ProductCreated,
    ProductDeleted,
    ProductRegistered,
    ProductRegistrationFailed,
    ProductState,
    ProductUpdated,
    StockEnded,
    StockReturned,
    parse_event,
)
from aggregator_contracts.schemas import EXAMPLES, SCHEMAS

PRODUCT = UUID("0192f0c4-7a52-7cc1-9c5e-3f0a8d9b1e21")
STATE = ProductState(product_id=PRODUCT, version=1, name="Sekačka", description="")
UPDATE = OffersUpdate(
    product_id=PRODUCT,
    revision=1,
    observed_at=datetime(2026, 11, 22, 10, 0, 0, 250_000, tzinfo=UTC),
    offers=[Offer(id="1", price=1000, items_in_stock=5)],
)
EVENTS: list[Event] = [
    ProductCreated.of(STATE),
    ProductUpdated.of(STATE),
    ProductDeleted.of(PRODUCT, 2),
    ProductRegistered.of(PRODUCT, UPDATE.observed_at),
    ProductRegistrationFailed.of(PRODUCT, "400 BAD_REQUEST", UPDATE.observed_at),
    OffersUpdated.of([UPDATE]),
    BestPriceChanged.of(
        [
            BestPriceChange(
                product_id=PRODUCT,
                revision=2,
                at=UPDATE.observed_at,
                old_price=3000,
                new_price=1000,
                change_percent=-66.67,
                offer_id="1",
                cause="appeared",
                cause_offer_id="1",
            )
        ]
    ),
    NewLow.of(
        [
            LowReached(
                product_id=PRODUCT,
                revision=2,
                at=UPDATE.observed_at,
                price=1000,
                offer_id="1",
                previous_low_30_days=None,
                lowest_ever=True,
                previous_low_ever=1001,
                watched_since=UPDATE.observed_at - timedelta(days=40),
            )
        ]
    ),
    BackInStock.of(
        [
            StockReturned(
                product_id=PRODUCT,
                revision=2,
                at=UPDATE.observed_at,
                price=1000,
                offer_id="1",
                out_of_stock_since=UPDATE.observed_at - timedelta(days=40),
            )
        ]
    ),
    OutOfStock.of([StockEnded(product_id=PRODUCT, revision=2, at=UPDATE.observed_at, last_price=1000)]),
]


def validator(event_class: type[Event]) -> Draft202012Validator:
    return Draft202012Validator(json.loads((SCHEMAS / f"{event_class.TYPE}.json").read_text()))


def test_every_class_has_an_event_in_this_module() -> None:
    assert [type(event) for event in EVENTS] == list(EVENT_CLASSES)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.TYPE)
def test_an_event_validates_against_its_schema_and_comes_back_the_same(event: Event) -> None:
    body = event.to_json()
    validator(type(event)).validate(json.loads(body))
    assert parse_event(body) == event


@pytest.mark.parametrize("event_class", EVENT_CLASSES, ids=lambda event_class: event_class.TYPE)
def test_an_example_validates_against_its_schema(event_class: type[Event]) -> None:
    validator(event_class).validate(json.loads((EXAMPLES / f"{event_class.TYPE}.json").read_text()))


def test_times_are_utc_with_z() -> None:
    assert json.loads(OffersUpdated.of([UPDATE]).to_json())["data"]["updates"][0]["observed_at"] == (
        "2026-11-22T10:00:00.250000Z"
    )


def test_an_event_about_one_product_has_it_for_a_subject_and_one_about_several_has_none() -> None:
    for event in EVENTS:
        body = json.loads(event.to_json())
        assert body.get("subject") == body["data"].get("product_id")


def test_unknown_fields_are_ignored() -> None:
    envelope = json.loads(ProductRegistered.of(PRODUCT, UPDATE.observed_at).to_json())
    envelope["traceparent"] = "00-1-2-03"
    envelope["data"]["added_later"] = True
    assert parse_event(json.dumps(envelope).encode()).type == ProductRegistered.TYPE


def test_each_product_stands_once_in_an_offers_updated() -> None:
    with pytest.raises(ValueError, match="each product once"):
        OffersUpdated.of([UPDATE, UPDATE])


def test_an_offers_updated_speaks_of_one_to_a_hundred_products() -> None:
    def updates(count: int) -> list[OffersUpdate]:
        return [UPDATE.model_copy(update={"product_id": uuid4()}) for _ in range(count)]

    assert len(OffersUpdated.of(updates(100)).data.updates) == 100
    for count in (0, 101):
        with pytest.raises(ValueError, match="updates"):
            OffersUpdated.of(updates(count))


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("specversion", "0.3", "specversion"),
        ("type", "catalog.product-created.v9", "type"),
        ("type", None, "type"),
        ("id", "", "id"),
        ("id", None, "id"),
        ("time", "yesterday", "time"),
        ("time", "2026-11-22T10:00:00", "time"),
        ("subject", "42", "subject"),
        ("data.version", 0, "data.version"),
        ("data.version", "1", "data.version"),
        ("data.version", True, "data.version"),
        ("data.name", "", "data.name"),
        ("data.name", "a\x00b", "data.name"),
        ("data.name", "x" * 201, "data.name"),
        ("data.description", None, "data.description"),
        ("data", [], "data"),
    ],
)
def test_a_bad_field_is_refused_by_name(path: str, value: object, named: str) -> None:
    envelope = json.loads(ProductCreated.of(STATE).to_json())
    *parents, field = path.split(".")
    target = envelope
    for parent in parents:
        target = target[parent]
    target[field] = value
    with pytest.raises(InvalidEventError, match=named):
        parse_event(json.dumps(envelope).encode())


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b"[" * 100_000])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidEventError):
        parse_event(body)


@pytest.mark.parametrize("price", [-1, 2**63, 10.5, "12", True, None])
def test_a_price_that_is_no_price_is_refused(price: object) -> None:
    envelope = json.loads(OffersUpdated.of([UPDATE]).to_json())
    envelope["data"]["updates"][0]["offers"][0]["price"] = price
    with pytest.raises(InvalidEventError, match="price"):
        parse_event(json.dumps(envelope).encode())
