"""One class for each event, with typed data; those about prices are in a module of their own."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal, Self
from uuid import UUID

from pydantic import Discriminator, Field, TypeAdapter, ValidationError

from aggregator_contracts.envelope import (
    MAX_INT32,
    MAX_INT64,
    Batch,
    Event,
    InvalidEventError,
    OfferId,
    Part,
    Price,
    ProductId,
    Revision,
    Text,
    Time,
)
from aggregator_contracts.price_events import BackInStock, BestPriceChanged, NewLow, OutOfStock


class _ProductEvent(Event):
    subject: ProductId


class ProductState(Part):
    """The whole state of a product; `version` grows by one with each change."""

    product_id: ProductId
    version: Annotated[int, Field(ge=1, le=MAX_INT64, description="Grows by one with each change of the product.")]
    name: Annotated[Text, Field(min_length=1, max_length=200)]
    description: Annotated[Text, Field(max_length=10_000)]


class ProductCreated(_ProductEvent):
    """A product was added to the catalog."""

    SOURCE: ClassVar[str] = "/catalog-api"
    TYPE: ClassVar[str] = "catalog.product-created.v1"
    source: Literal["/catalog-api"]
    type: Literal["catalog.product-created.v1"]
    data: ProductState

    @classmethod
    def of(cls, state: ProductState) -> Self:
        """The event that says that `state` is new."""
        return cls._now(subject=state.product_id, data=state)


class ProductUpdated(_ProductEvent):
    """A product's name or description changed; carries the whole new state."""

    SOURCE: ClassVar[str] = "/catalog-api"
    TYPE: ClassVar[str] = "catalog.product-updated.v1"
    source: Literal["/catalog-api"]
    type: Literal["catalog.product-updated.v1"]
    data: ProductState

    @classmethod
    def of(cls, state: ProductState) -> Self:
        """The event that says that the product now is as in `state`."""
        return cls._now(subject=state.product_id, data=state)


class ProductDeletedData(Part):
    """Which product went, and the version that its deletion made."""

    product_id: ProductId
    version: Annotated[int, Field(ge=1, le=MAX_INT64, description="Grows by one with each change of the product.")]


class ProductDeleted(_ProductEvent):
    """A product left the catalog; no later event speaks of it."""

    SOURCE: ClassVar[str] = "/catalog-api"
    TYPE: ClassVar[str] = "catalog.product-deleted.v1"
    source: Literal["/catalog-api"]
    type: Literal["catalog.product-deleted.v1"]
    data: ProductDeletedData

    @classmethod
    def of(cls, product_id: UUID, version: int) -> Self:
        """The event for the deletion that made `version`."""
        return cls._now(subject=product_id, data=ProductDeletedData(product_id=product_id, version=version))


class ProductRegisteredData(Part):
    """Which product is registered."""

    product_id: ProductId


class ProductRegistered(_ProductEvent):
    """The Offers microservice accepted the product; its offers are polled from now on."""

    SOURCE: ClassVar[str] = "/offers-sync"
    TYPE: ClassVar[str] = "offers.product-registered.v1"
    source: Literal["/offers-sync"]
    type: Literal["offers.product-registered.v1"]
    data: ProductRegisteredData

    @classmethod
    def of(cls, product_id: UUID, time: datetime) -> Self:
        """The event for a registration; consumers go by the latest `time` of a product's outcomes."""
        return cls._at(time, subject=product_id, data=ProductRegisteredData(product_id=product_id))


class ProductRegistrationFailedData(Part):
    """Which product was refused, and what the Offers microservice said."""

    product_id: ProductId
    reason: Annotated[Text, Field(description="What the Offers microservice said.")]


class ProductRegistrationFailed(_ProductEvent):
    """The Offers microservice refused the product for good (until it is changed)."""

    SOURCE: ClassVar[str] = "/offers-sync"
    TYPE: ClassVar[str] = "offers.product-registration-failed.v1"
    source: Literal["/offers-sync"]
    type: Literal["offers.product-registration-failed.v1"]
    data: ProductRegistrationFailedData

    @classmethod
    def of(cls, product_id: UUID, reason: str, time: datetime) -> Self:
        """The event for a refusal; consumers go by the latest `time` of a product's outcomes."""
        data = ProductRegistrationFailedData(product_id=product_id, reason=reason)
        return cls._at(time, subject=product_id, data=data)


class Offer(Part):
    """One offer of a product."""

    id: OfferId
    price: Price
    items_in_stock: Annotated[int, Field(ge=0, le=MAX_INT32, description="0 is sold out.")]


class OffersUpdate(Part):
    """A product's full list of offers, sorted by id; empty when it has none now.

    `(revision, observed_at)` grows for each product: ignore an update that is not newer than the one you have.
    """

    product_id: ProductId
    revision: Revision
    observed_at: Annotated[Time, Field(description="When the Offers microservice's answer was complete, in UTC.")]
    offers: Annotated[list[Offer], Field(description="All of them, sorted by id.")]


class OffersUpdatedData(Part):
    """What was polled together: 1 to 100 products, each once."""

    updates: Batch[OffersUpdate]


class OffersUpdated(Event):
    """The offers of these products differ from what was last published."""

    SOURCE: ClassVar[str] = "/offers-sync"
    TYPE: ClassVar[str] = "offers.offers-updated.v1"
    source: Literal["/offers-sync"]
    type: Literal["offers.offers-updated.v1"]
    data: OffersUpdatedData

    @classmethod
    def of(cls, updates: list[OffersUpdate]) -> Self:
        """The event for 1 to 100 products that were polled together."""
        return cls._now(data=OffersUpdatedData(updates=updates))


EVENT_CLASSES: Final[tuple[type[Event], ...]] = (
    ProductCreated,
    ProductUpdated,
    ProductDeleted,
    ProductRegistered,
    ProductRegistrationFailed,
    OffersUpdated,
    BestPriceChanged,
    NewLow,
    BackInStock,
    OutOfStock,
)

_any_event: TypeAdapter[Any] = TypeAdapter(
    Annotated[
        ProductCreated
        | ProductUpdated
        | ProductDeleted
        | ProductRegistered
        | ProductRegistrationFailed
        | OffersUpdated
        | BestPriceChanged
        | NewLow
        | BackInStock
        | OutOfStock,
        Discriminator("type"),
    ]
)


def parse_event(body: bytes) -> Event:
    """The event in a message's body.

    Raises:
        InvalidEventError: the body is not JSON, of an unknown type, or violates its schema.
    """
    try:
        event: Event = _any_event.validate_json(body)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)[:5])
        raise InvalidEventError("; ".join(problems)) from None
    return event
