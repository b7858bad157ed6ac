"""The JSON that is taken, checked by these models, and the JSON that is given, which they only describe."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from catalog_api.domain.product import (
    DESCRIPTION_MAX,
    NAME_MAX,
    ProductText,
    Registration,
    checked_description,
    checked_name,
)

BATCH_MAX: Final = 1000

# What Python's str.strip removes; `\s` of JSON Schema's regular expressions is another set.
_SPACE: Final = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
_NAME_PATTERN: Final = f"^[{_SPACE}]*[^\\x00{_SPACE}]([^\\x00]{{0,{NAME_MAX - 2}}}[^\\x00{_SPACE}])?[{_SPACE}]*$"

Name = Annotated[
    str,
    AfterValidator(checked_name),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "pattern": _NAME_PATTERN,
            "description": f"1 to {NAME_MAX} characters after trimming, without NUL.",
            "examples": ["Benzinová sekačka Dosquarna"],
        }
    ),
]
Description = Annotated[
    str,
    AfterValidator(checked_description),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": DESCRIPTION_MAX,
            "pattern": "^[^\\x00]*$",
            "description": f"At most {DESCRIPTION_MAX} characters, without NUL.",
            "examples": ["Nejlepší sekačka na trhu. TLDR"],
        }
    ),
]


_RFC3339: Final = Annotated[datetime, msgspec.Meta(tz=True)]


def instant(raw: Any) -> datetime:
    """The RFC 3339 time, in UTC.

    Raises:
        ValueError: it is none.
    """
    try:
        moment: datetime = msgspec.convert(raw, _RFC3339)
        return moment.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        raise ValueError("must be a time such as 2027-01-01T00:00:00Z (RFC 3339)") from None


class Input(BaseModel):
    """A body: exactly what it says, and nothing beside."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ProductInput(Input):
    """A product as its user describes it."""

    name: Name
    description: Description

    def text(self) -> ProductText:
        """For the use cases."""
        return ProductText(self.name, self.description)


def without_default(schema: dict[str, Any]) -> None:
    """For the schema of a field that may be left out, but whose default is not a value to send."""
    schema.pop("default", None)


class ProductPatch(Input):
    """A JSON merge patch (RFC 7396): what is left out stays. Neither part can be removed, so null is refused."""

    name: Name = Field(default="", json_schema_extra=without_default)
    description: Description = Field(default="", json_schema_extra=without_default)

    def apply(self, text: ProductText) -> ProductText:
        """The text with the parts replaced that the patch has."""
        given = self.model_fields_set
        return ProductText(
            self.name if "name" in given else text.name,
            self.description if "description" in given else text.description,
        )


_Item = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"$ref": "#/components/schemas/ProductInput"},
                {"description": "Anything else is reported in its place, and creates nothing."},
            ]
        }
    ),
]


class BatchInput(Input):
    """Products to create. Each item is judged by itself: the good ones are created together, the bad ones reported."""

    items: Annotated[list[_Item], Field(min_length=1, max_length=BATCH_MAX)]


class ProductOutput(BaseModel):
    """A product with the summary of its offers."""

    model_config = ConfigDict(title="Product")

    id: UUID
    name: str
    description: str
    version: Annotated[int, Field(ge=1, description="Grows by one with each change of name or description.")]
    created_at: datetime
    updated_at: datetime
    registration: Annotated[Registration, Field(description="Whether the Offers MS knows the product.")]
    best_price: Annotated[int | None, Field(description="The lowest price among the offers in stock.")]
    offers_count: Annotated[int, Field(ge=0)]
    offers_observed_at: Annotated[datetime | None, Field(description="null before the first observation.")]


class ProductPage(BaseModel):
    """Products in the order asked for."""

    items: list[ProductOutput]
    next_cursor: Annotated[str | None, Field(description="Ask for the next page with it; null on the last one.")]


class OfferOutput(BaseModel):
    """An offer of a product."""

    model_config = ConfigDict(title="Offer")

    id: str
    price: Annotated[int, Field(ge=0)]
    items_in_stock: Annotated[int, Field(ge=0)]
    first_seen_at: datetime
    changed_at: Annotated[datetime, Field(description="When its price or its stock was last seen to change.")]


class OfferListOutput(BaseModel):
    """A product's offers, cheapest first, then by id."""

    model_config = ConfigDict(title="OfferList")

    product_id: UUID
    observed_at: Annotated[datetime | None, Field(description="null before the first observation.")]
    items: list[OfferOutput]


class ProblemError(BaseModel):
    """One thing that is wrong with a request."""

    pointer: Annotated[
        str,
        Field(
            description="In the body a JSON pointer such as `/name`; else `/query/limit`, `/path/product_id` or "
            "`/header/Idempotency-Key`."
        ),
    ]
    detail: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemError] | None = Field(default=None, json_schema_extra=without_default)


class BatchCreated(BaseModel):
    """An item that became a product."""

    index: Annotated[int, Field(ge=0, lt=BATCH_MAX)]
    status: Annotated[int, Field(ge=201, le=201)]
    product: ProductOutput


class BatchRefused(BaseModel):
    """An item that did not; the problem's pointers start at the item."""

    index: Annotated[int, Field(ge=0, lt=BATCH_MAX)]
    status: Annotated[int, Field(ge=422, le=422)]
    problem: Problem


class BatchOutput(BaseModel):
    """One result for each item, in the order of the items."""

    results: list[BatchCreated | BatchRefused]


class Instant(BaseModel):
    """A price and when it was."""

    price: int
    at: datetime


class TrendStart(Instant):
    """`carried` when the price was in effect before the period."""

    carried: bool


class TrendPoint(BaseModel):
    """A price in effect, or a bucket's last, lowest and highest."""

    at: datetime
    price: int | None
    lowest: int | None
    highest: int | None


class Trend(BaseModel):
    """A price as a step function over a period."""

    product_id: UUID
    offer_id: str | None
    basis: str | None
    from_: Annotated[datetime, Field(alias="from")]
    to: datetime
    resolution_seconds: int | None
    prices: list[int | None]
    points: list[TrendPoint]
    start: TrendStart | None
    end: Instant | None
    change: int | None
    change_percent: float | None
    reason: str | None
    lowest: Instant | None
    highest: Instant | None
    average: float | None


class Change(BaseModel):
    """A recorded change of an offer; `price` and `items_in_stock` are null when it ended."""

    at: datetime
    offer_id: str
    price: int | None
    items_in_stock: int | None


class ChangePage(BaseModel):
    """Changes, oldest first."""

    items: list[Change]
    next_cursor: str | None
