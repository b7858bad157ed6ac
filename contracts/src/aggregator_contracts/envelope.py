"""The CloudEvents 1.0 envelope in structured mode, and the types of fields that events have in common.

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Literal, Protocol, Self, TypeVar
from uuid import UUID, uuid4

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

CONTENT_TYPE: Final = "application/cloudevents+json"
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
Revision = Annotated[
    int, Field(ge=1, le=MAX_INT64, description="Grows by one with each list of the product that differs.")
]
OfferId = Annotated[Text, Field(min_length=1, max_length=200, description="The Offers microservice's id, as a string.")]
Price = Annotated[int, Field(ge=0, le=MAX_INT64, description="The Offers microservice's integer, unchanged.")]


class _OfProduct(Protocol):
    @property
    def product_id(self) -> UUID: ...


P = TypeVar("P", bound=_OfProduct)


def _each_product_once(parts: list[P]) -> list[P]:
    if len({part.product_id for part in parts}) != len(parts):
        msg = "must name each product once"
        raise ValueError(msg)
    return parts


MAX_TOGETHER: Final = 100
"""Products in one event at most."""
Batch = Annotated[list[P], Field(min_length=1, max_length=MAX_TOGETHER), AfterValidator(_each_product_once)]
"""Parts of an event that speaks of several products: 1 to 100, each product once."""


class Part(BaseModel):
    """A part of an event."""

    # Consumers ignore unknown fields, so that an additive optional field keeps v1.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Event(Part):
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
