"""What can be wrong with a wish, named for what happened. HTTP statuses are decided in `entrypoints.http.problems`."""

from dataclasses import dataclass
from uuid import UUID


class CatalogError(Exception):
    """The base of everything that a use case refuses."""


@dataclass
class ProductNotFoundError(CatalogError):
    """No product has this id: it never had, or the product was deleted."""

    product_id: UUID


@dataclass
class VersionMismatchError(CatalogError):
    """The caller's precondition names other versions than the product's present one."""

    version: int


@dataclass
class TokenNotFoundError(CatalogError):
    """No access token has this id, or it was revoked before."""

    token_id: str


@dataclass
class WebhookNotFoundError(CatalogError):
    """No webhook has this id."""

    webhook_id: UUID


@dataclass
class DeliveryNotFoundError(CatalogError):
    """The webhook has no delivery with this id, or none any more."""

    delivery_id: UUID


@dataclass
class TargetRefusedError(CatalogError):
    """A webhook may not lead there; `reason` says why."""

    reason: str


class WebhookDisabledError(CatalogError):
    """A webhook that is disabled is sent nothing."""


class WebhookInUseError(CatalogError):
    """A webhook that alerts go to is not deleted."""


class TooManyWebhooksError(CatalogError):
    """There are as many as there may be."""


@dataclass
class AlertNotFoundError(CatalogError):
    """No alert has this id: it never had, or it was deleted, maybe with its product."""

    alert_id: UUID


@dataclass
class UnknownReferenceError(CatalogError):
    """What the field `field` of an alert names is not there: its product or its webhook."""

    field: str


@dataclass
class TooManyAlertsError(CatalogError):
    """There are as many alerts as there may be, `limit`; `on_all` where that is of those on all products."""

    limit: int
    on_all: bool


class InvalidCursorError(CatalogError):
    """A cursor that this service did not make, or made for another sort or search."""


class IdempotencyKeyReusedError(CatalogError):
    """The key was used within its lifetime with another request."""


class IdempotencyKeyInFlightError(CatalogError):
    """The first request with this key has not finished yet."""


class DatabaseUnavailableError(CatalogError):
    """The database is away, overloaded, or gave up on the statement; the same wish may succeed later."""


class BeingWrittenError(DatabaseUnavailableError):
    """Someone else has the right to apply events: a rebuild; or, for a rebuild, workers or another one."""


class PriceHistoryUnavailableError(CatalogError):
    """price-history is away, too slow, or answered with something that is no answer."""


class LogUnavailableError(CatalogError):
    """The broker is away, or has no log of its events."""
