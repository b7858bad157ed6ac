"""The JSON of webhooks."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from catalog_api.domain.product import checked_description
from catalog_api.domain.webhooks import URL_MAX, WEBHOOK_DESCRIPTION_MAX, WebhookChange
from catalog_api.entrypoints.http.schemas import Input, without_default

OVERLAP_SECONDS: Final = 24 * 3600
MOST_OVERLAP_SECONDS: Final = 7 * 24 * 3600


def _short(description: str) -> str:
    if len(description) > WEBHOOK_DESCRIPTION_MAX:
        raise ValueError(f"must have at most {WEBHOOK_DESCRIPTION_MAX} characters")
    return checked_description(description)


Url = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "format": "uri",
            "maxLength": URL_MAX,
            "description": "Where messages are posted to: `https`, a host with public addresses only, any port, no "
            "user name, no fragment. It is looked at now and with every message.",
        }
    ),
]
ShortDescription = Annotated[
    str,
    AfterValidator(_short),
    WithJsonSchema({"type": "string", "maxLength": WEBHOOK_DESCRIPTION_MAX, "pattern": "^[^\\x00]*$"}),
]


class WebhookInput(Input):
    """A webhook as it is asked for."""

    url: Url
    description: ShortDescription = ""


class WebhookPatch(Input):
    """A JSON merge patch (RFC 7396): what is left out stays. Nothing can be removed, so null is refused."""

    url: Url = Field(default="", json_schema_extra=without_default)
    description: ShortDescription = Field(default="", json_schema_extra=without_default)
    enabled: Annotated[
        bool,
        Field(
            json_schema_extra=without_default,
            description="A webhook that is not enabled is given no messages; what is pending waits.",
        ),
    ] = True

    def change(self) -> WebhookChange:
        """For the use cases."""
        return WebhookChange(**{name: getattr(self, name) for name in self.model_fields_set})


class RotationInput(Input):
    """How the secret is to be changed."""

    overlap_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=MOST_OVERLAP_SECONDS,
            description="How long the secret so far signs beside the new one; 0 where somebody else knows it.",
        ),
    ] = OVERLAP_SECONDS


class WebhookOutput(BaseModel):
    """A webhook, without its secret."""

    model_config = ConfigDict(title="Webhook")

    id: UUID
    url: str
    description: str
    enabled: bool
    disabled_because: Annotated[
        Literal["switched_off", "gone"] | None, Field(description="`gone`: its endpoint answered 410.")
    ]
    failing_since: Annotated[datetime | None, Field(description="null when the last attempt was a success.")]
    previous_secret_ends_at: Annotated[
        datetime | None, Field(description="Until when messages are signed with the secret before, too.")
    ]
    created_at: datetime
    updated_at: datetime


class WebhookWithSecretOutput(WebhookOutput):
    """A webhook, this once with its newest secret."""

    model_config = ConfigDict(title="WebhookWithSecret")

    secret: Annotated[str, Field(pattern="^whsec_[A-Za-z0-9+/]+=*$", description="Shown this once.")]


class WebhookPage(BaseModel):
    """Webhooks, oldest first."""

    items: list[WebhookOutput]
    next_cursor: Annotated[str | None, Field(description="Ask for the next page with it; null on the last one.")]


class AttemptOutput(BaseModel):
    """One try to deliver a message."""

    model_config = ConfigDict(title="Attempt")

    at: datetime
    seconds: Annotated[float, Field(ge=0)]
    status: Annotated[int | None, Field(description="Of the answer; 2xx is a success.")]
    error: Annotated[str | None, Field(description="Why there was no answer.")]
    answer: Annotated[str | None, Field(description="The first 1024 bytes of the answer's body.")]


class DeliveryOutput(BaseModel):
    """A message for a webhook, and what became of it."""

    model_config = ConfigDict(title="Delivery")

    id: Annotated[UUID, Field(description="The header `webhook-id`, the same with every attempt.")]
    type: str
    state: Literal["pending", "delivered", "failed"]
    created_at: datetime
    next_attempt_at: Annotated[datetime | None, Field(description="null unless it is pending.")]
    ended_at: datetime | None
    payload: Annotated[dict[str, Any], Field(description="The body that is sent.")]
    attempts: Annotated[list[AttemptOutput], Field(description="Newest first, 20 at most.")]


class DeliveryPage(BaseModel):
    """Deliveries, newest first."""

    items: list[DeliveryOutput]
    next_cursor: Annotated[str | None, Field(description="Ask for the next page with it; null on the last one.")]


class TestData(BaseModel):
    """What a test tells."""

    text: str


class TestMessage(BaseModel):
    """What `POST /webhooks/{id}/test` sends."""

    type: Literal["webhook.test"]
    timestamp: Annotated[datetime, Field(description="When it was asked for.")]
    data: TestData
