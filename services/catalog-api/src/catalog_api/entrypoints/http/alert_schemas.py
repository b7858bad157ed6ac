"""The JSON of alerts."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from catalog_api.domain.alerts import MAX_COOLDOWN_SECONDS, Rule, Wish
from catalog_api.entrypoints.http.condition_schemas import BackInStock, Condition, to_hundredths
from catalog_api.entrypoints.http.routing import canonical_id
from catalog_api.entrypoints.http.schemas import Input, Name, instant, without_default
from catalog_api.use_cases.dry_run_alert import MAX_CHANGES, MAX_LISTED, MAX_PRODUCTS, MAX_SECONDS, Reason
from http_api import RequestRefusedError

COOLDOWN_SECONDS: Final = 3600
HYSTERESIS_PERCENT: Final = 1.0
DRY_RUN_PERIOD: Final = timedelta(days=7)
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)


def _id(raw: Any) -> UUID:
    if not isinstance(raw, str):
        raise ValueError("must be a string")  # noqa: TRY004 - what pydantic takes for a refusal
    return canonical_id(raw)


Id = Annotated[UUID, BeforeValidator(_id), WithJsonSchema({"type": "string", "format": "uuid"})]
_Time = Annotated[datetime, BeforeValidator(instant), WithJsonSchema({"type": "string", "format": "date-time"})]
_PRODUCT_ID: Final = "The product whose best price is watched; null for all products."
_COOLDOWN: Final = "After a firing none follows for the same product before so many seconds, by the times of prices."
_HYSTERESIS: Final = (
    "After a firing the alert fires again for the product only once the price has left the condition by so many "
    "percent of its limit (the price given, or what a drop or rise of exactly `percent` comes to). A new low is told "
    "again if it is so much lower than the one told last, or not lower. Rounded to hundredths."
)
Cooldown = Annotated[int, Field(ge=0, le=MAX_COOLDOWN_SECONDS, description=_COOLDOWN)]
Hysteresis = Annotated[float, Field(ge=0, le=100, description=_HYSTERESIS), AfterValidator(to_hundredths)]


class _Described(Input):
    """What is to be told, and how often at most."""

    name: Name | None = None
    product_id: Annotated[Id | None, Field(description=_PRODUCT_ID)] = None
    condition: Condition
    cooldown_seconds: Cooldown = COOLDOWN_SECONDS
    hysteresis_percent: Hysteresis = HYSTERESIS_PERCENT
    enabled: bool = True

    def rule(self) -> Rule:
        """For the domain."""
        return Rule(self.condition.condition(), self.cooldown_seconds, self.hysteresis_percent)


class AlertInput(_Described):
    """An alert as its user describes it."""

    webhook_id: Annotated[Id, Field(description="Where it is told; several alerts may share one.")]

    def wish(self) -> Wish:
        """For the use cases."""
        return Wish(self.name, self.product_id, self.webhook_id, self.rule(), self.enabled)


class AlertPatch(Input):
    """What is left out stays; what is given takes the place of what was, `condition` as a whole."""

    name: Name | None = Field(default=None, json_schema_extra=without_default)
    product_id: Id | None = Field(default=None, description=_PRODUCT_ID, json_schema_extra=without_default)
    condition: Condition = Field(default=BackInStock(type="back_in_stock"), json_schema_extra=without_default)
    webhook_id: Id = Field(default=UUID(int=0), json_schema_extra=without_default)
    cooldown_seconds: Cooldown = Field(default=0, json_schema_extra=without_default)
    hysteresis_percent: Hysteresis = Field(default=0, json_schema_extra=without_default)
    enabled: bool = Field(default=True, json_schema_extra=without_default)

    def apply(self, wish: Wish) -> Wish:
        """The wish with the parts replaced that the patch has."""
        given = self.model_fields_set
        rule = Rule(
            self.condition.condition() if "condition" in given else wish.rule.condition,
            self.cooldown_seconds if "cooldown_seconds" in given else wish.rule.cooldown_seconds,
            self.hysteresis_percent if "hysteresis_percent" in given else wish.rule.hysteresis_percent,
        )
        return Wish(
            self.name if "name" in given else wish.name,
            self.product_id if "product_id" in given else wish.product_id,
            self.webhook_id if "webhook_id" in given else wish.webhook_id,
            rule,
            self.enabled if "enabled" in given else wish.enabled,
        )


class DryRunInput(_Described):
    """An alert to be tried on recorded prices; `name`, `webhook_id` and `enabled` change nothing."""

    webhook_id: Id | None = None
    begins: _Time | None = Field(
        default=None, alias="from", description="7 days before `to` by default; not before 2000."
    )
    ends: _Time | None = Field(default=None, alias="to", description="Now by default, and at the latest.")

    def period(self, now: datetime) -> tuple[datetime, datetime]:
        """From when until when.

        Raises:
            RequestRefusedError: 422, it ends before it begins, or begins too early.
        """
        ends = min(self.ends or now, now)
        if ends <= EARLIEST:
            raise _refused("/to", "must be after 2000 begins")
        begins = self.begins or max(ends - DRY_RUN_PERIOD, EARLIEST)
        if not EARLIEST <= begins < ends:
            raise _refused("/from", "must be before to and now, and not before 2000")
        return begins, ends


def _refused(pointer: str, detail: str) -> RequestRefusedError:
    return RequestRefusedError(422, "The body is not valid.", [{"pointer": pointer, "detail": detail}])


class AlertOutput(BaseModel):
    """An alert, and how often it fired."""

    model_config = ConfigDict(title="Alert")

    id: UUID
    name: str | None
    product_id: Annotated[UUID | None, Field(description=_PRODUCT_ID)]
    condition: Condition
    webhook_id: UUID
    cooldown_seconds: int
    hysteresis_percent: float
    enabled: bool
    firings_count: Annotated[int, Field(ge=0, description="Since it was made, whatever was changed of it.")]
    last_fired_at: Annotated[datetime | None, Field(description="When the price changed that made it fire last.")]
    created_at: datetime
    updated_at: datetime


class AlertPage(BaseModel):
    """Alerts, oldest first."""

    items: list[AlertOutput]
    next_cursor: Annotated[str | None, Field(description="Ask for the next page with it; null on the last one.")]


_REFERENCE: Final = (
    "What the price was compared with: the price given, the highest or lowest one of the window, or the low before (of "
    "the time that the condition speaks of; of all time where there was no price in 30 days); null for `back_in_stock`."
)


class FoundFiring(BaseModel):
    """A firing: of which product, when its price changed, and to what."""

    product_id: UUID
    at: Annotated[datetime, Field(description="When the change is dated in the product's history.")]
    price: Annotated[int, Field(ge=0)]
    reference: Annotated[int | None, Field(description=_REFERENCE)]


class FiringOutput(FoundFiring):
    """A firing in the log."""

    model_config = ConfigDict(title="Firing")

    id: Annotated[UUID, Field(description="Also the id of the delivery, and its header `webhook-id`.")]


class FiringPage(BaseModel):
    """Firings of the last 30 days, newest first."""

    items: list[FiringOutput]
    next_cursor: Annotated[str | None, Field(description="Ask for the next page with it; null on the last one.")]


class Examined(BaseModel):
    """How much a dry run looked at."""

    products: Annotated[int, Field(ge=0, le=MAX_PRODUCTS, description="The last of them maybe in part.")]
    changes: Annotated[int, Field(ge=0, le=MAX_CHANGES, description="Of best prices.")]
    complete: Annotated[bool, Field(description="Whether that is all there is.")]
    reason: Annotated[
        Reason | None,
        Field(
            description=f"Why it is not. A bound ended it early: {MAX_PRODUCTS} products (the oldest are examined), "
            f"{MAX_CHANGES} changes, or {MAX_SECONDS:g} seconds. Or it is the retention: `from` lies before every "
            "single change is kept; until then the first, lowest, highest and last prices of every five minutes count."
        ),
    ]


class DryRunOutput(BaseModel):
    """How often an alert would have fired, had it been made at `from`."""

    model_config = ConfigDict(title="DryRun")

    from_: Annotated[datetime, Field(alias="from")]
    to: datetime
    firings_count: Annotated[int, Field(ge=0)]
    firings: Annotated[
        list[FoundFiring], Field(max_length=MAX_LISTED, description=f"The first {MAX_LISTED}, oldest first.")
    ]
    examined: Examined


class AlertFiredData(FoundFiring):
    """Which alert fired, and at what."""

    alert_id: UUID
    name: str | None
    condition: Condition


class AlertFired(BaseModel):
    """What a webhook is sent when an alert fires (https://www.standardwebhooks.com)."""

    type: Literal["alert.fired"]
    timestamp: Annotated[datetime, Field(description="When the price changed.")]
    data: AlertFiredData
