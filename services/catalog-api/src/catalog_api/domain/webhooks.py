"""Webhooks: endpoints of other systems, and the messages that they are sent by https://www.standardwebhooks.com."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
import uuid_utils.compat

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
