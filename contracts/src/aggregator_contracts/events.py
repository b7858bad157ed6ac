"""One class for each event: a CloudEvents 1.0 envelope in structured mode with typed data.

Source of the envelope: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Literal, Self
from uuid import UUID, uuid4

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

CONTENT_TYPE: Final = "application/cloudevents+json"
MAX_UPDATES: Final = 100
"""Products in one `OffersUpdated` at most."""
MAX_INT64: Final = 2**63 - 1
MAX_INT32: Final = 2**31 - 1


class InvalidEventError(ValueError):
    """A message that is no event of this contract; the text says where and why."""


def _without_nul(text: str) -> str:
    if "\x00" in text:
        msg = "must not contain NUL"
        raise ValueError(msg)
    return text


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


Time = Annotated[
    AwareDatetime,
    PlainSerializer(_rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Text = Annotated[str, AfterValidator(_without_nul)]
ProductId = Annotated[UUID, Field(description="The product's id, a UUID of version 7.")]


class _Part(BaseModel):
    # Consumers ignore unknown fields, so that an additive optional field keeps v1.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Event(_Part):
    """The CloudEvents envelope. `id` is unique for each event and constant over redeliveries."""

    specversion: Literal["1.0"]
    id: Annotated[
        str, Field(min_length=1, max_length=200, description="Unique for each event, constant over redeliveries.")
    ]
    source: str
    type: str
    time: Annotated[Time, Field(description="When it happened, in UTC.")]
    datacontenttype: Literal["application/json"]

    SOURCE: ClassVar[str]
    TYPE: ClassVar[str]
    """The event's type, which is also its routing key."""

    @classmethod
    def _now(cls, **fields: Any) -> Self:
        """An event of this class that happens now, with a new id."""
        return cls._at(datetime.now(UTC), **fields)

    @classmethod
    def _at(cls, time: datetime, **fields: Any) -> Self:
        return cls(
            specversion="1.0",
            id=str(uuid4()),
            source=cls.SOURCE,
            type=cls.TYPE,
            time=time,
            datacontenttype="application/json",
            **fields,
        )

    def to_json(self) -> bytes:
        """The event as the body of a message."""
        return self.model_dump_json().encode()


class _ProductEvent(Event):
    subject: ProductId


class ProductState(_Part):
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


class ProductDeletedData(_Part):
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


class ProductRegisteredData(_Part):
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


class ProductRegistrationFailedData(_Part):
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


class Offer(_Part):
    """One offer of a product."""

    id: Annotated[Text, Field(min_length=1, max_length=200, description="The Offers microservice's id, as a string.")]
    price: Annotated[int, Field(ge=0, le=MAX_INT64, description="The Offers microservice's integer, unchanged.")]
    items_in_stock: Annotated[int, Field(ge=0, le=MAX_INT32, description="0 is sold out.")]


class OffersUpdate(_Part):
    """A product's full list of offers, sorted by id; empty when it has none now.

    `(revision, observed_at)` grows for each product: ignore an update that is not newer than the one you have.
    """

    product_id: ProductId
    revision: Annotated[
        int, Field(ge=1, le=MAX_INT64, description="Grows by one with each list of the product that differs.")
    ]
    observed_at: Annotated[Time, Field(description="When the Offers microservice's answer was complete, in UTC.")]
    offers: Annotated[list[Offer], Field(description="All of them, sorted by id.")]


def _each_product_once(updates: list[OffersUpdate]) -> list[OffersUpdate]:
    if len({update.product_id for update in updates}) != len(updates):
        msg = "must name each product once"
        raise ValueError(msg)
    return updates


class OffersUpdatedData(_Part):
    """What was polled together: 1 to 100 products, each once."""

    updates: Annotated[
        list[OffersUpdate], Field(min_length=1, max_length=MAX_UPDATES), AfterValidator(_each_product_once)
    ]


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
)

_any_event: TypeAdapter[Any] = TypeAdapter(
    Annotated[
        ProductCreated
        | ProductUpdated
        | ProductDeleted
        | ProductRegistered
        | ProductRegistrationFailed
        | OffersUpdated,
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
