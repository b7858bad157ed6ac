"""Webhooks: endpoints of other systems, and the messages that they are sent by https://www.standardwebhooks.com."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
import uuid_utils.compat

URL_MAX: Final = 2000
WEBHOOK_DESCRIPTION_MAX: Final = 500
MOST_WEBHOOKS: Final = 1000
"""In all. Every look for what is due looks at each."""
TEST_TYPE: Final = "webhook.test"

new_id: Callable[[], UUID] = uuid_utils.compat.uuid7


class Message(msgspec.Struct, frozen=True):
    """What one webhook is to be told.

    `id` is the header `webhook-id`, the same however often the message is sent. Whoever derives it from what the
    message tells may store the message again and again: it is stored, and sent, once.
    """

    id: UUID
    webhook_id: UUID
    type: str
    body: str


def message(message_id: UUID, webhook_id: UUID, type_: str, at: datetime, data: Any) -> Message:
    """A message of a type such as `webhook.test`, about what happened at a time, with data that msgspec encodes."""
    payload = {"type": type_, "timestamp": at.astimezone(UTC), "data": data}
    return Message(message_id, webhook_id, type_, msgspec.json.encode(payload).decode())


class Webhook(msgspec.Struct, frozen=True):
    """What is kept of a webhook and may be shown. The fields, in this order, are the API's JSON."""

    id: UUID
    url: str
    description: str
    enabled: bool
    disabled_because: str | None
    """`switched_off` by whoever manages it, or `gone`: the endpoint answered 410."""
    failing_since: datetime | None
    """None when the last attempt was a success, or there was none."""
    previous_secret_ends_at: datetime | None
    """Until when the secret before signs, too."""
    created_at: datetime
    updated_at: datetime


class WebhookChange(msgspec.Struct, frozen=True):
    """What is to become of a webhook; what is None stays."""

    url: str | None = None
    description: str | None = None
    enabled: bool | None = None


class Attempt(msgspec.Struct, frozen=True):
    """One try to deliver: the answer's status, or else the error. The fields, in this order, are the API's JSON."""

    at: datetime
    seconds: float
    status: int | None
    error: str | None
    answer: str | None
    """The first bytes of the answer's body."""


class Delivery(msgspec.Struct, frozen=True):
    """A message and what became of it. The fields, in this order, are the API's JSON."""

    id: UUID
    type: str
    state: str
    created_at: datetime
    next_attempt_at: datetime | None
    """None unless it is pending."""
    ended_at: datetime | None
    payload: msgspec.Raw
    attempts: list[Attempt]
    """Newest first."""


class Position(msgspec.Struct, frozen=True):
    """The last item of a page, in the order of creation."""

    created_at: datetime
    id: UUID
