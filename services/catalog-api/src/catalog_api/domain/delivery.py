"""What an attempt to deliver a message comes to, and when the next one is made."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Final

import msgspec

FIRST_DELAY_SECONDS: Final = 5.0
DELAY_FACTOR: Final = 2.5
DELAYS: Final = 11
"""5 s, 12 s, 31 s, 78 s, 3, 8, 20 and 51 minutes, 2, 5 and 13 hours: twelve attempts within 22 hours."""
JITTER: Final = 0.2
"""So much longer at most, so that messages that failed together do not come back together: 22 to 26 hours in all."""
LONGEST_RETRY_AFTER_SECONDS: Final = 3600.0
"""What an endpoint asks for is honoured up to an hour."""


class DeliveryState(StrEnum):
    """Of a message for a webhook."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Outcome(msgspec.Struct, frozen=True):
    """What happened when a message was sent: `status`, with the beginning of the body, or else `error`."""

    seconds: float
    status: int | None = None
    error: str | None = None
    answer: str | None = None
    retry_after: str | None = None

    @property
    def good(self) -> bool:
        """Whether the endpoint took it: 2xx and nothing else, so a redirection is a failure."""
        return self.status is not None and HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def gone(self) -> bool:
        """Whether the endpoint wants nothing any more."""
        return self.status == HTTPStatus.GONE


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of the message; `delay_seconds` until the next attempt while it is pending."""

    state: DeliveryState
    delay_seconds: float = 0.0


def judge(outcome: Outcome, failures: int, now: datetime) -> Verdict:
    """What becomes of a message with so many failed attempts before this one."""
    if outcome.good:
        return Verdict(DeliveryState.DELIVERED)
    if outcome.gone or failures >= DELAYS:
        return Verdict(DeliveryState.FAILED)
    delay = FIRST_DELAY_SECONDS * DELAY_FACTOR**failures * random.uniform(1.0, 1.0 + JITTER)  # noqa: S311 - no secret
    asked = _seconds_of(outcome.retry_after, now)
    return Verdict(DeliveryState.PENDING, max(delay, min(asked, LONGEST_RETRY_AFTER_SECONDS)))


def _seconds_of(retry_after: str | None, now: datetime) -> float:
    """Retry-After (RFC 9110, 10.2.3), seconds or a date; 0 for what is neither."""
    if retry_after is None:
        return 0.0
    if retry_after.isascii() and retry_after.isdecimal():
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):  # the latter of numbers that no date can hold
        return 0.0
    return max((at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds(), 0.0)
