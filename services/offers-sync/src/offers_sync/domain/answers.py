"""What the Offers microservice can answer, as values: nothing that it does is an exception for its callers."""

from dataclasses import dataclass
from typing import ClassVar

from offers_sync.domain.offers import OfferList


@dataclass(frozen=True, slots=True)
class Listed:
    """The product's full list of offers."""

    KIND: ClassVar = "listed"
    offer_list: OfferList


@dataclass(frozen=True, slots=True)
class SameBody:
    """The very bytes of the answer that the caller knows, whatever they mean."""

    KIND: ClassVar = "same_body"


@dataclass(frozen=True, slots=True)
class NotRegistered:
    """The Offers microservice does not know the product."""

    KIND: ClassVar = "not_registered"


@dataclass(frozen=True, slots=True)
class Registered:
    """The product is registered, by this call or by an earlier one."""

    KIND: ClassVar = "registered"


@dataclass(frozen=True, slots=True)
class Refused:
    """The product as it is will never be registered."""

    KIND: ClassVar = "refused"
    reason: str


@dataclass(frozen=True, slots=True)
class Granted:
    """An access token, and its lifetime in seconds where it says so."""

    KIND: ClassVar = "granted"
    token: str
    lifetime_seconds: float | None

    def __repr__(self) -> str:
        return "Granted(…)"


@dataclass(frozen=True, slots=True)
class StillValid:
    """No new token: the one given before has not expired."""

    KIND: ClassVar = "still_valid"


@dataclass(frozen=True, slots=True)
class TokenRejected:
    """401: the token sent is not accepted."""

    KIND: ClassVar = "token_rejected"


@dataclass(frozen=True, slots=True)
class Throttled:
    """429: too many calls; come back after so many seconds, where it says."""

    KIND: ClassVar = "throttled"
    retry_after_seconds: float | None


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No answer, or one of the server's own troubles (5xx)."""

    KIND: ClassVar = "unavailable"
    reason: str
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class BadAnswer:
    """An answer that means nothing in the protocol; `reason` is one of a few words."""

    KIND: ClassVar = "bad_answer"
    reason: str


Failure = TokenRejected | Throttled | Unavailable | BadAnswer
PollAnswer = Listed | SameBody | NotRegistered | Failure
RegistrationAnswer = Registered | Refused | Failure
TokenAnswer = Granted | StillValid | Failure
Answer = PollAnswer | RegistrationAnswer
